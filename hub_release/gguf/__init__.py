"""A release as one file for llama.cpp: tokenizer, conversion, checks."""

from typing import TYPE_CHECKING

from ...runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .export import export_gguf
    from .tokenizer import prepare_text, rewrite_tokenizer
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = ["export_gguf", "prepare_text", "rewrite_tokenizer"]
