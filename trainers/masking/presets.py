"""Published masking methods, one function each: what the paper says, what is ours."""

from .corruption import Replace
from .masker import Masker
from .rates import Piecewise
from .units import ColumnUnits
from .vocabulary import MaskVocabulary

# Longer units fall apart into single tokens. Our default: long compounds and URLs would be guessed from nothing.
MAX_UNIT_TOKENS = 8


def chinese_modernbert(
    vocabulary: MaskVocabulary,
    warmup_share: float = 0.05,
    low: float = 0.15,
    high: float = 0.30,
    max_unit_tokens: int | None = MAX_UNIT_TOKENS,
    seed: int = 0,
) -> Masker:
    """Whole words, 80/10/10, a rate that rises during warm-up and falls afterwards.

    Source: Chinese ModernBERT (arXiv 2510.12285), section on the masking curriculum: 15 -> 30 % during warm-up, then
    30 -> 15 %, both linear. Ours, because the paper is silent: a warm-up of 5 %, the 80/10/10 mix drawn once a word,
    and the limit of 8 tokens.

    Args:
        vocabulary: [MASK] and the special ids.
        warmup_share: where the rate peaks, as a share of all steps; 0 starts at the peak.
        low: rate at the start and at the end.
        high: rate at the peak.
        max_unit_tokens: longer units are masked token by token; None keeps them whole.
        seed: names the family of masks.
    """
    rise = [(0.0, low)] if warmup_share > 0 else []
    return Masker(
        units=ColumnUnits("word_ids", max_tokens=max_unit_tokens),
        rate=Piecewise([*rise, (warmup_share, high), (1.0, low)]),
        corruption=Replace(vocabulary, mask=0.8, random=0.1, keep=0.1, per="unit"),
        seed=seed,
    )
