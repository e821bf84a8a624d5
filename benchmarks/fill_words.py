"""How often a model finds a masked word: of known and of unknown length, by several scores, at once and one by one.

    python benchmarks/fill_words.py --model MODEL --shards SHARDS/validation --output FILE.md

Words are masking units of 1, 2 and 3 tokens of Han characters from held-out shards, as many of each, with 48 tokens of
context on both sides. Half of the words choose what a score has to choose (the term of length); the table is of the
other half. Every score sees the same candidates. `one_by_one` is the way of filling token after token, each with those
before it shown; it is slow, so it has fewer words, and `at_once` on the same words stands beside it.

A small model seldom finds a rare word among all words. So the word is also to be chosen among given ones: itself and
others of the data, as many of each length.
"""

import argparse
import json
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chinese_modernbert.evaluation.language_modeling.loading import load_masked_language_model, public_name
from chinese_modernbert.modeling.blanks_chinese_modernbert import BLANK, Word
from chinese_modernbert.modeling.filling_chinese_modernbert import WordFiller
from chinese_modernbert.runtime.environment import describe_environment
from chinese_modernbert.runtime.files import write_text_atomically
from chinese_modernbert.runtime.markdown import markdown_table
from chinese_modernbert.trainers.data.shards import TokenShards

LENGTHS = (1, 2, 3)
CONTEXT_TOKENS = 48
FROM_A_DOCUMENT = 2
# Given words of each length that one is to be chosen from.
GIVEN = 10
HAN_WORD = re.compile("[\u4e00-\u9fff]+")
TERMS = np.arange(-2.0, 8.01, 0.5)
Score = Callable[[Word], float]


@dataclass(frozen=True)
class MaskedWord:
    """A word of a text: the text with a blank in its place, the word, and its number of tokens."""

    text: str
    word: str
    tokens: int


def masked_words(shards: TokenShards, tokenizer: Any, count: int, seed: int) -> tuple[list[MaskedWord], dict[int, int]]:
    """Return as many words of each length, in an order of chance, and how many units of the data have so many tokens.

    Args:
        shards: held-out documents
        tokenizer: that of the shards
        count: words of each length
        seed: decides which
    """
    chance = random.Random(seed)
    found: dict[int, list[MaskedWord]] = {length: [] for length in LENGTHS}
    lengths: dict[int, int] = {}
    for number in chance.sample(range(len(shards)), len(shards)):
        document = shards[number]
        ids = np.asarray(document.input_ids).astype(int).tolist()
        starts = [*np.flatnonzero(document.word_starts).tolist(), len(ids)]
        units = list(zip(starts, starts[1:], strict=False))
        for start, end in units:
            lengths[end - start] = lengths.get(end - start, 0) + 1
        left: dict[int, int] = dict.fromkeys(LENGTHS, FROM_A_DOCUMENT)
        for start, end in chance.sample(units, len(units)):
            length = end - start
            if left.get(length) and len(found[length]) < count:
                one = _masked_word(ids, start, end, tokenizer)
                if one is not None:
                    found[length].append(one)
                    left[length] -= 1
    return [word for length in LENGTHS for word in found[length]], lengths


def _masked_word(ids: list[int], start: int, end: int, tokenizer: Any) -> MaskedWord | None:
    """Return a unit of a document as a masked word; None where it is no Han word that reads as these tokens."""
    word = tokenizer.decode(ids[start:end])
    before = tokenizer.decode(ids[max(0, start - CONTEXT_TOKENS) : start])
    after = tokenizer.decode(ids[end : end + CONTEXT_TOKENS])
    is_whole = HAN_WORD.fullmatch(word) and "\ufffd" not in before + after and BLANK not in before + after
    if not is_whole or tokenizer(word, add_special_tokens=False)["input_ids"] != ids[start:end]:
        return None
    return MaskedWord(f"{before}{BLANK}{after}", word, end - start)


def candidates(
    filler: WordFiller, words: Sequence[MaskedWord], reveal: Any, given: Sequence[list[str]] | None = None
) -> tuple[list[list[Word]], float]:
    """Return the candidates for every word, of 1 to 3 tokens or the given ones, and the seconds that they took."""
    start, found = time.perf_counter(), []
    for begin in range(0, len(words), 32):
        part = slice(begin, begin + 32)
        options: dict[str, Any] = {"tokens": (LENGTHS[0], LENGTHS[-1])}
        if given is not None:
            options = {"candidates": [[own] for own in given[part]]}
        fillings = filler.fill([one.text for one in words[part]], top=10_000, reveal=reveal, **options)
        found += [[one.words[0] for one in own] for own in fillings]
    return found, time.perf_counter() - start


def given_words(words: Sequence[MaskedWord], seed: int) -> list[list[str]]:
    """Return for every word itself and others, `GIVEN` of each length, drawn from all the words."""
    chance = random.Random(seed)
    known = {length: sorted({one.word for one in words if one.tokens == length}) for length in LENGTHS}
    rows = []
    for one in words:
        others = {length: [word for word in own if word != one.word] for length, own in known.items()}
        sizes = {length: GIVEN - (length == one.tokens) for length in LENGTHS}
        rows.append([one.word, *(word for length in LENGTHS for word in chance.sample(others[length], sizes[length]))])
    return rows


def right(words: Sequence[MaskedWord], found: Sequence[list[Word]], score: Score, known: bool) -> np.ndarray:
    """Return `(words, 2)`: whether the word comes first, and whether it is among the first five.

    Args:
        words: the words
        found: candidates of each
        score: what candidates are ranked by
        known: candidates of another number of tokens are left out
    """
    rows = []
    for one, own in zip(words, found, strict=True):
        kept = [word for word in own if not known or len(word.ids) == one.tokens]
        ranked = [word.text for word in sorted(kept, key=lambda word: -score(word))[:5]]
        rows.append((ranked[:1] == [one.word], one.word in ranked))
    return np.array(rows)


def scores_of(words: Sequence[MaskedWord], found: Sequence[list[Word]], lengths: dict[int, int]) -> dict[str, Score]:
    """Return the scores by name; the term of length is the best on these words."""
    total = sum(lengths.values())
    prior = {length: float(np.log(lengths[length] / total)) for length in LENGTHS}

    def with_term(term: float) -> Score:
        return lambda word: sum(word.logs) + term * len(word.ids)

    best = max(TERMS, key=lambda term: right(words, found, with_term(term), False).sum())
    return {
        "sum of logs": lambda word: sum(word.logs),
        "mean of logs": lambda word: sum(word.logs) / len(word.ids),
        "sum by the root of length": lambda word: sum(word.logs) / len(word.ids) ** 0.5,
        f"sum, {best:+.2f} a token": with_term(float(best)),
        "sum, log share of words of its length": lambda word: sum(word.logs) + prior[len(word.ids)],
        "smallest of logs": lambda word: min(word.logs),
    }


def table(
    words: Sequence[MaskedWord], columns: Sequence[tuple[str, str, np.ndarray]], lengths: dict[int, int]
) -> list[str]:
    """Return the lines of a table: percent first and among five, by tokens of the word, evenly and as words are."""
    tokens = np.array([one.tokens for one in words])
    shares = np.array([lengths[length] for length in LENGTHS]) / sum(lengths[length] for length in LENGTHS)
    header = ["score", "length", *(f"{length} tokens: first / five" for length in LENGTHS), "evenly", "as in text"]
    rows = []
    for name, length, hits in columns:
        parts = [hits[tokens == one].mean(axis=0) for one in LENGTHS]
        parts += [hits.mean(axis=0), shares @ np.array(parts)]
        rows.append([name, length, *(f"{100 * first:.1f} / {100 * five:.1f}" for first, five in parts)])
    return markdown_table(header, rows)


def columns(
    words: Sequence[MaskedWord], found: Sequence[list[Word]], scores: dict[str, Score]
) -> list[tuple[str, str, np.ndarray]]:
    """Return the rows of a table: by the sum where the length is known, by every score where it is not."""
    rows = [("sum of logs", "known", right(words, found, scores["sum of logs"], True))]
    return rows + [(name, "unknown", right(words, found, score, False)) for name, score in scores.items()]


def main() -> None:
    """Run the comparison and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--shards", required=True)
    parser.add_argument("--words", type=int, default=200, help="of each length, at once; as many choose the term")
    parser.add_argument("--slow_words", type=int, default=60, help="of each length, one by one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    model, tokenizer = load_masked_language_model(args.model, "float32", True, False)
    words, lengths = masked_words(TokenShards(args.shards, check_hashes=False), tokenizer, 2 * args.words, args.seed)
    tested = words[1::2]
    few = tested[:: max(1, args.words // args.slow_words)]
    text = [f"{public_name(args.model)}; percent of words that come first, and that are among the first five."]
    for title, given in (("Among all words", False), (f"Among {GIVEN} given words of each length", True)):
        own = given_words(words, args.seed) if given else None
        filler = WordFiller(model, tokenizer)
        found, seconds = candidates(filler, words, "at_once", own)
        scores = scores_of(words[::2], found[::2], lengths)
        text += [
            "",
            f"## {title}: {len(tested)} words, all tokens at once ({1000 * seconds / len(words):.0f} ms each)",
            "",
        ]
        text += table(tested, columns(tested, found[1::2], scores), lengths)
        if own is not None:
            own = [row for row, word in zip(own, words, strict=True) if word in few]
        slow = WordFiller(model, tokenizer, width=5)
        for reveal in ("at_once", "one_by_one"):
            found, seconds = candidates(slow, few, reveal, own)
            text += ["", f"### {len(few)} of them, {reveal} ({1000 * seconds / len(few):.0f} ms each)", ""]
            text += table(few, columns(few, found, scores), lengths)
    text += ["", f"Masking units by tokens: {json.dumps({k: lengths[k] for k in sorted(lengths)[:5]})}", ""]
    text += [f"- {name}: {value}" for name, value in describe_environment("tokenizers", "numpy").items()]
    write_text_atomically(Path(args.output), "\n".join(text) + "\n")


if __name__ == "__main__":
    main()
