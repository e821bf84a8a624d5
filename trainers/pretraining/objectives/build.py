"""From the recipe keys `objective` and `objective_options` to an objective."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ....modeling import ChineseModernBertForMaskedLM
from ....runtime.options import did_you_mean
from ...masking import Masker, Replace
from ...masking.feedback_callback import MaskingFeedback
from .bag_of_words import FIRST_WEIGHT, LAST_WEIGHT, STOP_TOKENS, BagOfWords, stop_ids
from .mae_lm import MaskedAutoEncoder
from .objective import PLAIN, Objective
from .retromae import RetroMae

OPTIONS: dict[str, dict[str, Any]] = {
    PLAIN: {},
    "bag_of_words": {
        "pooling": "cls",
        "stop_tokens": STOP_TOKENS,
        "first_weight": FIRST_WEIGHT,
        "last_weight": LAST_WEIGHT,
    },
    "retromae": {"decoder_mask_rate": 0.5, "max_tokens": 1536},
    "mae_lm": {"decoder_layers": 4},
}


def check_objective(
    name: str, options: Mapping[str, Any] | None = None, masker: Masker | None = None
) -> dict[str, Any]:
    """Return the options of an objective, complete.

    Args:
        name: `mlm`, `bag_of_words`, `retromae` or `mae_lm`
        options: those that differ from the defaults in `OPTIONS`
        masker: what masks the run's batches; None leaves it unchecked

    Raises:
        ValueError: If the objective or an option is unknown, a value has the wrong type, or the masker does not fit.
    """
    if name not in OPTIONS:
        raise ValueError(f"objective='{name}' is unknown; use one of {', '.join(OPTIONS)}")
    known = OPTIONS[name]
    for key, value in (options or {}).items():
        if key not in known:
            raise ValueError(f"objective '{name}' has no option '{key}'{did_you_mean(str(key), known)}")
        expected = (int, float) if isinstance(known[key], float) else type(known[key])
        if not isinstance(value, expected) or isinstance(value, bool):
            raise ValueError(f"option {key}={value!r} of objective '{name}' is not like its default, {known[key]!r}")
    if masker is not None:
        _check_masker(name, masker)
    return {**known, **(options or {})}


def _check_masker(name: str, masker: Masker) -> None:
    """Refuse a masker whose batches an objective cannot read as they are meant."""
    if name != PLAIN and (masker.class_loss is not None or masker.inverse_rate_loss):
        raise ValueError(f"objective '{name}' has no place for the loss weights of this masking; use objective: mlm")
    if name != PLAIN and MaskingFeedback(masker).tables:
        raise ValueError(
            f"objective '{name}' gives no feedback about single tokens; use objective: mlm or a masking without a "
            "table that follows the model"
        )
    corruption = masker.corruption
    if name == "mae_lm" and not (isinstance(corruption, Replace) and corruption.mask == 1.0):
        raise ValueError(
            "objective 'mae_lm' removes every selected token, so all of them must be [MASK]; "
            "add masking_options: {mix: [1.0, 0.0, 0.0]} or take another masking"
        )


def build_objective(
    name: str,
    options: Mapping[str, Any] | None,
    language_model: ChineseModernBertForMaskedLM,
    masker: Masker,
    special_ids: Sequence[int],
    count_tokens: Callable[[], np.ndarray],
) -> Objective | None:
    """Build an objective around a model.

    Args:
        name, options, masker: as for `check_objective`
        language_model: the model that the run is about
        special_ids: ids that are no text
        count_tokens: returns int64 `[V]`, how often each id occurs in the corpus; called where it is needed

    Returns:
        The objective, or None where the plain model's own loss is all there is.

    Raises:
        ValueError: As `check_objective`, and for values outside their range.
    """
    chosen = check_objective(name, options, masker)
    if name == "bag_of_words":
        counts, stop_tokens = count_tokens(), chosen.pop("stop_tokens")
        excluded = np.union1d(stop_ids(counts, stop_tokens), np.array(special_ids))
        if not np.setdiff1d(np.flatnonzero(counts), excluded).size:
            raise ValueError(
                f"stop_tokens={stop_tokens} of bag_of_words takes every token that the shards hold; lower it"
            )
        return BagOfWords(language_model, excluded, **chosen)
    if name == "retromae":
        return RetroMae(language_model, **chosen)
    if name == "mae_lm":
        return MaskedAutoEncoder(language_model, **chosen)
    return None
