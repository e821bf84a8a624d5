"""Everyday sentences with a blank: does a masked language model find a word that fits?

Nothing is trained. A sentence is right where one of its answers is among the first words that `fill_words` finds. The
blank has as many tokens as the first answer, so that answers of another number of tokens cannot be found; or words of
several numbers of tokens are ranked together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from ...modeling.blanks_chinese_modernbert import BLANK, Word
from ...modeling.filling_chinese_modernbert import BEAM_WIDTH, WordFiller
from ...runtime.recipes import read_yaml
from ...runtime.text_files import read_text

EVERYDAY = Path(__file__).with_name("blanks.yaml")


@dataclass(frozen=True)
class Blank:
    """A sentence that holds `BLANK` once, and the words that fit, the first of which decides its number of tokens."""

    text: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class FilledBlank:
    """What a model finds for a sentence: the most probable words, in order."""

    blank: Blank
    words: tuple[Word, ...]

    @property
    def rank(self) -> int | None:
        """Place of the first answer among the words, from 1 on; None where there is none."""
        found = (place for place, one in enumerate(self.words, start=1) if one.text in self.blank.answers)
        return next(found, None)


def read_blanks(path: str | Path = EVERYDAY) -> list[Blank]:
    """Read sentences from a YAML list of `{text, answers}`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: With the number of the entry, for another form, a sentence without one blank, no answer, an answer
            or a sentence given twice; or if there is no sentence.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"no sentences at {file}; give a YAML list of {{text, answers}}")
    rows = read_yaml(read_text(file))
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{file} holds no list of sentences; give {{text, answers}} of each")
    blanks = [_blank(row, f"{file}, entry {number}") for number, row in enumerate(rows, start=1)]
    texts = [blank.text for blank in blanks]
    for number, text in enumerate(texts, start=1):
        if text in texts[: number - 1]:
            raise ValueError(f"{file}, entry {number}: the sentence {text!r} is given twice; keep one")
    return blanks


def _blank(row: Any, location: str) -> Blank:
    """Return one entry, checked."""
    if not isinstance(row, Mapping) or set(row) != {"text", "answers"}:
        raise ValueError(f"{location} is not {{text: sentence, answers: [word, ...]}}: {row!r}")
    text, answers = row["text"], row["answers"]
    if not isinstance(text, str) or text.count(BLANK) != 1:
        raise ValueError(f"{location}: the sentence {text!r} must hold {BLANK} once")
    if not isinstance(answers, list) or not answers or not all(isinstance(one, str) and one for one in answers):
        raise ValueError(f"{location}: answers={answers!r} must be a list of words; put numbers in quotes")
    if len(set(answers)) < len(answers):
        raise ValueError(f"{location}: an answer of {answers} is given twice; keep one")
    return Blank(text, tuple(answers))


def fill_blanks(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    blanks: Sequence[Blank],
    top: int = 5,
    tokens: tuple[int, int] | None = None,
) -> list[FilledBlank]:
    """Return the `top` words that a model finds for each sentence.

    Args:
        model: masked language model in evaluation mode
        tokenizer: its tokenizer
        blanks: the sentences
        top: words to find
        tokens: fewest and most tokens of a word; default: as many as the first answer has
    """
    filler = WordFiller(model, tokenizer, width=max(BEAM_WIDTH, top))
    ranges = [tokens or _counted(tokenizer, blank.answers[0]) for blank in blanks]
    words: dict[int, tuple[Word, ...]] = {}
    for own in sorted(set(ranges)):
        numbers = [number for number, one in enumerate(ranges) if one == own]
        found = filler.fill([blanks[number].text for number in numbers], tokens=own, top=top)
        words.update((number, tuple(one.words[0] for one in row)) for number, row in zip(numbers, found, strict=True))
    return [FilledBlank(blank, words[number]) for number, blank in enumerate(blanks)]


def _counted(tokenizer: PreTrainedTokenizerFast, word: str) -> tuple[int, int]:
    """Return how many tokens a word has, as the fewest and the most."""
    count = len(tokenizer(word, add_special_tokens=False)["input_ids"])
    return count, count
