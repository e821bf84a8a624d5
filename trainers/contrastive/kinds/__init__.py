"""Kinds of models that the stages train: a file for each."""

from __future__ import annotations

from importlib import import_module

from .kind import ModelKind

__all__ = ["KINDS", "ModelKind", "kind_named"]

# By the name that `kind` has in a recipe: the module and its class.
KINDS = {"dense": ("dense", "DenseKind")}


def kind_named(name: str) -> ModelKind:
    """Return a kind by its name in a recipe; the libraries of the others are not loaded."""
    module, kind = KINDS[name]
    return getattr(import_module(f".{module}", __name__), kind)()
