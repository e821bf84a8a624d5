"""The forms of a tokenizer's files: every part that the library `tokenizers` writes, by type, and nothing else."""

from __future__ import annotations

import re
from typing import Any

from .json_forms import Names, Typed

_PATTERN = ({"String": str}, {"Regex": str})
_BEHAVIOR = frozenset(("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"))
_BYTE_LEVEL = {"add_prefix_space": bool, "trim_offsets": bool, "use_regex": bool}
_METASPACE = {"replacement": str, "prepend_scheme": frozenset(("first", "never", "always")), "split": bool}
_PIECE = ({"SpecialToken": {"id": str, "type_id": int}}, {"Sequence": {"id": frozenset("AB"), "type_id": int}})
_ENDS = {"sep": [(str, int)], "cls": [(str, int)]}
_TEXT = (str, None)

_normalizers: dict[str, dict[str, Any]] = {
    **{name: {} for name in ("ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "StripAccents")},
    "BertNormalizer": {
        "clean_text": bool,
        "handle_chinese_chars": bool,
        "strip_accents": (bool, None),
        "lowercase": bool,
    },
    "Precompiled": {"precompiled_charsmap": str},
    "Prepend": {"prepend": str},
    "Replace": {"pattern": _PATTERN, "content": str},
    "Strip": {"strip_left": bool, "strip_right": bool},
}
_normalizers["Sequence"] = {"normalizers": [Typed(_normalizers)]}

_pre_tokenizers: dict[str, dict[str, Any]] = {
    **{name: {} for name in ("BertPreTokenizer", "UnicodeScripts", "Whitespace", "WhitespaceSplit")},
    "ByteLevel": _BYTE_LEVEL,
    "CharDelimiterSplit": {"delimiter": str},
    "Digits": {"individual_digits": bool},
    "FixedLength": {"length": int},
    "Metaspace": _METASPACE,
    "Punctuation": {"behavior": _BEHAVIOR},
    "Split": {"pattern": _PATTERN, "behavior": _BEHAVIOR, "invert": bool},
}
_pre_tokenizers["Sequence"] = {"pretokenizers": [Typed(_pre_tokenizers)]}

_post_processors: dict[str, dict[str, Any]] = {
    "BertProcessing": _ENDS,
    "RobertaProcessing": {**_ENDS, "trim_offsets": bool, "add_prefix_space": bool},
    "ByteLevel": _BYTE_LEVEL,
    "TemplateProcessing": {
        "single": [_PIECE],
        "pair": [_PIECE],
        "special_tokens": Names(str, {"id": str, "ids": [int], "tokens": [str]}),
    },
}
_post_processors["Sequence"] = {"processors": [Typed(_post_processors)]}

_decoders: dict[str, dict[str, Any]] = {
    **{name: {} for name in ("ByteFallback", "Fuse")},
    "BPEDecoder": {"suffix": str},
    "ByteLevel": _BYTE_LEVEL,
    "CTC": {"pad_token": str, "word_delimiter_token": str, "cleanup": bool},
    "Metaspace": _METASPACE,
    "Replace": {"pattern": _PATTERN, "content": str},
    "Strip": {"content": str, "start": int, "stop": int},
    "WordPiece": {"prefix": str, "cleanup": bool},
}
_decoders["Sequence"] = {"decoders": [Typed(_decoders)]}

_MODELS = {
    "BPE": {
        "dropout": (float, None),
        "unk_token": _TEXT,
        "continuing_subword_prefix": _TEXT,
        "end_of_word_suffix": _TEXT,
        "fuse_unk": bool,
        "byte_fallback": bool,
        "ignore_merges": bool,
        "vocab": Names(str, int),
        "merges": [([str], str)],
    },
    "WordPiece": {
        "unk_token": str,
        "continuing_subword_prefix": str,
        "max_input_chars_per_word": int,
        "vocab": Names(str, int),
    },
    "Unigram": {"unk_id": (int, None), "vocab": [[(str, float)]], "byte_fallback": bool},
    "WordLevel": {"vocab": Names(str, int), "unk_token": str},
}
_ADDED = {
    "content": str,
    **dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), bool),
}
# Truncation and padding are settings of a call; the builder takes them out.
TOKENIZER = {
    "version": frozenset(("1.0",)),
    "truncation": None,
    "padding": None,
    "added_tokens": [{"id": int, **_ADDED}],
    "normalizer": (Typed(_normalizers), None),
    "pre_tokenizer": (Typed(_pre_tokenizers), None),
    "post_processor": (Typed(_post_processors), None),
    "decoder": (Typed(_decoders), None),
    "model": Typed(_MODELS),
}

_TOKEN = (str, {"__type": frozenset(("AddedToken",)), **_ADDED}, None)
_ROLES = ("pad", "unk", "cls", "sep", "mask", "bos", "eos")
SPECIAL_TOKENS = {**{f"{role}_token": _TOKEN for role in _ROLES}, "additional_special_tokens": [_TOKEN]}
# Classes that read `tokenizer.json` alone. Others read another model of the Hub, or run a program.
_CLASSES = ("Bert", "GPT2", "Roberta", "XLMRoberta", "Gemma")
TOKENIZER_CONFIG = {
    **SPECIAL_TOKENS,
    "extra_special_tokens": ([_TOKEN], Names(str, _TOKEN)),
    "added_tokens_decoder": Names(re.compile(r"\d+"), _ADDED),
    "tokenizer_class": frozenset(
        (
            *("PreTrainedTokenizerFast", "TokenizersBackend"),
            *(f"{name}Tokenizer{kind}" for name in _CLASSES for kind in ("", "Fast")),
        )
    ),
    "backend": frozenset(("tokenizers",)),
    "model_max_length": int,
    "model_input_names": [frozenset(("input_ids", "attention_mask", "token_type_ids"))],
    "padding_side": frozenset(("left", "right")),
    "truncation_side": frozenset(("left", "right")),
    "clean_up_tokenization_spaces": bool,
    **dict.fromkeys(("is_local", "local_files_only", "do_lower_case", "tokenize_chinese_chars"), bool),
    **dict.fromkeys(("add_prefix_space", "trim_offsets", "do_basic_tokenize"), bool),
    "strip_accents": (bool, None),
}
