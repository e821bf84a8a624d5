"""Runs llama.cpp's converter with what its table of tokenizers cannot know; a program of its own, without our package.

    python converter_process.py CHECKOUT PRE_TOKENIZER FOLDER --outfile FILE --outtype TYPE

The converter finds the name of the pre-tokenizer by a hash over ids, in a table of published models; here it is given.
"""

from __future__ import annotations

import re
import sys
from typing import Any


def main() -> None:
    """Take the checkout and the name from the arguments, and hand the rest to the converter."""
    checkout, pre_tokenizer = sys.argv[1:3]
    del sys.argv[1:3]
    # Before everything else, also before this file's own folder: the checkout's `gguf` belongs to its converter.
    sys.path[:0] = [checkout, f"{checkout}/gguf-py"]
    import convert_hf_to_gguf as converter  # pyright: ignore[reportMissingImports]

    for model_class in _subclasses(converter.ModelBase):
        if "get_vocab_base_pre" in vars(model_class):
            _give_name(model_class, pre_tokenizer)
            _mark_bytes(model_class, converter.gguf.TokenType)
    converter.main()


def _subclasses(model_class: type) -> list[type]:
    """Return a class and all below it."""
    below = [name for child in model_class.__subclasses__() for name in _subclasses(child)]
    return [model_class, *below]


def _give_name(model_class: Any, pre_tokenizer: str) -> None:
    """Let the class answer with the given name."""
    model_class.get_vocab_base_pre = lambda _self, _tokenizer: pre_tokenizer


def _mark_bytes(model_class: Any, token_type: Any) -> None:
    """Let the class type the tokens of bytes as such, so that llama.cpp turns ids back into text."""
    read = model_class.get_vocab_base

    def get_vocab_base(self: Any) -> tuple[list[str], list[int], str]:
        tokens, types, name = read(self)
        is_byte = [re.fullmatch("<0x[0-9A-F]{2}>", token) is not None for token in tokens]
        return tokens, [token_type.BYTE if byte else old for byte, old in zip(is_byte, types, strict=True)], name

    model_class.get_vocab_base = get_vocab_base


if __name__ == "__main__":
    main()
