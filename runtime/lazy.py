"""Imports on demand: names of a package when they are first asked for (PEP 562), and packages that may be missing.

A package lists its names as a type checker reads them, as imports under `if TYPE_CHECKING:` and in `__all__`. Those
imports are the table for run time too, so that the two cannot differ.
"""

import ast
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

# By the names under which they are imported; tests/unit/runtime/test_lazy.py compares them with pyproject.toml.
EXTRAS = {
    "segment": ("jieba", "pypinyin", "rjieba"),
    "train": ("accelerate", "datasets", "matplotlib", "pyarrow", "rensa", "zstandard"),
    "eval": (
        "accelerate",
        "bm25s",
        "datasets",
        "evaluate",
        "matplotlib",
        "peft",
        "rensa",
        "scipy",
        "sentence_transformers",
        "sklearn",
        "usearch",
    ),
    "mteb": ("mteb",),
    "engines": ("qdrant_client", "seismic"),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "cluster": ("datatrove", "orjson"),
}


def lazy_names(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package whose names are imported on demand.

    Args:
        package: the package's `__name__`
    """

    def get(name: str) -> Any:
        found = _origins(package).get(name)
        if found is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, original = found
        with optional_import(f"{package}.{name}"):
            value = getattr(import_module(module, package), original)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *_origins(package)})

    return get, names


@cache
def _origins(package: str) -> dict[str, tuple[str, str]]:
    """Return for each name the module that defines it, relative to the package, and its name there."""
    tree = ast.parse(pkgutil.get_data(package, "__init__.py") or b"")
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {
        alias.asname or alias.name: ("." * node.level + (node.module or ""), alias.name)
        for node in imports
        for alias in node.names
    }


@contextmanager
def optional_import(purpose: str) -> Iterator[None]:
    """Say which extra installs it where a package that is imported in the block is missing.

    Any other ImportError passes as it is, that of a package which is there and broken too.

    Args:
        purpose: what the package is for

    Raises:
        ImportError: If an optional package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if (extra := _extra_with([package])) is None:
            raise
        raise _missing([package], purpose, extra) from error


def require_packages(purpose: str, packages: Sequence[str]) -> None:
    """Check before any work that optional packages are there, without importing them.

    Args:
        purpose: what they are for
        packages: by the names under which they are imported; one extra installs them all

    Raises:
        ImportError: If one is missing.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise _missing(missing, purpose, _extra_with(packages) or "all")


def _extra_with(packages: Iterable[str]) -> str | None:
    """Return the first extra that installs all of the packages, or None."""
    return next((extra for extra, installed in EXTRAS.items() if {*packages} <= {*installed}), None)


def _missing(packages: Sequence[str], purpose: str, extra: str) -> ImportError:
    verb = "is" if len(packages) == 1 else "are"
    return ImportError(f"{', '.join(packages)} {verb} missing for {purpose}: pip install 'chinese-modernbert[{extra}]'")
