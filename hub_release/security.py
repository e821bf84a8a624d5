"""A reading of a released folder that trusts nothing in it: what its code imports and calls, which files it holds.

Only the syntax is read, nothing runs. So this finds what is written plainly, an import of `subprocess` or a pickle; it
is no sandbox for code that hides what it does. Together with the comparison of every file with this library's, it says
that a release holds the code that was reviewed and nothing that needs a review.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from .checkpoint import read_json_object, read_json_rows

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
    (".safetensors", ".json", ".jsonl", ".yaml", ".md", ".txt", ".png", ".py", ".onnx", ".data")
)
ALLOWED_WITHOUT_SUFFIX = frozenset(("LICENSE", "NOTICE"))
SENTENCE_MODULES = "sentence_transformers."


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
    """Return places where the folder's settings make a library load code from elsewhere.

    Three exist: an `auto_map` that names another repository (`owner/name--module.Class`), an `auto_map` of the
    tokenizer, and a type in `modules.json`, which sentence-transformers imports by its dotted name.
    """
    faults = []
    try:
        auto_map = read_json_object(folder / "config.json").get("auto_map") or {}
        faults += [f"auto_map takes {name} from {value}" for name, value in auto_map.items() if "--" in str(value)]
        if (folder / "tokenizer_config.json").is_file():
            names = read_json_object(folder / "tokenizer_config.json").get("auto_map")
            faults += [f"the tokenizer's auto_map names {names}"] if names else []
        if (folder / "modules.json").is_file():
            kinds = [str(row.get("type")) for row in read_json_rows(folder / "modules.json")]
            faults += [f"modules.json imports {kind}" for kind in kinds if not kind.startswith(SENTENCE_MODULES)]
    except ValueError as error:
        faults.append(str(error))
    return faults
