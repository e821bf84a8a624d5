"""Which kinds of files a released folder holds, and which of its settings lead to code from elsewhere; nothing runs.

Together with the comparison of every Python file with the known versions of `modeling/`, this says that a release holds
the code that was reviewed and nothing that needs a review.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...modeling import ChineseModernBertConfig
from ...tokenization.loading import TOKENIZER_FILE
from ..checkpoint import CONFIG_FILE, read_json, read_json_list
from ..manifest import MANIFEST_FILE
from ..provenance import PROVENANCE_FILE
from ..sentence_modules import (
    LANGUAGE_MODEL_MODULE,
    MODULES_FILE,
    NORMALIZE_MODULE,
    POOLING_MODULE,
    SPLADE_MODULE,
    TRANSFORMER_MODULE,
)

# Everything a release may hold. Pickles (.bin, .pt, .pkl), archives and compiled code are in no row of this.
ALLOWED_SUFFIXES = frozenset(
    (".safetensors", ".json", ".jsonl", ".yaml", ".md", ".txt", ".png", ".py", ".onnx", ".onnx_data", ".data")
)
ALLOWED_WITHOUT_SUFFIX = frozenset(("LICENSE", "NOTICE"))
SENTENCE_MODULES = frozenset(
    (TRANSFORMER_MODULE, POOLING_MODULE, NORMALIZE_MODULE, LANGUAGE_MODEL_MODULE, SPLADE_MODULE)
)
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
    """Return the settings of a folder that make a library load code, or another model, from elsewhere.

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
                kinds = [str(row.get("type")) for row in read_json_list(path)]
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
