"""Fill-mask for whole words: candidates for a blank that may take several tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

# Candidates of each position that are combined with each other. Source: our default.
BEAM_WIDTH = 20


@dataclass(frozen=True)
class WordCandidate:
    """A word for the blank.

    Attributes:
        word: its text
        probability: product of the probabilities of its tokens, each predicted with all positions blank
    """

    word: str
    probability: float


@torch.no_grad()
def fill_blank(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    text: str,
    tokens: int,
    top: int = 5,
    blank: str = "{mask}",
) -> list[WordCandidate]:
    """Return the most probable words for a blank.

    Args:
        model: masked language model in evaluation mode
        tokenizer: its tokenizer
        text: a text that holds `blank` once
        tokens: tokens that the word has
        top: candidates to return
        blank: what stands for the word in `text`

    Raises:
        ValueError: Where the blank is not in the text exactly once, or `tokens` is under 1.
    """
    logits = _blank_logits(model, tokenizer, text, tokens, blank)
    beams: list[tuple[list[int], float]] = [([], 0.0)]
    for position in logits:
        values, ids = position.topk(BEAM_WIDTH)
        grown = [
            ([*word, int(token)], score + float(value))
            for word, score in beams
            for value, token in zip(values, ids, strict=True)
        ]
        beams = sorted(grown, key=lambda beam: -beam[1])[:BEAM_WIDTH]
    return [WordCandidate(str(tokenizer.decode(word)), float(torch.tensor(score).exp())) for word, score in beams[:top]]


@torch.no_grad()
def rank_words(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, text: str, words: Sequence[str], blank: str = "{mask}"
) -> list[WordCandidate]:
    """Return given words for a blank, the most probable first; each is given as many blanks as it has tokens.

    Probabilities of words of different lengths are comparable only in part: every token more is a factor below 1.

    Args:
        model: masked language model in evaluation mode
        tokenizer: its tokenizer
        text: a text that holds `blank` once
        words: the words, which may be rare characters that are spelled in bytes
        blank: what stands for the word in `text`

    Raises:
        ValueError: Where the blank is not in the text exactly once, or a word has no token.
    """
    found = []
    for word in words:
        ids = tokenizer(word, add_special_tokens=False)["input_ids"]
        logits = _blank_logits(model, tokenizer, text, len(ids), blank)
        score = logits[torch.arange(len(ids)), torch.tensor(ids)].sum()
        found.append(WordCandidate(word, float(score.exp())))
    return sorted(found, key=lambda one: -one.probability)


def _blank_logits(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, text: str, tokens: int, blank: str
) -> torch.Tensor:
    """Return log probabilities `[tokens, vocabulary]` of the blank's positions, all of them masked."""
    if text.count(blank) != 1 or tokens < 1:
        raise ValueError(
            f"{text!r} holds {blank!r} {text.count(blank)} times for {tokens} tokens; give it once, for 1 or more"
        )
    before, after = text.split(blank)
    inputs = tokenizer(f"{before}{str(tokenizer.mask_token) * tokens}{after}", return_tensors="pt")
    is_blank = inputs["input_ids"] == tokenizer.mask_token_id
    logits = model(**inputs.to(model.device)).logits.cpu()[is_blank]
    return torch.log_softmax(logits.float(), dim=-1)
