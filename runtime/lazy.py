"""Names of a package that are imported when they are first asked for (PEP 562).

A package lists them as a type checker reads them, as imports under `if TYPE_CHECKING:` and in `__all__`. Those imports
are the table for run time too, so that the two cannot differ.
"""

import ast
import pkgutil
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any


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
