"""Tokenizer training, width folding, word segmentation, word starts and entities."""

from typing import TYPE_CHECKING

from ..runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .documents import TextDocument, find_text_files, read_documents
    from .entities import EntityTagging, Span, spans_of_tags
    from .extend import ExtensionArguments, run_extension
    from .loading import check_vocabulary, load_tokenizer, save_tokenizer, tokenizer_hash
    from .normalization import fold_width
    from .train_bpe import TokenizerArguments, run_tokenizer_training, train_tokenizer
    from .word_segmentation import WordSegmenter, load_segmenter
    from .word_starts import DocumentEncoder, EncodedDocument, encode_documents
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "DocumentEncoder",
    "EncodedDocument",
    "EntityTagging",
    "ExtensionArguments",
    "Span",
    "TextDocument",
    "TokenizerArguments",
    "WordSegmenter",
    "check_vocabulary",
    "encode_documents",
    "find_text_files",
    "fold_width",
    "load_segmenter",
    "load_tokenizer",
    "read_documents",
    "run_extension",
    "run_tokenizer_training",
    "save_tokenizer",
    "spans_of_tags",
    "tokenizer_hash",
    "train_tokenizer",
]
