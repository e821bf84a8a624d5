"""Correctors from folders: to be trained, and trained ones."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from ...evaluation.spelling import ConfusionSet, read_confusion
from ...modeling import ChineseModernBertConfig, ChineseModernBertForSpellingCorrection
from ...modeling.configuration_chinese_modernbert import SPELLING
from ...modeling.loading import own_config
from ...modeling.spelling_chinese_modernbert import RELM, SpellingSettings
from ...tokenization.loading import check_vocabulary, load_tokenizer
from .arguments import SpellingArguments

logger = logging.getLogger(__name__)

DETECTOR = "detector."


def build_corrector(arguments: SpellingArguments) -> ChineseModernBertForSpellingCorrection:
    """Return a corrector with float32 weights; a detector that the checkpoint lacks is drawn.

    A sentence is no longer than what the model reads.

    Raises:
        ValueError: If the folder is no model of ours, or lacks weights of a masked language model.
    """
    config = own_config(arguments.model)
    if config is None:
        raise ValueError(f"{arguments.model} is no model of this library; convert it first")
    room = config.max_position_embeddings - 2  # of characters, each a token, beside the special ones
    room = max(1, (room - 1) // 2 if arguments.arm == RELM else room)
    if arguments.longest_sentence > room:
        logger.warning("%s reads %d characters together; longer sentences are cut there", arguments.model, room)
    settings = SpellingSettings(
        arm=arguments.arm,
        detection_weight=arguments.detection_weight,
        longest_sentence=min(arguments.longest_sentence, room),
    )
    return _load(arguments.model, config, settings, may_lack=(DETECTOR,))


def confusions_of(files: Sequence[str]) -> ConfusionSet | None:
    """Return the confusion sets that corrections are held to; None where no file is named.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If one cannot be read, or none has a Chinese character, so that nothing would be corrected.
    """
    if not files:
        return None
    found = read_confusion(files)
    if not found.han:
        raise ValueError(f"{', '.join(files)} confuse no two Chinese characters, so nothing would be corrected")
    return found


def trained_corrector(
    name: str, bf16: bool, use_cpu: bool
) -> tuple[ChineseModernBertForSpellingCorrection, PreTrainedTokenizerFast]:
    """Return a corrector that was trained, and its tokenizer; none of the folder's own code runs.

    Args:
        name: folder
        bf16: weights in bfloat16 rather than float32
        use_cpu: leave a GPU alone

    Raises:
        FileNotFoundError: If there is no tokenizer.
        ValueError: If the folder holds another model.
    """
    config = own_config(name)
    if config is None or SPELLING not in (config.architectures or ()):
        raise ValueError(f"{name} is no model for spelling correction; train one with spell train")
    tokenizer = load_tokenizer(name)
    check_vocabulary(tokenizer, config.vocab_size)
    model: Any = _load(name, config, SpellingSettings.of(config))
    device = "cuda" if torch.cuda.is_available() and not use_cpu else "cpu"
    return model.to(device=device, dtype=torch.bfloat16 if bf16 else torch.float32), tokenizer


def _load(
    name: str, config: ChineseModernBertConfig, settings: SpellingSettings, may_lack: tuple[str, ...] = ()
) -> ChineseModernBertForSpellingCorrection:
    """Return a corrector with float32 weights.

    Args:
        name: folder of the model
        config: its configuration
        settings: what it says about spelling
        may_lack: beginnings of the names of weights that are drawn where the folder lacks them

    Raises:
        ValueError: If it lacks others, which would be drawn at random.
    """
    setattr(config, "spelling", asdict(settings))  # noqa: B010, the class has none
    found: Any = ChineseModernBertForSpellingCorrection.from_pretrained(
        name, config=config, trust_remote_code=False, dtype=torch.float32, output_loading_info=True
    )
    model, loading = found
    lacking = sorted(key for key in loading["missing_keys"] if not key.startswith(may_lack))
    if lacking:
        raise ValueError(f"{name} lacks weights ({', '.join(lacking[:3])}); give a masked language model with its head")
    return model.eval()


def timed_corrections(
    model: ChineseModernBertForSpellingCorrection,
    tokenizer: PreTrainedTokenizerFast,
    sources: Sequence[str],
    threshold: float | None = None,
    confusion: Mapping[str, Sequence[str]] | None = None,
) -> tuple[list[str], float]:
    """Return what a model makes of texts, and the seconds that it took."""
    started = time.perf_counter()
    found = model.correct(sources, tokenizer, threshold=threshold, confusion=confusion)
    return [one.text for one in found], time.perf_counter() - started
