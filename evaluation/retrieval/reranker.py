"""A reranker whose texts are cut before the tokenizer cuts them: the same tokens, at a cost that grows with the text.

The tokenizer of the library cuts a pair afterwards: it keeps every piece that it cuts off and joins each of one side
with each of the other: two long texts take a time that grows with the product of their lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sentence_transformers import CrossEncoder
from transformers import PreTrainedTokenizerFast

# Texts of up to this many characters for each token that a pair may have are left to the tokenizer. Source: ours.
CHARACTERS_PER_TOKEN = 4


class Reranker(CrossEncoder):
    """A `CrossEncoder`, which it is saved as: query and passage are read together and get one number."""

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """Return what the model reads of pairs of texts, as `CrossEncoder` does."""
        longest = kwargs.get("max_length") or self.max_seq_length
        tokenizer: Any = self.tokenizer
        if longest and isinstance(tokenizer, PreTrainedTokenizerFast) and tokenizer.truncation_side == "right":
            inputs = [_cut_pair(pair, tokenizer, longest, prompt or "") for pair in inputs]
        return super().preprocess(inputs, prompt=prompt, **kwargs)


def _cut_pair(pair: Any, tokenizer: PreTrainedTokenizerFast, longest: int, prompt: str) -> Any:
    """Return a pair whose texts are cut, or the pair itself.

    `longest_first` takes tokens off the ends until `longest` are left. What stays of a side is a beginning of its
    tokens that fits into the `room` beside the special ones, and how much of it stays depends on two things: on both
    numbers of tokens as far as they are below the room, and, where neither is, on which side has more. So a text may be
    replaced by any beginning with the same first tokens, more of them than the room, if the longer side stays the
    longer one. That a beginning has the same tokens is looked at, not concluded: a tokenizer may cut words otherwise
    where a text ends.

    Args:
        pair: a query and a passage
        tokenizer: of the model, which cuts ends
        longest: tokens of a pair, with the special ones
        prompt: put before the query
    """
    if not (isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
        return pair
    if max(map(len, pair)) <= CHARACTERS_PER_TOKEN * longest:
        return pair
    room = longest - tokenizer.num_special_tokens_to_add(pair=True)
    sides = [_Side(pair[0], tokenizer, prompt), _Side(pair[1], tokenizer)]
    counts = [len(side.ids) for side in sides]
    is_longer = [counts[0] > counts[1], counts[0] <= counts[1]]
    cut = [side.start(room, 4 * room if longer else 2 * room) for side, longer in zip(sides, is_longer, strict=True)]
    now = [len(side.ids) for side in cut]
    if min(counts) > room and (now[0] > now[1]) != is_longer[0]:
        return pair
    return type(pair)(side.text for side in cut)


class _Side:
    """A text and its tokens.

    Args:
        text: the text
        tokenizer: of the model
        prompt: what is put before it
    """

    def __init__(self, text: str, tokenizer: PreTrainedTokenizerFast, prompt: str = "") -> None:
        self.text, self.tokenizer, self.prompt = text, tokenizer, prompt
        given = prompt + text
        found = tokenizer(given, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        self.ids: list[int] = found["input_ids"]  # pyright: ignore[reportAttributeAccessIssue]
        self.ends: list[int] = [end for _, end in found["offset_mapping"]]  # pyright: ignore[reportGeneralTypeIssues]

    def start(self, room: int, tokens: int) -> _Side:
        """Return a beginning of about so many tokens that has the same first `room` ones and more, or the whole.

        Args:
            room: tokens that must be the same
            tokens: more than the room
        """
        while room < tokens < len(self.ids):
            end = self.ends[tokens - 1] - len(self.prompt)
            found = _Side(self.text[: max(end, 0)], self.tokenizer, self.prompt)
            if len(found.ids) > room and found.ids[:room] == self.ids[:room]:
                return found
            tokens *= 2
        return self
