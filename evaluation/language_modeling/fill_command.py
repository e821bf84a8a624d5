"""The command `fill`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ...runtime.options import argument
from ..texts_command import TextsArguments, check_texts, in_groups, read_texts, write_rows
from .token_range import read_token_range

if TYPE_CHECKING:
    from ...modeling.filling_chinese_modernbert import WordFiller


@dataclass
class FillArguments(TextsArguments):
    """Which words to look for, in the blanks of which texts."""

    blank: str = argument("{mask}", "What stands for a word in the texts.", group="Words")
    tokens: str = argument("", "Tokens of a word: 2, or the fewest and the most as 1..3; if empty: 1..3.")
    candidates: list[str] = argument(list, "The only words to choose from, of any number of tokens.", names=True)
    order: Literal["confidence", "left_to_right"] = argument("confidence", "Which blank of a text is filled next.")
    reveal: Literal["at_once", "one_by_one"] = argument("at_once", "How the tokens of one word are predicted.")
    top: int = argument(5, "Fillings of a text.", within="[1, 1000]")
    seed: int | None = argument(None, "Draw fillings by their probabilities; null: take the best.")
    max_tokens: int | None = argument(None, "Tokens that the model sees of a text; null: all that it reads.")

    def __post_init__(self) -> None:
        """Check what can be checked before a model is loaded.

        Raises:
            ValueError: For a number of tokens beside candidates, and as `TextsArguments`.
        """
        super().__post_init__()
        if read_token_range(self.tokens) and self.candidates:
            raise ValueError(f"tokens={self.tokens} and candidates are given; candidates have their own tokens")
        if not self.blank:
            raise ValueError("blank is empty; give what stands for a word, such as {mask}")


def run_fill(args: FillArguments) -> str:
    """Fill the blanks and return the rows, or where they are.

    Raises:
        ValueError: For a text without a blank, or a folder without a masked language model.
    """
    from ...modeling.filling_chinese_modernbert import BEAM_WIDTH, WordFiller
    from .loading import load_masked_language_model

    check_texts(args, "fillings")
    model, tokenizer = load_masked_language_model(args.model, args.dtype, args.use_cpu, args.trust_remote_code)
    filler = WordFiller(model, tokenizer, args.tokens_per_batch, args.max_tokens, max(BEAM_WIDTH, args.top))
    return write_rows(args, _filled(filler, args), lambda row: _shown(row, args.text_field))


def _filled(filler: WordFiller, args: FillArguments) -> Iterator[dict[str, Any]]:
    """Yield the row of every text with its fillings."""
    done = 0
    for group in in_groups(read_texts(args, "fillings")):
        found = filler.fill(
            [row[args.text_field] for _, row in group],
            names=[place for place, _ in group],
            blank=args.blank,
            tokens=read_token_range(args.tokens),
            top=args.top,
            candidates=args.candidates or None,
            order=args.order,
            reveal=args.reveal,
            seed=None if args.seed is None else [args.seed + done + number for number in range(len(group))],
        )
        done += len(group)
        for (_, row), fillings in zip(group, found, strict=True):
            told = [
                {
                    "score": math.exp(one.score),
                    "words": [word.text for word in one.words],
                    "probabilities": [word.probability for word in one.words],
                    "text": one.text,
                }
                for one in fillings
            ]
            yield {**row, "fillings": told}


def _shown(row: dict[str, Any], field: str) -> str:
    """Return a text and its fillings, a line each."""
    lines = [f"{one['score']:10.4f}  {' | '.join(one['words'])}  {one['text']}" for one in row["fillings"]]
    return "\n".join([row[field], *(lines or ["    no word fits"])])
