"""Whether a folder holds what a release holds and nothing else, found by reading its bytes; nothing of it is loaded.

Every file must have a name of the table of `contents`, be a plain file, and have the form that the builder gives it.
Together with the comparison of every Python file with the known versions of `modeling/`, this says that a release holds
the code that was reviewed and nothing that needs a review.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import yaml

from ...runtime.options import own_names
from ...runtime.recipes import read_yaml
from ...runtime.training_arguments import acting_fields
from ...trainers.pretraining.options import PretrainingOptions
from ..contents import FOLDERS, JSON_FILES, RECORD_FILES, WEIGHTS_METADATA, WEIGHTS_TENSOR, may_hold
from ..json_forms import Names, form_faults, strict_json
from ..module_chains import MODULES_FILE, ROUTER_FILE
from ..module_forms import MODULE_FOLDERS, MODULE_FORMS
from ..provenance import RECIPE

# A tokenizer of 250,000 entries has 20 MB. Source: our default.
LARGEST_TEXT_BYTES = 2**26
# Faults of one file that are told; the rest would be more of the same.
SHOWN_FAULTS = 5
PNG_START = b"\x89PNG\r\n\x1a\n"
DEEPEST_YAML = 20
_NOT_PLAIN = (yaml.TagToken, yaml.AnchorToken, yaml.AliasToken, yaml.DirectiveToken)
_OPENING = (
    *(yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken),
    *(yaml.BlockSequenceStartToken, yaml.BlockMappingStartToken),
)
_CLOSING = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)
# A tensor of ONNX that lies in another file says where under this key, whatever else is odd about the file.
EXTERNAL_DATA = b"location"


def name_faults(folder: Path) -> list[str]:
    """Return what a release has no place for: links, hidden and foreign names, pickles, archives, compiled code."""
    faults = []
    for name, mode in _entries(folder):
        if stat.S_ISLNK(mode):
            faults.append(f"{_shown(name)} is a link; put a copy in its place")
        elif stat.S_ISDIR(mode) and name not in FOLDERS:
            faults.append(f"{_shown(name)} is a folder that a release does not hold; remove it")
        elif not stat.S_ISDIR(mode) and not (stat.S_ISREG(mode) and may_hold(name)):
            faults.append(f"{_shown(name)} is no file that a release holds; remove it")
    return faults


def content_faults(folder: Path) -> list[str]:
    """Return where files of a release do not have the form that the builder gives them.

    Call it for a folder without `name_faults`: a link would be followed.
    """
    faults = []
    for name, mode in _entries(folder):
        if stat.S_ISREG(mode):
            try:
                found = list(islice(_faults_of(folder / name, name), SHOWN_FAULTS))
            except ValueError as error:
                found = [str(error)]
            faults += [f"{name}: {fault}" for fault in found]
    return faults or list(_idle_files(folder))


def _idle_files(folder: Path) -> Iterator[str]:
    """Yield what lies in the folder of a module that is none of this release's; every JSON file is known to be good."""
    content = {name: folder / name for name in (MODULES_FILE, ROUTER_FILE) if (folder / name).is_file()}
    rows = strict_json(content[MODULES_FILE].read_bytes()) if MODULES_FILE in content else []
    used = {row.get("path") for row in rows}
    if any(row["type"] == MODULE_FORMS["Router"].reference for row in rows) and ROUTER_FILE in content:
        used |= {ROUTER_FILE, *strict_json(content[ROUTER_FILE].read_bytes()).get("types", {})}
    for name, mode in _entries(folder):
        place = name.partition("/")[0]
        if stat.S_ISREG(mode) and place in (*MODULE_FOLDERS, ROUTER_FILE) and place not in used:
            yield f"{name} belongs to no module that {MODULES_FILE} names; remove it"


def _entries(folder: Path, inside: str = "") -> Iterator[tuple[str, int]]:
    """Yield name and mode of everything in a folder, in order of name; links are not followed, nor foreign folders."""
    for entry in sorted(os.scandir(folder / inside), key=lambda entry: entry.name):
        name, mode = inside + entry.name, entry.stat(follow_symlinks=False).st_mode
        yield name, mode
        if stat.S_ISDIR(mode) and name in FOLDERS:
            yield from _entries(folder, f"{name}/")


def _shown(name: str) -> str:
    """Return a name as it can be printed: a look-alike or a control character as its number."""
    return name if name.isascii() and name.isprintable() else ascii(name)


def _faults_of(path: Path, name: str) -> Iterator[str]:
    """Yield what is wrong with one file.

    Raises:
        ValueError: For a file that cannot be read as what its name says.
    """
    if name.endswith(".safetensors"):
        yield from _weights_faults(path)
    elif name.endswith(".onnx"):
        if path.stat().st_size and _contains(path, EXTERNAL_DATA):
            yield "names another file for its numbers; export again"
    elif name.endswith(".png"):
        with path.open("rb") as stream:
            if stream.read(len(PNG_START)) != PNG_START:
                yield "is no PNG"
    else:
        yield from _text_faults(path, name)


def _text_faults(path: Path, name: str) -> Iterator[str]:
    """Yield what is wrong with a file of text."""
    if path.stat().st_size > LARGEST_TEXT_BYTES:
        raise ValueError(f"has {path.stat().st_size:,} bytes, {LARGEST_TEXT_BYTES:,} are enough")
    content = path.read_bytes()
    if name in JSON_FILES:
        yield from form_faults(strict_json(content), JSON_FILES[name])
    elif name in RECORD_FILES:
        yield from _yaml_faults(content.decode("utf-8"), name)
    elif "\0" in content.decode("utf-8"):
        yield "is no text"


def _yaml_faults(text: str, name: str) -> Iterator[str]:
    """Yield what a record of a run has beside plain keys and values; that of the options must be options."""
    depth = 0
    try:
        for token in yaml.scan(text, yaml.SafeLoader):
            depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
            if depth > DEEPEST_YAML or isinstance(token, _NOT_PLAIN):
                line = token.start_mark.line + 1
                yield f"line {line} has a tag, an anchor or too many levels, plain values are wanted"
                return
        values = read_yaml(text)
    except yaml.YAMLError as error:
        raise ValueError(f"no plain YAML ({type(error).__name__})") from error
    if not isinstance(values, dict):
        yield "no mapping of names to values"
    elif name == RECIPE:
        known = {*own_names(PretrainingOptions), *acting_fields("pretrain")}
        yield from (f"{ascii(key)} is no option of pretrain" for key in values if key not in known)


def _weights_faults(path: Path) -> Iterator[str]:
    """Yield what is wrong with the header of safetensors, and bytes that belong to no tensor."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(size - 8, LARGEST_TEXT_BYTES):
            raise ValueError("is not a whole safetensors file")
        header = strict_json(stream.read(length))
    if not isinstance(header, dict):
        raise ValueError("is not a whole safetensors file")
    yield from form_faults(header.pop("__metadata__", {}), WEIGHTS_METADATA, "__metadata__")
    yield from (faults := list(form_faults(header, Names(str, WEIGHTS_TENSOR))))
    ends = sorted(tuple(tensor["data_offsets"]) for tensor in header.values()) if not faults else []
    end = 0
    for start, stop in ends:
        if start != end or stop < start:
            yield "has tensors that overlap or leave a gap"
            return
        end = stop
    if not faults and 8 + length + end != size:
        yield f"has {size - 8 - length - end} bytes beyond its tensors"


def _contains(path: Path, part: bytes) -> bool:
    """Tell whether a file holds some bytes, without reading it into memory."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(part) >= 0
