"""Published masking methods, one function each. Docstrings name the source; "Ours" marks what the paper leaves open.

Every function takes the vocabulary first and returns a `Masker`; `dataclasses.replace` changes any part of it.
Make the columns that a preset reads ("entity", "pos", ...) and its tables with the room `materials`; from files and
plain options `masker_from_options` makes them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .corruption import MaskVocabulary, Replace
from .feedback import AccuracyRule, FeedbackTable, TagLossRule
from .masker import ClassLoss, Masker
from .materials.similar_words import SimilarWords
from .materials.tags import UNIVERSAL_TAGS
from .rates import Cosine, Piecewise, UniformRate
from .units import WORD_IDS, ColumnUnits, NGramUnits, OneTokenPerUnit, TokenUnits
from .weights import ColumnWeights, TableWeights, TagWeights

# Longer units are split into single tokens. Our default: nothing would be left to guess long compounds and URLs from.
MAX_UNIT_TOKENS = 8
WORDS = ColumnUnits(WORD_IDS)


def chinese_modernbert(
    vocabulary: MaskVocabulary,
    warmup_share: float = 0.05,
    low: float = 0.15,
    high: float = 0.30,
    max_unit_tokens: int | None = MAX_UNIT_TOKENS,
    units: Literal["words", "tokens"] = "words",
    mix: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> Masker:
    """Whole words, 80/10/10, a rate that rises during warm-up and falls afterwards.

    Source: Chinese ModernBERT (arXiv 2510.12285): 15 -> 30 % during warm-up, then 30 -> 15 %, both linear. Ours, where
    the paper is silent: a warm-up of 5 %, 80/10/10 drawn once per word, the limit of 8 tokens.

    Args:
        vocabulary: [MASK] and the special ids
        warmup_share: where the rate peaks, as a share of all steps; 0 starts at the peak
        low: rate at the start and at the end
        high: rate at the peak
        max_unit_tokens: longer units are masked token by token; None keeps them whole
        units: "words", or "tokens" to mask token by token, as a baseline
        mix: shares of [MASK], random tokens and kept ones; (1, 0, 0) makes all of them [MASK]
        seed: names the family of masks

    Raises:
        ValueError: If `units` is unknown, or `mix` does not hold three shares that sum to 1.
    """
    if units not in ("words", "tokens"):
        raise ValueError(f"units={units!r} is unknown; use 'words' or 'tokens'")
    if len(mix) != 3:
        raise ValueError(f"mix={mix!r} must hold three shares: of [MASK], of random tokens, of kept ones")
    rise = [(0.0, low)] if warmup_share > 0 else []
    return Masker(
        units=ColumnUnits(WORD_IDS, max_tokens=max_unit_tokens) if units == "words" else TokenUnits(),
        rate=Piecewise([*rise, (warmup_share, high), (1.0, low)]),
        corruption=Replace(vocabulary, mask=mix[0], random=mix[1], keep=mix[2], per="unit"),
        seed=seed,
    )


def bert_wwm(vocabulary: MaskVocabulary, rate: float = 0.15, seed: int = 0) -> Masker:
    """Whole words at 15 %, 80/10/10 drawn for each token.

    Source: Chinese-BERT-wwm (arXiv 1906.08101). Ours: the budget, which does not favour short words.
    """
    return Masker(WORDS, rate, Replace(vocabulary, per="token"), seed=seed)


def macbert(vocabulary: MaskVocabulary, lexicon: SimilarWords, rate: float = 0.15, seed: int = 0) -> Masker:
    """1- to 4-grams of words; 80 % similar words, 10 % random, 10 % kept, never [MASK].

    Source: MacBERT (arXiv 2004.13922). Ours: a similar word has as many tokens as the word it replaces.
    """
    mix = Replace(vocabulary, mask=0.0, random=0.1, keep=0.1, similar=0.8, lexicon=lexicon, per="unit")
    return Masker(NGramUnits(WORDS), rate, mix, seed=seed)


def ernie(vocabulary: MaskVocabulary, column: str = "entity", rate: float = 0.15, seed: int = 0) -> Masker:
    """Phrases or entities are masked whole; elsewhere words.

    Source: ERNIE 1.0 (arXiv 1904.09223), the mix drawn for each token. Its three stages (token, phrase, entity) are
    three maskers: `TokenUnits()`, column "phrase", column "entity".
    """
    return Masker(ColumnUnits(column, fallback=WORD_IDS), rate, Replace(vocabulary, per="token"), seed=seed)


def dynamic_rate(vocabulary: MaskVocabulary, first: float = 0.30, last: float = 0.15, seed: int = 0) -> Masker:
    """The rate falls linearly from 30 % to 15 %.

    Source: Dynamic Masking Rate Schedules (arXiv 2305.15096), on tokens.
    """
    return Masker(TokenUnits(), Piecewise([(0.0, first), (1.0, last)]), Replace(vocabulary, per="token"), seed=seed)


def ratio_decay(vocabulary: MaskVocabulary, mean: float = 0.15, seed: int = 0) -> Masker:
    """The rate falls on a cosine from 32 % to 2 %.

    Source: Masking Ratio Decay of "Learning Better Masking" (arXiv 2208.10806, released code).
    """
    return Masker(TokenUnits(), Cosine(mean, 0.02), Replace(vocabulary, per="token"), seed=seed)


def pos_weighting(
    vocabulary: MaskVocabulary,
    feedback: FeedbackTable | None = None,
    tag: str = "pos",
    mean: float = 0.15,
    seed: int = 0,
) -> Masker:
    """Words with a part of speech that is still hard are masked more often; ratio decay as well.

    Source: POS-Tagging Weighted masking, same paper: 17 universal tags (`part_of_speech.py`), averages updated at
    every step. Ours: weighted sampling without replacement instead of visiting words in random order and keeping each
    with its weight. `feedback` is for another number of tags, as in `FeedbackTable(30, TagLossRule(), every=1)`.
    """
    feedback = feedback or FeedbackTable(len(UNIVERSAL_TAGS), TagLossRule(), every=1)
    mix = Replace(vocabulary, per="token")
    return Masker(WORDS, Cosine(mean, 0.02), mix, weights=TagWeights(tag, feedback), seed=seed)


def forty_percent(vocabulary: MaskVocabulary, rate: float = 0.40, seed: int = 0) -> Masker:
    """40 % of the tokens, all of them [MASK].

    Source: Should You Mask 15 % in Masked Language Modeling? (arXiv 2202.08005).
    """
    return Masker(TokenUnits(), rate, Replace(vocabulary, mask=1.0, random=0.0, keep=0.0), seed=seed)


def u_pmlm(vocabulary: MaskVocabulary, highest_rate: float = 1.0, seed: int = 0) -> Masker:
    """Each document has its own rate, uniform from 0 to 1.

    Source: u-PMLM (arXiv 2004.11579), 80/10/10, whole words supported.
    """
    rate = UniformRate(0.0, highest_rate)
    return Masker(WORDS, rate, Replace(vocabulary, per="token"), budget="document", seed=seed)


def informask(vocabulary: MaskVocabulary, rates: np.ndarray, seed: int = 0) -> Masker:
    """Each token of the vocabulary has its own mask rate, from its PMI with its context; all [MASK].

    Source: InforMask (arXiv 2210.11771, released code). `rates` from `tables.pmi_rate_table`.
    """
    mix = Replace(vocabulary, mask=1.0, random=0.0, keep=0.0)
    return Masker(TokenUnits(), 0.15, mix, weights=TableWeights(rates), sampler="absolute", seed=seed)


def weighted_sampling(
    vocabulary: MaskVocabulary, table: np.ndarray | FeedbackTable, rate: float = 0.15, seed: int = 0
) -> Masker:
    """Rare tokens (or those with a high loss) are masked more often.

    Source: Weighted Sampling (WSBERT, arXiv 2302.14225). `table` from `tables.frequency_table`, or
    `FeedbackTable(V, LossRule())`.
    """
    return Masker(TokenUnits(), rate, Replace(vocabulary, per="token"), weights=TableWeights(table), seed=seed)


def difference_masking(vocabulary: MaskVocabulary, table: np.ndarray, rate: float = 0.15, seed: int = 0) -> Masker:
    """Words close to the terms that mark the target domain are masked more often.

    Source: Difference-Masking (arXiv 2305.14577, released code). `table` from `tables.difference_table`.
    """
    weights = TableWeights(table)
    return Masker(WORDS, rate, Replace(vocabulary, per="token"), weights=weights, reduce="max", seed=seed)


def retrieval_oriented(
    vocabulary: MaskVocabulary, table: np.ndarray | None = None, score: str = "term_weight", seed: int = 0
) -> Masker:
    """Terms that matter for retrieval are masked more often.

    Source: ROM (arXiv 2210.15133). Ours: idf (`tables.idf_table`) or a score column as the term weight, 15 %.
    """
    weights = ColumnWeights(score) if table is None else TableWeights(table)
    return Masker(WORDS, 0.15, Replace(vocabulary, per="token"), weights=weights, seed=seed)


def kidlm(vocabulary: MaskVocabulary, tag: str = "stratum", seed: int = 0) -> Masker:
    """Stop words at 15 %, easy words at 20 %, all others at 25 %.

    Source: KidLM (model card). Tags: 0 = stop word, 1 = easy word, -1 = other. Ours: whole words.
    """
    weights = TagWeights(tag, np.array([0.15, 0.20]), untagged=0.25)
    return Masker(WORDS, 0.20, Replace(vocabulary, per="token"), weights=weights, sampler="absolute", seed=seed)


def leia(
    vocabulary: MaskVocabulary, tag: str = "emotion", lexicon_rate: float = 0.5, rate: float = 0.15, seed: int = 0
) -> Masker:
    """Words of an emotion lexicon are masked preferentially.

    Source: LEIA (arXiv 2304.10973). Ours, not found in the paper: 50 % for the lexicon's words, 15 % for the others.
    """
    weights = TagWeights(tag, np.array([lexicon_rate]), untagged=rate)
    return Masker(WORDS, rate, Replace(vocabulary, per="token"), weights=weights, sampler="absolute", seed=seed)


def mslm(
    vocabulary: MaskVocabulary, term_weight: float, other_weight: float, column: str = "domain_term", seed: int = 0
) -> Masker:
    """Domain terms and ordinary words are masked whole, and the terms count more in the loss.

    Source: masked-specific language modelling (MSLM). Ours, not found: loss weights N / (2 N_class), see
    `inverse_share_weights`; 15 %. The column's values are term ids; every id counts as "a term".
    """
    loss = ClassLoss(column, np.array([term_weight]), untagged=other_weight, any_tag=True)
    units = ColumnUnits(column, fallback=WORD_IDS)
    return Masker(units, 0.15, Replace(vocabulary, per="token"), class_loss=loss, seed=seed)


def inverse_share_weights(term_tokens: int, other_tokens: int) -> tuple[float, float]:
    """Return the loss weights of MSLM's two classes; weighted by the counts they sum to the number of tokens.

    Source: ours, the published weights were not found.
    """
    if term_tokens < 1 or other_tokens < 1:
        raise ValueError(f"term_tokens={term_tokens} and other_tokens={other_tokens} must both be at least 1")
    total = term_tokens + other_tokens
    return total / (2 * term_tokens), total / (2 * other_tokens)


def linguistic_entity(
    vocabulary: MaskVocabulary, eligible: Sequence[bool], tag: str = "pos", column: str = "entity", seed: int = 0
) -> Masker:
    """One token of each noun, verb or named entity; nothing else.

    Source: Linguistic Entity Masking. Ours, not found: 15 % of all tokens, or fewer where there are not enough.

    Args:
        vocabulary: [MASK] and the special ids
        eligible: for each tag of the `tag` column, whether its words may be masked
        tag: part-of-speech column, with a tag of its own for entities
        column: entity ids
        seed: names the family of masks
    """
    units = OneTokenPerUnit(ColumnUnits(column, fallback=WORD_IDS))
    weights = TagWeights(tag, np.array(eligible, dtype=float), untagged=0.0)
    return Masker(units, 0.15, Replace(vocabulary, per="token"), weights=weights, seed=seed)


def amlm(vocabulary: MaskVocabulary, feedback: FeedbackTable | None = None, every: int = 200, seed: int = 0) -> Masker:
    """Tokens that the model still predicts badly are masked more often; the rate falls from 40 % to 15 %.

    Source: Mask and You Shall Receive (AMLM, released code): accuracies renewed every 200 steps. Ours: water-filling,
    where the released scaling loses what exceeds 1. `feedback` is for a table with another rule.
    """
    feedback = feedback or FeedbackTable(vocabulary.size, AccuracyRule(), every)
    rate = Piecewise([(0.0, 0.40), (1.0, 0.15)])
    mix = Replace(vocabulary, per="token")
    return Masker(TokenUnits(), rate, mix, weights=TableWeights(feedback), sampler="bernoulli", seed=seed)


def frequency_informed(vocabulary: MaskVocabulary, ranks: np.ndarray, exponent: float = 0.02, seed: int = 0) -> Masker:
    """Masked diffusion that favours rare tokens: each document has its own rate, the loss counts 1 / rate.

    Source: frequency-informed masked diffusion (released code), rank weights to the power 0.02 (`tables.rank_table`).
    Ours: rates from 5 % to 100 %, water-filling.
    """
    return Masker(
        units=TokenUnits(),
        rate=UniformRate(0.05, 1.0),
        corruption=Replace(vocabulary, mask=1.0, random=0.0, keep=0.0),
        weights=TableWeights(np.asarray(ranks, dtype=float) ** exponent),
        sampler="bernoulli",
        budget="document",
        inverse_rate_loss=True,
        seed=seed,
    )


def faithfulness(vocabulary: MaskVocabulary, zero_probability: float = 0.5, seed: int = 0) -> Masker:
    """Masked fine-tuning: half of the texts untouched, the others at a rate from 0 to 1; keep the task's own labels.

    Source: Faithfulness Measurable Masked Language Models (arXiv 2310.07819): the first half of each batch; ours is a
    draw for each text, so that it does not depend on the batch.
    """
    rate = UniformRate(0.0, 1.0, zero_probability)
    mix = Replace(vocabulary, mask=1.0, random=0.0, keep=0.0)
    return Masker(TokenUnits(), rate, mix, sampler="bernoulli", budget="document", seed=seed)


def metadata(
    vocabulary: MaskVocabulary, tag: str = "metadata", rate: float = 0.15, metadata_rate: float = 0.3, seed: int = 0
) -> Masker:
    """Date, place and other metadata tokens before a text are masked at a rate of their own.

    Source: Metadata might make language models better (arXiv 2211.10086). Ours, not found: 30 % for tag 0.
    """
    weights = TagWeights(tag, np.array([metadata_rate]), untagged=rate)
    return Masker(WORDS, rate, Replace(vocabulary, per="token"), weights=weights, sampler="absolute", seed=seed)


@dataclass(frozen=True)
class Preset:
    """One method of the list.

    Attributes:
        build: function that makes the masker
        title: summary in a few words
        needs: columns or tables that the caller must pass; empty when the vocabulary is enough
    """

    build: Callable[..., Masker]
    title: str
    needs: tuple[str, ...] = ()


MASKING_PRESETS: dict[str, Preset] = {
    "chinese_modernbert": Preset(chinese_modernbert, "whole words, 15 -> 30 -> 15 %"),
    "bert_wwm": Preset(bert_wwm, "whole words, 15 %"),
    "macbert": Preset(macbert, "n-grams of words, similar words", ("lexicon",)),
    "ernie": Preset(ernie, "entities, then words", ("entity",)),
    "dynamic_rate": Preset(dynamic_rate, "30 -> 15 %"),
    "ratio_decay": Preset(ratio_decay, "cosine 32 -> 2 %"),
    "pos_weighting": Preset(pos_weighting, "hard parts of speech first", ("pos",)),
    "forty_percent": Preset(forty_percent, "40 %, all [MASK]"),
    "u_pmlm": Preset(u_pmlm, "a rate from 0 to 1 for each document"),
    "informask": Preset(informask, "a rate for each token, from PMI", ("rates",)),
    "weighted_sampling": Preset(weighted_sampling, "rare tokens first", ("table",)),
    "difference_masking": Preset(difference_masking, "domain terms first", ("table",)),
    "retrieval_oriented": Preset(retrieval_oriented, "heavy terms first", ("table",)),
    "kidlm": Preset(kidlm, "three strata: 15, 20, 25 %", ("stratum",)),
    "leia": Preset(leia, "emotion words at 50 %", ("emotion",)),
    "mslm": Preset(mslm, "domain terms weigh more in the loss", ("domain_term", "term_weight", "other_weight")),
    "linguistic_entity": Preset(linguistic_entity, "one token of a noun, verb, entity", ("eligible", "pos", "entity")),
    "amlm": Preset(amlm, "what the model gets wrong first"),
    "frequency_informed": Preset(frequency_informed, "diffusion, rare tokens first", ("ranks",)),
    "faithfulness": Preset(faithfulness, "half untouched, half at a random rate"),
    "metadata": Preset(metadata, "metadata tokens at 30 %", ("metadata",)),
}
