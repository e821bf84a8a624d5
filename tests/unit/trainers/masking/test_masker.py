"""The promises of the masker: exact rate, whole units, and masks that depend on nothing but their coordinates."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chinese_modernbert.runtime.counter_random import CounterRandom
from chinese_modernbert.tokenization.word_starts import word_ids_from_starts
from chinese_modernbert.trainers.masking import (
    ClassLoss,
    ColumnUnits,
    ColumnWeights,
    Masker,
    MaskVocabulary,
    NGramUnits,
    OneTokenPerUnit,
    PackedBatch,
    Replace,
    TableWeights,
    TagWeights,
    TokenUnits,
    UniformRate,
    chinese_modernbert,
)
from reference.masking import selected_positions

VOCABULARY = MaskVocabulary(size=500, mask_token_id=4, special_ids=(0, 1, 2, 3, 4))
REPLACE = Replace(VOCABULARY)


def packed(rows: int, length: int, seed: int = 0, document_length: float = 40, word_length: float = 1.6) -> PackedBatch:
    """Random words, documents framed by special tokens, padding at the end of some rows."""
    generator = np.random.default_rng(seed)
    ids = generator.integers(5, VOCABULARY.size, (rows, length))
    documents = np.cumsum(generator.random((rows, length)) < 1 / document_length, axis=1)
    padding = np.arange(length) >= length - generator.integers(0, max(length // 4, 1), (rows, 1))
    documents = np.where(padding, -1, documents).astype(np.int32)
    special = np.zeros((rows, length), dtype=bool)
    special[:, 0] = True
    special[:, 1:] |= documents[:, 1:] != documents[:, :-1]
    ids[special] = 2
    ids[padding] = 0
    starts = generator.random((rows, length)) < 1 / word_length
    return PackedBatch(
        input_ids=ids,
        word_ids=word_ids_from_starts(starts, documents, special),
        document_ids=documents,
        sample_ids=1000 + np.arange(rows),
        tags={"pos": generator.integers(-1, 3, (rows, length)).astype(np.int16)},
        scores={"term_weight": generator.random((rows, length)).astype(np.float32)},
    )


def take_rows(batch: PackedBatch, rows: Any) -> PackedBatch:
    columns: dict[str, Any] = {name: value[rows] for name, value in batch.items() if isinstance(value, np.ndarray)}
    for group in ("tags", "scores"):
        columns[group] = {name: value[rows] for name, value in batch.get(group, {}).items()}
    return PackedBatch(**columns)


def every_masker(rate: float = 0.3) -> dict[str, Masker]:
    words = ColumnUnits("word_ids")
    table = TableWeights(np.linspace(0.1, 2, VOCABULARY.size))
    return {
        "token": Masker(TokenUnits(), rate, REPLACE),
        "word": Masker(words, rate, REPLACE),
        "short_words": Masker(ColumnUnits("word_ids", max_tokens=2), rate, REPLACE),
        "ngram": Masker(NGramUnits(words), rate, Replace(VOCABULARY, per="token")),
        "one_token": Masker(OneTokenPerUnit(words), rate, REPLACE),
        "entity": Masker(ColumnUnits("pos", fallback="word_ids"), rate, REPLACE),
        "table": Masker(words, rate, REPLACE, weights=table),
        "tags": Masker(words, rate, REPLACE, weights=TagWeights("pos", np.array([1.0, 2.0, 4.0])) * table),
        "column": Masker(words, rate, REPLACE, weights=ColumnWeights("term_weight"), reduce="max"),
        "document": Masker(words, rate, REPLACE, budget="document"),
        "bernoulli": Masker(words, rate, REPLACE, weights=table, sampler="bernoulli"),
        "absolute": Masker(
            words, rate, REPLACE, weights=TableWeights(np.full(VOCABULARY.size, 0.2)), sampler="absolute"
        ),
        "uniform": Masker(words, UniformRate(0.1, 0.9, 0.3), REPLACE, budget="document", sampler="bernoulli"),
        "paper": chinese_modernbert(VOCABULARY),
    }


@pytest.mark.parametrize(
    "name", ["token", "word", "ngram", "entity", "table", "tags", "column", "document", "bernoulli"]
)
@pytest.mark.parametrize("rate", [0.15, 0.4])
def test_realized_rate_equals_the_target(name: str, rate: float) -> None:
    masker = every_masker(rate)[name]
    masked = tokens = 0
    for epoch in range(40):
        result = masker(packed(64, 256, seed=epoch), 0.5, epoch)
        masked, tokens = masked + int(result["selected"].sum()), tokens + result["maskable_tokens"]
    # The budget is exact up to one unit a row; independent units vary by sqrt(rate * tokens * mean length).
    tolerance = 0.004 if name == "bernoulli" else 0.001
    assert abs(masked / tokens - rate) < tolerance


def test_short_documents_are_not_masked_less() -> None:
    word_ids = np.tile(np.array([[0, 0, 1, 2, 2, 2]]), (16_000, 1))
    batch = PackedBatch(input_ids=np.full_like(word_ids, 7), word_ids=word_ids, sample_ids=np.arange(16_000))
    masked = Masker(ColumnUnits(), 0.15, REPLACE)(batch, 0.0)["selected"]
    assert abs(masked.mean() - 0.15) < 0.005
    for first, last in ((0, 1), (3, 5)):
        np.testing.assert_array_equal(masked[:, first], masked[:, last])


def test_chance_of_masking_is_flat_in_word_length() -> None:
    lengths = np.tile([1, 2, 3, 4], 100)
    word_ids = np.tile(np.repeat(np.arange(400), lengths), (200, 1))
    masker = Masker(ColumnUnits(), 0.15, REPLACE)
    counts = np.zeros(5)
    for epoch in range(20):
        result = masker(PackedBatch(input_ids=word_ids + 5, word_ids=word_ids), 0.0, epoch)
        counts += np.bincount(result["units"].length[result["chosen"]], minlength=5)
    chance = counts[1:] / (100 * 200 * 20)
    np.testing.assert_allclose(chance, 0.15, atol=0.003)


@pytest.mark.parametrize("name", every_masker())
def test_specials_and_padding_are_never_touched_and_labels_hold_the_original(name: str) -> None:
    batch = packed(16, 128)
    result = every_masker()[name](batch, 0.3)
    selected = result["selected"]
    assert selected.any()
    assert not selected[batch["word_ids"] < 0].any()
    np.testing.assert_array_equal(result["labels"], np.where(selected, batch["input_ids"], -100))
    np.testing.assert_array_equal(result["input_ids"][~selected], batch["input_ids"][~selected])


@pytest.mark.parametrize("name", ["word", "ngram", "document", "bernoulli", "table"])
def test_words_are_masked_whole_or_not_at_all(name: str) -> None:
    batch = packed(16, 128)
    selected = every_masker()[name](batch, 0.3)["selected"]
    words, documents = batch["word_ids"], batch["document_ids"]
    same = (words[:, 1:] == words[:, :-1]) & (words[:, 1:] >= 0) & (documents[:, 1:] == documents[:, :-1])
    assert same.any()
    np.testing.assert_array_equal(selected[:, 1:][same], selected[:, :-1][same])


@pytest.mark.parametrize("name", every_masker())
def test_a_row_is_masked_alike_alone_reordered_and_together(name: str) -> None:
    masker, batch = every_masker()[name], packed(9, 200, seed=3)
    together = masker(batch, 0.4, epoch=2)
    order = np.random.default_rng(0).permutation(9)
    reordered = masker(take_rows(batch, order), 0.4, epoch=2)
    for key in ("input_ids", "labels", "selected"):
        np.testing.assert_array_equal(reordered[key], together[key][order])
    for row in range(9):
        alone = masker(take_rows(batch, slice(row, row + 1)), 0.4, epoch=2)
        np.testing.assert_array_equal(alone["input_ids"][0], together["input_ids"][row])


def test_padding_a_row_further_changes_no_mask() -> None:
    batch = packed(4, 100)
    wide = {name: np.pad(batch[name], ((0, 0), (0, 28)), constant_values=-1) for name in ("word_ids", "document_ids")}
    longer = PackedBatch(
        input_ids=np.pad(batch["input_ids"], ((0, 0), (0, 28))), sample_ids=batch["sample_ids"], **wide
    )
    masker = every_masker()["word"]
    np.testing.assert_array_equal(masker(longer, 0.2)["input_ids"][:, :100], masker(batch, 0.2)["input_ids"])


def test_seed_and_epoch_change_the_mask_and_seed_zero_counts() -> None:
    batch = packed(8, 128)
    results = [
        Masker(ColumnUnits(), 0.3, REPLACE, seed=seed)(batch, 0.0, epoch)["selected"].tobytes()
        for seed, epoch in ((0, 0), (1, 0), (0, 1), (1, 1), (-1, 0))
    ]
    assert len(set(results)) == 5
    again = Masker(ColumnUnits(), 0.3, REPLACE, seed=0)(batch, 0.0, 0)["selected"].tobytes()
    assert again == results[0]


def test_each_row_may_have_its_own_epoch() -> None:
    masker, batch = every_masker()["word"], packed(2, 100)
    mixed = masker(batch, 0.0, np.array([5, 9]))["selected"]
    np.testing.assert_array_equal(mixed[0], masker(batch, 0.0, 5)["selected"][0])
    np.testing.assert_array_equal(mixed[1], masker(batch, 0.0, 9)["selected"][1])


@pytest.mark.parametrize("sampler", ["budget", "bernoulli"])
@pytest.mark.parametrize("units", [TokenUnits(), ColumnUnits(), NGramUnits(ColumnUnits())])
def test_no_weights_equals_weights_of_one(sampler: Any, units: Any) -> None:
    batch = packed(8, 128)
    plain = Masker(units, 0.3, REPLACE, sampler=sampler)(batch, 0.0)
    ones = Masker(units, 0.3, REPLACE, sampler=sampler, weights=TableWeights(np.ones(VOCABULARY.size)))(batch, 0.0)
    np.testing.assert_array_equal(plain["input_ids"], ones["input_ids"])


@pytest.mark.parametrize("sampler", ["budget", "bernoulli"])
def test_zero_weight_is_never_selected_and_a_large_budget_takes_the_rest(sampler: Any) -> None:
    table = np.ones(VOCABULARY.size)
    table[:250] = 0
    batch = packed(8, 128)
    masker = Masker(TokenUnits(), 0.9, REPLACE, sampler=sampler, weights=TableWeights(table))
    selected = masker(batch, 0.0)["selected"]
    np.testing.assert_array_equal(selected, (batch["input_ids"] >= 250) & (batch["word_ids"] >= 0))


def test_rate_zero_masks_nothing_and_rate_one_everything() -> None:
    batch = packed(4, 64)
    for sampler in ("budget", "bernoulli"):
        assert not Masker(ColumnUnits(), 0.0, REPLACE, sampler=sampler)(batch, 0.0)["selected"].any()
        full = Masker(ColumnUnits(), 1.0, REPLACE, sampler=sampler)(batch, 0.0)["selected"]
        np.testing.assert_array_equal(full, batch["word_ids"] >= 0)


def test_a_batch_of_nothing_but_padding_is_left_alone() -> None:
    ids = np.zeros((2, 5), dtype=np.int64)
    batch = PackedBatch(input_ids=ids, word_ids=np.full((2, 5), -1), document_ids=np.full((2, 5), -1))
    for name, masker in every_masker().items():
        if name not in ("tags", "column", "entity"):
            result = masker(batch, 0.5)
            assert not result["selected"].any(), name
            np.testing.assert_array_equal(result["input_ids"], ids)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 4),
    length=st.integers(1, 40),
    seed=st.integers(0, 10_000),
    rate=st.floats(0, 1),
    most=st.sampled_from([None, 1, 3]),
    by_document=st.booleans(),
    weighted=st.booleans(),
)
def test_the_vectorised_masker_equals_the_obvious_one(
    rows: int, length: int, seed: int, rate: float, most: int | None, by_document: bool, weighted: bool
) -> None:
    batch = packed(rows, length, seed, document_length=9)
    masker = Masker(
        ColumnUnits(max_tokens=most),
        rate,
        REPLACE,
        weights=ColumnWeights("term_weight") if weighted else None,
        budget="document" if by_document else "row",
        seed=seed,
    )
    token_weights = batch["scores"]["term_weight"] if weighted else np.ones((rows, length))
    expected = selected_positions(
        batch["word_ids"],
        batch["document_ids"],
        token_weights,
        rate,
        CounterRandom(seed, 0, batch["sample_ids"]),
        most,
        by_document,
    )
    np.testing.assert_array_equal(masker(batch, 0.0)["selected"], expected)


def test_input_columns_are_not_changed() -> None:
    batch, untouched = packed(4, 64), packed(4, 64)
    for masker in every_masker().values():
        masker(batch, 0.5)
    for name in ("input_ids", "word_ids", "document_ids", "sample_ids"):
        np.testing.assert_array_equal(batch[name], untouched[name])


def test_class_loss_follows_the_tag_and_inverse_rate_follows_the_document() -> None:
    batch = packed(4, 64)
    weights = np.array([2.0, 3.0, 4.0])
    result = Masker(TokenUnits(), 0.5, REPLACE, class_loss=ClassLoss("pos", weights, untagged=1.5))(batch, 0.0)
    expected = np.append(weights, 1.5)[batch["tags"]["pos"]] * result["selected"]
    np.testing.assert_allclose(result["loss_weight"], expected)
    inverse = Masker(TokenUnits(), 0.25, REPLACE, inverse_rate_loss=True)(batch, 0.0)
    np.testing.assert_allclose(inverse["loss_weight"], 4.0 * inverse["selected"])
    assert Masker(TokenUnits(), 0.5, REPLACE)(batch, 0.0)["loss_weight"] is None


def test_uniform_rate_per_document_gives_a_flat_histogram() -> None:
    rows = 4000
    word_ids = np.tile(np.arange(100), (rows, 1))
    batch = PackedBatch(input_ids=word_ids + 5, word_ids=word_ids, sample_ids=np.arange(rows))
    shares = Masker(TokenUnits(), UniformRate(0, 1), REPLACE, budget="document")(batch, 0.0)["selected"].mean(axis=1)
    counts, _ = np.histogram(shares, bins=10, range=(0, 1))
    assert ((counts - rows / 10) ** 2 / (rows / 10)).sum() < 27.9  # chi-square with 9 degrees of freedom, p = 0.001
    half = Masker(TokenUnits(), UniformRate(0, 1, 0.5), REPLACE, budget="document")(batch, 0.0)
    assert abs((half["selected"].sum(axis=1) == 0).mean() - 0.5) < 0.03


def test_target_rate_is_reported() -> None:
    masker = chinese_modernbert(VOCABULARY, warmup_share=0.05)
    assert masker.target_rate(0.05) == pytest.approx(0.30)
    assert masker(packed(2, 64), 0.05)["target_rate"] == pytest.approx(0.30)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"word_ids": np.zeros((2, 3))}, "word_ids has shape"),
        ({"sample_ids": np.zeros(5)}, "sample_ids has shape"),
        ({"tags": {"pos": np.zeros((1, 1))}}, "pos has shape"),
        ({"input_ids": np.zeros((0, 4))}, "non-empty"),
    ],
)
def test_columns_that_do_not_fit_are_named(change: dict[str, Any], message: str) -> None:
    batch: Any = {**packed(4, 64), **change}
    with pytest.raises(ValueError, match=message):
        every_masker()["word"](batch, 0.0)


def test_missing_word_ids_and_unknown_options_are_named() -> None:
    incomplete: Any = {"input_ids": np.zeros((2, 3))}
    with pytest.raises(ValueError, match="word_ids_from_starts"):
        every_masker()["word"](incomplete, 0.0)
    wrong: Any = {"sampler": "best"}
    with pytest.raises(ValueError, match="sampler='best'"):
        Masker(TokenUnits(), 0.1, REPLACE, **wrong)
    with pytest.raises(ValueError, match="absolute"):
        Masker(TokenUnits(), 0.1, REPLACE, sampler="absolute")


@pytest.mark.parametrize("name", every_masker())
def test_rows_masked_a_few_at_a_time_equal_rows_masked_together(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, masker = packed(7, 64), every_masker()[name]
    epochs = np.arange(7)
    together = masker(batch, 0.3, epochs)
    for tokens in (1, 3 * 64):
        monkeypatch.setattr("chinese_modernbert.trainers.masking.masker.CACHED_TOKENS", tokens)
        parts: Any = masker(batch, 0.3, epochs)
        for field in ("input_ids", "labels", "selected", "chosen", "maskable_tokens"):
            np.testing.assert_array_equal(parts[field], together[field])
        for ours, whole in zip(parts["units"], together["units"], strict=True):
            np.testing.assert_array_equal(ours, whole)
        assert parts["target_rate"] == pytest.approx(together["target_rate"])
