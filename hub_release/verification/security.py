"""A reading of a released folder that trusts nothing in it: what its code imports and calls, which files it holds.

Only the syntax is read, nothing runs. So this finds what is written plainly, an import of `subprocess` or a pickle; it
is no sandbox for code that hides what it does. Together with the comparison of every file with this library's, it says
that a release holds the code that was reviewed and nothing that needs a review.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...modeling import ChineseModernBertConfig
from ...tokenization.loading import TOKENIZER_FILE
from ..builder import MANIFEST_FILE, MODULES_FILE, NORMALIZE_MODULE, POOLING_MODULE, TRANSFORMER_MODULE
from ..checkpoint import CONFIG_FILE, read_json, read_json_rows
from ..provenance import PROVENANCE_FILE

# Exactly what the files of `modeling/` import. Source: our default; a new import is a decision, made here.
ALLOWED_MODULES = frozenset(
    (
        *("__future__", "collections.abc", "dataclasses", "itertools", "math", "typing"),
        *("torch", "torch.nn.functional"),
        *("torch.nn.attention.flex_attention", "torch.nn.attention.varlen"),
        *("transformers", "transformers.activations", "transformers.modeling_layers", "transformers.modeling_outputs"),
        *("transformers.modeling_utils", "transformers.utils.generic"),
    )
)
FORBIDDEN_NAMES = frozenset(
    (
        *("eval", "exec", "compile", "open", "__import__", "input", "breakpoint", "globals", "__builtins__"),
        *("os", "sys", "io", "subprocess", "socket", "shutil", "pathlib", "importlib", "pickle", "ctypes", "builtins"),
    )
)
# What leads from an allowed module to files, the network or other code: `torch.load`, `torch.hub`, `x.tofile`, ...
FORBIDDEN_ATTRIBUTES = FORBIDDEN_NAMES - {"compile"} | frozenset(
    (
        *("load", "save", "hub", "package", "cpp_extension", "model_zoo", "load_library", "load_inline", "from_file"),
        *("tofile", "fromfile", "memmap", "write", "write_text", "write_bytes", "read_text", "read_bytes"),
        *("from_pretrained", "save_pretrained", "push_to_hub", "cached_file", "hf_hub_download", "snapshot_download"),
        *("system", "popen", "urlopen", "request", "connect", "distributed", "multiprocessing"),
        *("__globals__", "__subclasses__", "__code__", "__loader__", "__dict__", "__reduce__", "__reduce_ex__"),
    )
)
# Everything a release may hold. Pickles (.bin, .pt, .pkl), archives and compiled code are in no row of this.
ALLOWED_SUFFIXES = frozenset(
    (".safetensors", ".json", ".jsonl", ".yaml", ".md", ".txt", ".png", ".py", ".onnx", ".onnx_data", ".data")
)
ALLOWED_WITHOUT_SUFFIX = frozenset(("LICENSE", "NOTICE"))
SENTENCE_MODULES = frozenset((TRANSFORMER_MODULE, POOLING_MODULE, NORMALIZE_MODULE))
# By these Transformers, peft and sentence-transformers find code, kernels or another model. None is in a release but
# the `auto_map` of its config, which is looked at by itself.
CODE_SETTINGS = frozenset(
    (
        *("auto_map", "custom_pipelines", "base_model_name_or_path"),
        *("attn_implementation", "_attn_implementation", "_attn_implementation_internal"),
        *("experts_implementation", "_experts_implementation", "_experts_implementation_internal"),
        *("activation_function", "activation_fn", "sbert_ce_default_activation_function"),
    )
)
# Words and names of files are keys in these, and no library takes settings from them.
RECORDS = frozenset((TOKENIZER_FILE, MANIFEST_FILE, PROVENANCE_FILE))


def code_faults(folder: Path) -> list[str]:
    """Return what the Python files of a folder import, name or call beyond computing, with file and line.

    Args:
        folder: the release; sub-folders are read too.
    """
    faults = []
    for path in sorted(folder.rglob("*.py")):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError) as error:
            faults.append(f"{path.name} is no Python ({error})")
            continue
        found = sorted({(line, what) for line, what in (*_foreign_imports(tree), *_forbidden_uses(tree))})
        faults += [f"{path.relative_to(folder)}:{line} {what}" for line, what in found]
    return faults


def imported_modules(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and module name of every import, with the leading dots of relative ones."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


def _foreign_imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield imports of modules that are not on the list, and forbidden names taken from modules that are."""
    for line, module in imported_modules(tree):
        if not module.startswith(".") and module not in ALLOWED_MODULES:
            yield line, f"imports {module}"
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for name in (alias.name for alias in node.names):
                # A star would bring in names that nobody reads here.
                if name == "*" or name in FORBIDDEN_ATTRIBUTES:
                    yield node.lineno, f"imports {name} from {node.module or '.'}"


def _forbidden_uses(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield uses of forbidden names and attributes, also of those that `getattr` takes as text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in FORBIDDEN_NAMES:
            yield node.lineno, f"uses {node.id}"
        elif isinstance(node, ast.Attribute) and node.attr in FORBIDDEN_ATTRIBUTES:
            yield node.lineno, f"uses .{node.attr}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
            texts = [one.value for one in node.args[1:2] if isinstance(one, ast.Constant)]
            for name in (text for text in texts if text in FORBIDDEN_ATTRIBUTES):
                yield node.lineno, f"uses .{name}"


def kind_faults(folder: Path) -> list[str]:
    """Return files of a kind that a release has no use for, such as pickles, archives and compiled code."""
    faults = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder)
        if name.parts[0].startswith(".") or "__pycache__" in name.parts:
            continue  # what git and the Hub's client keep
        if path.suffix not in ALLOWED_SUFFIXES and name.as_posix() not in ALLOWED_WITHOUT_SUFFIX:
            faults.append(f"{name} is of a kind that a release does not hold")
    return faults


def outside_code_faults(folder: Path) -> list[str]:
    """Return places where the folder's settings make a library load code, or another model, from elsewhere.

    Those are: an `auto_map` with other classes than ours (`owner/name--module.Class` is another repository), a type in
    `modules.json` that the builder does not write, since sentence-transformers imports types by their dotted names, and
    any of `CODE_SETTINGS` in any JSON file, at any depth.
    """
    faults = []
    for path in sorted(folder.rglob("*.json")):
        name = path.relative_to(folder).as_posix()
        if name in RECORDS:
            continue
        try:
            values = read_json(path)
            if name == CONFIG_FILE and isinstance(values, dict) and isinstance(values.get("auto_map"), dict):
                faults += _foreign_classes(values.pop("auto_map"))
            if name == MODULES_FILE:
                kinds = [str(row.get("type")) for row in read_json_rows(path)]
                faults += [f"{name} imports {kind}" for kind in kinds if kind not in SENTENCE_MODULES]
        except ValueError as error:
            faults.append(str(error))
            continue
        faults += [f"{name} sets {setting}" for setting in _code_settings(values)]
    return faults


def _foreign_classes(auto_map: dict[str, Any]) -> list[str]:
    """Return entries of an auto_map whose class is none of ours."""
    known = ChineseModernBertConfig().auto_map.values()
    return [f"auto_map takes {name} from {value}" for name, value in auto_map.items() if value not in known]


def _code_settings(value: Any) -> Iterator[str]:
    """Yield the settings in a value of JSON, at any depth, that lead to code."""
    if isinstance(value, dict):
        yield from (f"{name} to {part!r}" for name, part in value.items() if name in CODE_SETTINGS)
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _code_settings(part)
