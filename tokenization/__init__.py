"""Tokenizer training, width folding, word segmentation and word starts."""

from ..runtime.files import new_output_folder, write_text_atomically
from .documents import TextDocument, find_text_files, read_documents
from .loading import check_vocabulary, load_tokenizer, save_tokenizer, tokenizer_hash
from .normalization import fold_width
from .train_bpe import TokenizerArguments, run_tokenizer_training, train_tokenizer
from .word_segmentation import WordSegmenter, load_segmenter
from .word_starts import DocumentEncoder, EncodedDocument, encode_documents

__all__ = [
    "DocumentEncoder",
    "EncodedDocument",
    "TextDocument",
    "TokenizerArguments",
    "WordSegmenter",
    "check_vocabulary",
    "encode_documents",
    "find_text_files",
    "fold_width",
    "load_segmenter",
    "load_tokenizer",
    "new_output_folder",
    "read_documents",
    "run_tokenizer_training",
    "save_tokenizer",
    "tokenizer_hash",
    "train_tokenizer",
    "write_text_atomically",
]
