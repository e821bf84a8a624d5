"""The kinds of models by the name that `kind` has in a recipe."""

from __future__ import annotations

from importlib import import_module

from .kind import ModelKind

# The module and its class; what a kind needs is imported when it is asked for.
KINDS = {
    "dense": ("dense", "DenseKind"),
    "sparse": ("sparse", "SparseKind"),
    "sparse_documents": ("sparse_documents", "SparseDocumentsKind"),
    "late_interaction": ("late_interaction", "LateInteractionKind"),
    "reranker": ("reranker", "RerankerKind"),
    "static": ("static", "StaticKind"),
}


def kind_named(name: str) -> ModelKind:
    """Return a kind by its name."""
    module, kind = KINDS[name]
    return getattr(import_module(f"{__package__}.{module}"), kind)()
