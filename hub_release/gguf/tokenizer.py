"""A release's tokenizer as llama.cpp can express it, and what a text needs before llama.cpp reads it.

llama.cpp chooses a pre-tokenizer by name and has no normalizer for BPE. Its usual BPE runs over bytes, and there a
character that is not in the vocabulary can lose bytes: the first bytes merge as those of a known character do, and the
half of a character that results has no id. The BPE of Gemma 4 runs over characters with byte fallback, as ours does. It
splits at line breaks alone and writes a space as U+2581. What it lacks are our splits, and they are seen in one
place: runs of more than three digits, which ours cuts after every third. `prepare_text` puts in what is missing.

Source: src/llama-vocab.cpp of llama.cpp, `llm_tokenizer_bpe` and `llm_tokenizer_bpe_session`.
"""

from __future__ import annotations

import copy
import re
from itertools import chain
from typing import Any

from tokenizers import Tokenizer

PRE_TOKENIZER = "gemma4"
# What llama.cpp does to a text with that pre-tokenizer, in the words of the library tokenizers.
NORMALIZER = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
SPLIT = {"type": "Split", "pattern": {"Regex": r"[^\n]+|[\n]+"}, "behavior": "Isolated", "invert": False}
SPACE = "\u2581"
# A control character, rare in text: its token gets another name, so that merges stop here and llama.cpp drops it.
SEPARATOR = "\x01"
SEPARATOR_BYTE = "<0x01>"
RENAMED_SEPARATOR_BYTE = "<separator>"
SPACE_BYTE = "<0x20>"
# Characters that llama.cpp cannot give the ids of the release: it reads the first as a space and drops the second.
INEXPRESSIBLE = (SPACE, SEPARATOR)
LONG_NUMBER = re.compile("[0-9]{3}")


def rewrite_tokenizer(document: dict[str, Any]) -> dict[str, Any]:
    """Return a tokenizer.json for llama.cpp's converter: the same ids, spelled as llama.cpp looks them up.

    A space becomes U+2581 and the token of the byte 0x01 gets a name that no text matches. Merges that make three
    digits move to the front: in a run of up to three digits only one pair is left after the first merge, so nothing
    changes there, and in a longer run a group is finished before the next begins, as `200` and `0` of `2000`.

    Args:
        document: the JSON object of a tokenizer.json, with merges as pairs

    Raises:
        ValueError: For a tokenizer that is no BPE with byte fallback, or whose tokens hold U+2581 or U+0001.
    """
    model = document.get("model", {})
    if model.get("type") != "BPE" or not model.get("byte_fallback"):
        given = f"type={model.get('type')!r}, byte_fallback={model.get('byte_fallback')!r}"
        raise ValueError(f"the tokenizer has {given}; only BPE with byte fallback can be written for llama.cpp")
    for character in (*INEXPRESSIBLE, RENAMED_SEPARATOR_BYTE):
        taken = next((piece for piece in model["vocab"] if character in piece), None)
        if taken is not None:
            raise ValueError(f"the token {taken!r} holds {character!r}, which llama.cpp needs; train without it")
    renamed = {SEPARATOR_BYTE: RENAMED_SEPARATOR_BYTE}
    if " " not in model["vocab"]:
        renamed[SPACE_BYTE] = SPACE
    rewritten = copy.deepcopy(document)
    vocabulary = {renamed.get(piece, piece.replace(" ", SPACE)): token for piece, token in model["vocab"].items()}
    merges = [[part.replace(" ", SPACE) for part in pair] for pair in model["merges"]]
    merges.sort(key=lambda pair: LONG_NUMBER.fullmatch("".join(pair)) is None)  # stable: the rest keeps its order
    rewritten["model"].update(vocab=vocabulary, merges=merges)
    rewritten.update(normalizer=NORMALIZER, pre_tokenizer=SPLIT)
    return rewritten


def prepare_text(tokenizer: Tokenizer, text: str) -> str:
    """Return a text from which llama.cpp makes the ids that the tokenizer makes of `text`.

    The tokenizer's own normalizer and splits are applied, and U+0001 marks the splits. For a program without this
    library: full-width letters and digits to ASCII, U+3000 to a space, and U+0001 after every third digit of a number.
    U+2581 and U+0001 in `text` itself cannot be expressed.

    Args:
        tokenizer: the release's, not the rewritten one
        text: as the tokenizer would get it; special tokens stay whole
    """
    specials = [re.escape(token.content) for token in tokenizer.get_added_tokens_decoder().values()]
    parts = re.split(f"({'|'.join(specials)})", text) if specials else [text]
    # re.split puts what is between the special tokens at even places.
    return "".join(chain.from_iterable(_split(tokenizer, part) if not i % 2 else part for i, part in enumerate(parts)))


def _split(tokenizer: Tokenizer, text: str) -> str:
    """Return a text without special tokens, normalized, with a separator at every split."""
    normalized = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
    if not tokenizer.pre_tokenizer:
        return normalized
    return SEPARATOR.join(piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normalized))
