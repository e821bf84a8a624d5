"""Token masking agrees in distribution with Transformers' collator: shares, corruption, every position alike."""

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from tokenizers import Tokenizer, models
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

from chinese_modernbert.trainers.masking import Masker, MaskVocabulary, PackedBatch, Replace, TokenUnits

SIZE, LENGTH, ROWS, BATCHES, RATE = 200, 40, 100, 60, 0.15
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {token: i for i, token in enumerate([*SPECIALS, *(f"w{i}" for i in range(SIZE - len(SPECIALS)))])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(tokenizer_object=backend, **dict(zip(names, SPECIALS, strict=True)))


def rows(seed: int) -> np.ndarray:
    ids = np.random.default_rng(seed).integers(len(SPECIALS), SIZE, (ROWS, LENGTH))
    ids[:, 0], ids[:, -1] = 2, 3
    return ids


def counts_of(ids: np.ndarray, new: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each position was selected, and how many selected tokens were masked, replaced and kept."""
    chosen = labels != -100
    assert np.array_equal(labels[chosen], ids[chosen])
    kinds = [(new == 4) & chosen, (new != 4) & (new != ids) & chosen, (new == ids) & chosen]
    return chosen.sum(axis=0), np.array([kind.sum() for kind in kinds])


def ours(tokenizer: PreTrainedTokenizerFast) -> tuple[np.ndarray, np.ndarray]:
    masker = Masker(TokenUnits(), RATE, Replace(MaskVocabulary.from_tokenizer(tokenizer), per="token"), seed=3)
    totals = [np.zeros(LENGTH, np.int64), np.zeros(3, np.int64)]
    for number in range(BATCHES):
        ids = rows(number)
        words = np.where((ids == 2) | (ids == 3), -1, np.arange(LENGTH))
        sample_ids = np.arange(ROWS) + number * ROWS
        found = masker(PackedBatch(input_ids=ids, word_ids=words, sample_ids=sample_ids), 0.0)
        for total, part in zip(totals, counts_of(ids, found["input_ids"], found["labels"]), strict=True):
            total += part
    return totals[0], totals[1]


def theirs(tokenizer: PreTrainedTokenizerFast) -> tuple[np.ndarray, np.ndarray]:
    torch.manual_seed(3)
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=RATE)
    totals = [np.zeros(LENGTH, np.int64), np.zeros(3, np.int64)]
    for number in range(BATCHES):
        ids = rows(number)
        found = collator([{"input_ids": row.tolist()} for row in ids])
        parts = counts_of(ids, found["input_ids"].numpy(), found["labels"].numpy())
        for total, part in zip(totals, parts, strict=True):
            total += part
    return totals[0], totals[1]


def test_token_masking_agrees_in_distribution_with_transformers(tokenizer: PreTrainedTokenizerFast) -> None:
    (place, kinds), (their_place, their_kinds) = ours(tokenizer), theirs(tokenizer)
    inside = place[1:-1].sum() / (BATCHES * ROWS * (LENGTH - 2))
    assert inside == pytest.approx(RATE, abs=0.001)
    # Theirs is a binomial share, so it varies by sqrt(p q / n) = 0.0007.
    assert their_place[1:-1].sum() / (BATCHES * ROWS * (LENGTH - 2)) == pytest.approx(inside, abs=0.003)
    assert place[0] == place[-1] == their_place[0] == their_place[-1] == 0
    # Two samples of the same three shares, and of the same 38 positions: chi-squared stays under its 99.9 % point.
    for first, second in ((kinds, their_kinds), (place[1:-1], their_place[1:-1])):
        table = np.stack([first, second]).astype(float)
        expected = table.sum(0) * table.sum(1, keepdims=True) / table.sum()
        assert ((table - expected) ** 2 / expected).sum() < chi2.ppf(0.999, len(first) - 1)


def test_every_position_is_selected_alike(tokenizer: PreTrainedTokenizerFast) -> None:
    place, kinds = ours(tokenizer)
    inside = place[1:-1]
    assert ((inside - inside.mean()) ** 2 / inside.mean()).sum() < chi2.ppf(0.999, len(inside) - 1)
    # A random token is the token itself once in 195 times, and then counts as kept.
    wanted = np.array([0.8, 0.1 * 194 / 195, 0.1 + 0.1 / 195]) * kinds.sum()
    assert ((kinds - wanted) ** 2 / wanted).sum() < chi2.ppf(0.999, 2)
