# Copyright 2026 The Chinese ModernBERT contributors. SPDX-License-Identifier: Apache-2.0
"""Words for the blanks of a text: of one or several tokens, of unknown length, several blanks in any order.

A blank is tried as one mask, as two, and so on; words of different lengths are ranked together. Given text is never
changed. Works with any masked language model of Transformers; rows of many blanks go through the model together.

Source: filling in any order, Liao et al., u-PMLM (arXiv 2004.11579); what is ours is said where it stands.
"""

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from transformers import Pipeline, PreTrainedModel, PreTrainedTokenizerBase

from .blanks_chinese_modernbert import (
    BLANK,
    BlankReader,
    BlankText,
    Filling,
    Word,
    WordTokens,
    drawn,
    finished,
    score_of,
)
from .rows_chinese_modernbert import TOKENS_PER_BATCH, batches_of_rows, logits_at

TOKENS = (1, 3)
# Words that are kept of each length, and partial words while one grows. Source: our default.
BEAM_WIDTH = 20
# What the config.json of a release says, so that Transformers finds the pipeline at the end of this file.
CUSTOM_PIPELINES = {
    "fill-words": {"impl": "filling_chinese_modernbert.FillWordsPipeline", "pt": ["AutoModelForMaskedLM"]}
}
Order = Literal["confidence", "left_to_right"] | Sequence[int]
Reveal = Literal["at_once", "one_by_one"]


@dataclass
class _Span:
    """One blank of one state, to be filled with so many tokens; `given` are the only words, by their tokens."""

    state: BlankText
    blank: int
    length: int
    before: list[int]
    after: list[int]
    given: dict[tuple[int, ...], str] | None

    def __post_init__(self) -> None:
        known = self.given or {}
        self.prefixes = {ids[:end] for ids in known for end in range(1, len(ids) + 1)}
        self.beam: list[tuple[tuple[int, ...], tuple[float, ...]]] = [((), ())]


class WordFiller:
    """Fills blanks with one model.

    Args:
        model: masked language model in evaluation mode
        tokenizer: its tokenizer
        tokens_per_batch: tokens of one forward
        max_tokens: tokens that the model sees of a text; default: its context
        width: words that are kept of each length, and fillings of a text while some blanks are empty

    Raises:
        ValueError: If the tokenizer lacks [CLS], [SEP] or [MASK], or a number is out of range.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        tokens_per_batch: int = TOKENS_PER_BATCH,
        max_tokens: int | None = None,
        width: int = BEAM_WIDTH,
    ) -> None:
        special: Any = (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id)
        if None in special:
            raise ValueError(
                f"the tokenizer {tokenizer.name_or_path!r} lacks [CLS], [SEP] or [MASK]; give one with all"
            )
        context = min(int(model.config.max_position_embeddings), int(tokenizer.model_max_length))
        limit = context if max_tokens is None else max_tokens
        if not 4 <= limit <= context or tokens_per_batch < 1 or width < 1:
            raise ValueError(
                f"max_tokens={max_tokens}, tokens_per_batch={tokens_per_batch}, width={width}: the first must be from "
                f"4 to the model's context of {context:,}, the others 1 or more"
            )
        self._first, self._last, self._mask = special
        self._reader = BlankReader(tokenizer, limit)
        self.model, self.tokenizer, self.width = model, tokenizer, width
        self.tokens_per_batch = tokens_per_batch
        self._vocabulary = WordTokens(tokenizer, int(model.config.vocab_size))

    def fill(
        self,
        texts: Sequence[str],
        *,
        blank: str = BLANK,
        tokens: int | tuple[int, int] | None = None,
        top: int = 5,
        candidates: Sequence[str] | Sequence[Sequence[Sequence[str]]] | None = None,
        order: Order = "confidence",
        reveal: Reveal = "at_once",
        accept: Callable[[str], bool] | None = None,
        seed: int | Sequence[int] | None = None,
        names: Sequence[str] | None = None,
    ) -> list[list[Filling]]:
        """Return the best fillings of every text, the best first.

        Args:
            texts: each holds `blank` once or more
            blank: what stands for a word
            tokens: tokens of a word, or fewest and most; default: 1 to 3. While a blank is filled, the others stand as
                the fewest
            top: fillings to return; no more words of one length are found than the width
            candidates: the only words, for every blank; or for each text a list for each of its blanks
            order: `confidence` fills the blank that the model is surest of first, `left_to_right` the first one; or the
                numbers of the blanks, from 0
            reveal: `at_once` predicts all tokens of a word while all are blank; `one_by_one` from left to right, each
                with those before it shown, in about ten times the time
            accept: tells of a word whether it may be suggested
            seed: draw the fillings, without repeating one, from those that are found, by their scores; a number
                for all texts or one for each. Default: the best ones
            names: what errors call the texts; default: their numbers, from 0

        Raises:
            ValueError: With the number of the text, where it has no blank, or blanks that lie further apart than the
                model reads; for a candidate without tokens, or options that contradict each other.
        """
        shortest, longest = _checked_tokens(tokens, candidates, top)
        names = [f"text {number}" for number in range(len(texts))] if names is None else names
        parts = [self._reader.parts(text, blank, name) for text, name in zip(texts, names, strict=True)]
        given = self._reader.given([len(own) - 1 for own in parts], candidates)
        ranges = [[(shortest, longest)] * (len(own) - 1) for own in parts]
        if given is not None:
            ranges = [[(min(map(len, ids)), max(map(len, ids))) for ids in own] for own in given]
        states = [[self._reader.begin(own, ranges[number], names[number])] for number, own in enumerate(parts)]
        for step in range(max((len(found[0].words) for found in states), default=0)):
            spans: list[_Span] = []
            for number, found in enumerate(states):
                for state in found:
                    for place in _next_blanks(state, order, step, names[number]):
                        low, high = ranges[number][place]
                        words = None if given is None else given[number][place]
                        spans += [self._span(state, place, length, words) for length in range(low, high + 1)]
            self._search(spans, reveal)
            ranked = self._words(spans, accept)
            states = [self._advance(found, ranked) for found in states]
        fillings = [finished(found) for found in states]
        if seed is not None:
            seeds = [seed + number for number in range(len(texts))] if isinstance(seed, int) else seed
            fillings = [drawn(found, one) for found, one in zip(fillings, seeds, strict=True)]
        return [found[:top] for found in fillings]

    def _span(self, state: BlankText, blank: int, length: int, given: dict[tuple[int, ...], str] | None) -> _Span:
        """Return one blank of a text as so many masks, or for those of the given words that have so many tokens."""
        before = [self._first, *state.ids(0, blank, self._mask)]
        after = [*state.ids(blank + 1, len(state.words), self._mask), self._last]
        own = None if given is None else {ids: word for ids, word in given.items() if len(ids) == length}
        return _Span(state, blank, length, before, after, own)

    def _search(self, spans: Sequence[_Span], reveal: Reveal) -> None:
        """Find the most probable tokens of every span, as many as the width; all of the given words."""
        if reveal == "at_once":
            asked = [(span, (), tuple(range(span.length))) for span in spans]
            for (span, _, _), options in self._options(asked):
                for position in options:
                    self._grow(span, {prefix: position for prefix, _ in span.beam})
            return
        for place in range(max((span.length for span in spans), default=0)):
            growing = [span for span in spans if place < span.length]
            asked = [(span, prefix, (place,)) for span in growing for prefix, _ in span.beam]
            found: dict[int, dict[tuple[int, ...], list[tuple[int, float]]]] = {}
            for (span, prefix, _), (position,) in self._options(asked):
                found.setdefault(id(span), {})[prefix] = position
            for span in growing:
                self._grow(span, found.get(id(span), {}))

    def _options(
        self, asked: Sequence[tuple[_Span, tuple[int, ...], tuple[int, ...]]]
    ) -> Iterator[tuple[tuple[_Span, tuple[int, ...], tuple[int, ...]], list[list[tuple[int, float]]]]]:
        """Yield for spans whose first tokens are shown the tokens that may stand at some places, with their logs."""
        rows = [
            [*span.before, *shown, *[self._mask] * (span.length - len(shown)), *span.after] for span, shown, _ in asked
        ]
        for batch in batches_of_rows(list(map(len, rows)), self.tokens_per_batch):
            places = [[len(asked[one][0].before) + place for place in asked[one][2]] for one in batch]
            logs = logits_at(self.model, [rows[one] for one in batch], places).log_softmax(dim=-1).cpu()
            if not logs.isfinite().all():
                raise ValueError(f"the model {self.model.name_or_path!r} gives probabilities that are not finite")
            best, ids = logs.masked_fill(~self._vocabulary.allowed, -math.inf).topk(min(self.width, logs.shape[-1]))
            own = logs.split(list(map(len, places)))
            begin = 0
            for one, mine in zip(batch, own, strict=True):
                span, shown, asked_places = asked[one]
                options = []
                for offset, place in enumerate(asked_places):
                    if span.given is not None:
                        known = sorted({found[place] for found in span.given if found[: len(shown)] == shown})
                        options.append([(token, float(mine[offset, token])) for token in known])
                    else:
                        row = begin + offset
                        options.append(list(zip(ids[row].tolist(), best[row].tolist(), strict=True)))
                begin += len(asked_places)
                yield asked[one], options

    def _grow(self, span: _Span, options: dict[tuple[int, ...], list[tuple[int, float]]]) -> None:
        """Make the beam of a span longer by one token; all beginnings of given words are kept."""
        grown = []
        for ids, logs in span.beam:
            left = span.length - len(ids) - 1
            for token, log in options.get(ids, ()):
                if span.given is not None:
                    may_follow = (*ids, token) in span.prefixes
                else:
                    may_follow = log > -math.inf and self._vocabulary.may_follow(ids, token, left)
                if may_follow:
                    grown.append(((*ids, token), (*logs, log)))
        grown.sort(key=lambda one: -sum(one[1]))
        span.beam = grown if span.given is not None else grown[: self.width]

    def _words(self, spans: Sequence[_Span], accept: Callable[[str], bool] | None) -> dict[tuple[int, int], list[Word]]:
        """Return the words for every blank of every state, the best first; those of one text are one word."""
        found: dict[tuple[int, int], dict[str, Word]] = {}
        for span in spans:
            words = found.setdefault((id(span.state), span.blank), {})
            around = span.state.text(0, span.blank), span.state.text(span.blank + 1)
            for ids, logs in span.beam:
                text = self._vocabulary.word(ids, *around) if span.given is None else span.given[ids]
                if text is None or (accept is not None and not accept(text)):
                    continue
                word, known = Word(text, ids, logs, score_of(logs)), words.get(text)
                if known is not None:
                    joined = max(known.score, word.score) + math.log1p(math.exp(-abs(known.score - word.score)))
                    word = replace(max(known, word, key=lambda one: one.score), score=joined)
                words[text] = word
        return {key: sorted(words.values(), key=lambda one: -one.score) for key, words in found.items()}

    def _advance(self, states: list[BlankText], words: dict[tuple[int, int], list[Word]]) -> list[BlankText]:
        """Return the states of one text with one blank more filled, the best of them."""
        grown = []
        for state in states:
            own = {place: words.get((id(state), place), []) for place in range(len(state.words))}
            places = [place for place, found in own.items() if found]
            if not places:
                if None not in state.words:
                    grown.append(state)
                continue
            place = max(places, key=lambda one: own[one][0].score)
            for word in own[place]:
                filled = (*state.words[:place], word, *state.words[place + 1 :])
                grown.append(replace(state, words=filled))
        if all(None in state.words for state in grown):
            grown = sorted(grown, key=lambda one: -one.score)[: self.width]
        return grown


def fill_words(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    tokens_per_batch: int = TOKENS_PER_BATCH,
    **options: Any,
) -> list[list[Filling]]:
    """Return the best fillings of every text; see `WordFiller`, which is quicker for several calls.

    Args:
        model: masked language model in evaluation mode
        tokenizer: its tokenizer
        texts: each holds a blank or more
        tokens_per_batch: tokens of one forward
        options: those of `WordFiller.fill`
    """
    return WordFiller(model, tokenizer, tokens_per_batch).fill(texts, **options)


def _checked_tokens(tokens: int | tuple[int, int] | None, candidates: Any, top: int) -> tuple[int, int]:
    """Return the fewest and the most tokens of a word."""
    if tokens is not None and candidates is not None:
        raise ValueError(f"tokens={tokens} and candidates are given; candidates have their own number of tokens")
    shortest, longest = (tokens, tokens) if isinstance(tokens, int) else TOKENS if tokens is None else tokens
    if not 1 <= shortest <= longest or top < 1:
        raise ValueError(f"tokens={tokens}, top={top}: give 1 or more, the fewest tokens before the most")
    return shortest, longest


def _next_blanks(state: BlankText, order: Order, step: int, name: str) -> list[int]:
    """Return the blanks of a state of which the next one is chosen."""
    empty = [place for place, word in enumerate(state.words) if word is None]
    if order == "confidence" or not empty:
        return empty
    if order == "left_to_right":
        return empty[:1]
    if isinstance(order, str) or sorted(order) != list(range(len(state.words))):
        raise ValueError(
            f"order={order!r} does not fit the {len(state.words)} blanks of {name}; give confidence, "
            "left_to_right, or the number of each blank once, from 0"
        )
    return [order[step]]


class FillWordsPipeline(Pipeline):
    """`pipeline("fill-words", model=release, trust_remote_code=True)`: words for the blanks `{mask}` of texts.

    Options of `WordFiller.fill` are given to `pipeline` or to a call.
    """

    _load_processor = False
    _load_image_processor = False
    _load_feature_extractor = False
    _load_tokenizer = True

    def __call__(self, inputs: str | Sequence[str], **options: Any) -> list[Any]:
        """Return for a text its fillings, for several texts a list of them each.

        Args:
            inputs: a text or several, each with a blank or more
            options: those of `WordFiller.fill`

        Returns:
            Dictionaries of `score`, what the fillings are ranked by, from 0 to 1; `words` with their
            `tokens` and `probabilities`; and `sequence`, the whole text.
        """
        given = {**self._forward_params, **self._sanitize_parameters(**options)[1]}
        texts = [inputs] if isinstance(inputs, str) else list(inputs)
        found = [[self.postprocess(one) for one in fillings] for fillings in self._forward(texts, **given)]
        return found[0] if isinstance(inputs, str) else found

    def _sanitize_parameters(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        known = inspect.signature(WordFiller.fill).parameters
        if unknown := sorted(set(options) - (set(known) - {"self", "texts"})):
            raise ValueError(f"{', '.join(unknown)}: no option of fill-words; it has {', '.join(list(known)[2:])}")
        return {}, options, {}

    def preprocess(self, input_: Any, **_: Any) -> Any:
        """Return a text as it is: the filler reads it."""
        return input_

    def _forward(self, input_tensors: Any, **options: Any) -> Any:
        if self.tokenizer is None:
            raise ValueError("there is no tokenizer; give its folder: pipeline('fill-words', model=..., tokenizer=...)")
        known = getattr(self, "_filler", None)
        if known is None:
            known = self._filler = WordFiller(self.model, self.tokenizer)
        return known.fill(input_tensors, **options)

    def postprocess(self, model_outputs: Any, **_: Any) -> Any:
        """Return a filling as plain values."""
        return {
            "score": math.exp(model_outputs.score),
            "words": [word.text for word in model_outputs.words],
            "tokens": [list(word.ids) for word in model_outputs.words],
            "probabilities": [word.probability for word in model_outputs.words],
            "sequence": model_outputs.text,
        }
