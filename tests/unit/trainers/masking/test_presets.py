"""Each preset's defining property, on one synthetic corpus."""

from typing import Any

import numpy as np
import pytest

from chinese_modernbert.trainers.masking import (
    AccuracyRule,
    FeedbackTable,
    MaskedBatch,
    Masker,
    MaskVocabulary,
    PackedBatch,
    SimilarWords,
    TagLossRule,
    presets,
)

VOCABULARY = MaskVocabulary(60, 4, (0, 1, 2, 3, 4))
ROWS, LENGTH = 300, 240


def batch() -> PackedBatch:
    """Words of 1 to 3 tokens; every tenth word is an entity of two words; parts of speech 0 to 2."""
    generator = np.random.default_rng(0)
    word_lengths = generator.integers(1, 4, LENGTH)
    words = np.repeat(np.arange(LENGTH), word_lengths)[:LENGTH]
    words = np.tile(words, (ROWS, 1))
    entity = np.where(words % 10 < 2, words // 10, -1)
    return PackedBatch(
        input_ids=generator.integers(5, 60, (ROWS, LENGTH)),
        word_ids=words,
        sample_ids=np.arange(ROWS),
        tags={
            "entity": entity,
            "domain_term": entity,
            "pos": (words % 4 - 1).astype(np.int16),
            "stratum": (words % 3 - 1).astype(np.int16),
            "emotion": np.where(words % 5 == 0, 0, -1),
            "metadata": np.where(np.arange(LENGTH) < 20, 0, -1) + np.zeros((ROWS, 1), dtype=int),
        },
        scores={"term_weight": np.where(words % 2 == 0, 3.0, 1.0)},
    )


BATCH = batch()
IDS = BATCH["input_ids"]
TAGS = BATCH.get("tags", {})


def run(masker: Masker, progress: float = 0.5) -> MaskedBatch:
    return masker(BATCH, progress)


def rate_where(result: MaskedBatch, place: np.ndarray) -> float:
    return float(result["selected"][place].mean())


def whole(result: MaskedBatch, column: np.ndarray) -> bool:
    same = (column[:, 1:] == column[:, :-1]) & (column[:, 1:] >= 0)
    return bool((result["selected"][:, 1:][same] == result["selected"][:, :-1][same]).all())


def test_chinese_modernbert_masks_whole_words_with_one_decision_a_word() -> None:
    result = run(presets.chinese_modernbert(VOCABULARY), 0.05)
    assert whole(result, BATCH["word_ids"]) and rate_where(result, IDS >= 0) == pytest.approx(0.30, abs=0.002)
    is_mask = (result["input_ids"] == 4)[result["selected"]]
    units = result["units"].take(result["chosen"])
    per_unit = np.add.reduceat(is_mask, np.cumsum(units.length) - units.length)
    assert set((per_unit / units.length).tolist()) == {0.0, 1.0}


def test_bert_wwm_masks_whole_words_with_one_decision_a_token() -> None:
    result = run(presets.bert_wwm(VOCABULARY))
    assert whole(result, BATCH["word_ids"]) and rate_where(result, IDS >= 0) == pytest.approx(0.15, abs=0.002)
    is_mask = (result["input_ids"] == 4)[result["selected"]]
    assert is_mask.mean() == pytest.approx(0.8, abs=0.01)
    units = result["units"].take(result["chosen"])
    per_unit = np.add.reduceat(is_mask.astype(int), np.cumsum(units.length) - units.length) / units.length
    assert ((per_unit > 0) & (per_unit < 1)).any()


def test_macbert_never_shows_mask_and_masks_up_to_four_words() -> None:
    lexicon = SimilarWords.build({(token,): [(5 + (token - 4) % 55,)] for token in range(5, 60)})
    result = run(presets.macbert(VOCABULARY, lexicon))
    assert not (result["input_ids"] == 4).any() and whole(result, BATCH["word_ids"])
    tiles = result["units"]
    words = BATCH["word_ids"].ravel()
    sizes = [len(set(words[s : s + n].tolist())) for s, n in zip(tiles.start, tiles.length, strict=True)]
    np.testing.assert_allclose(np.bincount(sizes, minlength=5)[1:] / len(sizes), [0.4, 0.3, 0.2, 0.1], atol=0.02)


def test_ernie_masks_entities_whole_and_equals_words_without_them() -> None:
    result = run(presets.ernie(VOCABULARY))
    assert whole(result, TAGS["entity"]) and rate_where(result, IDS >= 0) == pytest.approx(0.15, abs=0.002)
    plain: Any = {**BATCH, "tags": {"entity": np.full_like(IDS, -1)}}
    np.testing.assert_array_equal(
        presets.ernie(VOCABULARY)(plain, 0.5)["input_ids"], run(presets.bert_wwm(VOCABULARY))["input_ids"]
    )


@pytest.mark.parametrize(
    ("name", "start", "end"), [("dynamic_rate", 0.30, 0.15), ("ratio_decay", 0.32, 0.02), ("forty_percent", 0.4, 0.4)]
)
def test_schedules_start_and_end_where_published(name: str, start: float, end: float) -> None:
    masker = getattr(presets, name)(VOCABULARY)
    for progress, rate in ((0.0, start), (1.0, end)):
        assert rate_where(run(masker, progress), IDS >= 0) == pytest.approx(rate, abs=0.001)


def test_forty_percent_leaves_no_selected_token_visible() -> None:
    result = run(presets.forty_percent(VOCABULARY))
    assert (result["input_ids"][result["selected"]] == 4).all()


def test_pos_weighting_masks_the_hard_tag_more_and_keeps_the_rate() -> None:
    feedback = FeedbackTable(3, TagLossRule(), every=1)
    feedback.observe(np.array([0, 1, 2]), np.array([1.0, 1.0, 5.0]), np.zeros(3, dtype=bool))
    feedback.commit(1)
    result = run(presets.pos_weighting(VOCABULARY, feedback))
    hard, easy = (rate_where(result, TAGS["pos"] == tag) for tag in (2, 0))
    assert hard > 1.5 * easy and rate_where(result, IDS >= 0) == pytest.approx(0.17, abs=0.002)


def test_u_pmlm_spreads_the_rate_of_a_document_evenly() -> None:
    shares = run(presets.u_pmlm(VOCABULARY))["selected"].mean(axis=1)
    counts, _ = np.histogram(shares, bins=5, range=(0, 1))
    assert ((counts - ROWS / 5) ** 2 / (ROWS / 5)).sum() < 18.5  # 4 degrees of freedom, p = 0.001


def test_informask_follows_its_table() -> None:
    rates = np.linspace(0.0, 0.48, 60)
    result = run(presets.informask(VOCABULARY, rates))
    realised = np.array([rate_where(result, IDS == token) for token in range(5, 60)])
    np.testing.assert_allclose(realised, rates[5:], atol=0.06)
    assert (result["input_ids"][result["selected"]] == 4).all()


def test_weighted_sampling_masks_rare_entries_by_the_power_law() -> None:
    counts = np.full(60, 10_000.0)
    counts[30:] = 2_500
    result = run(presets.weighted_sampling(VOCABULARY, counts**-0.5, rate=0.02))
    ratio = rate_where(result, IDS >= 30) / rate_where(result, IDS < 30)
    assert ratio == pytest.approx(2.0, rel=0.15)
    assert rate_where(result, IDS >= 0) == pytest.approx(0.02, abs=0.001)


def test_difference_masking_prefers_words_with_a_domain_term() -> None:
    table = np.ones(60)
    table[7] = 30.0
    result = run(presets.difference_masking(VOCABULARY, table))
    assert rate_where(result, IDS == 7) > 0.8 and whole(result, BATCH["word_ids"])
    assert rate_where(result, IDS >= 0) == pytest.approx(0.15, abs=0.002)


def test_retrieval_oriented_prefers_heavy_terms_from_a_column_or_a_table() -> None:
    heavy = BATCH["word_ids"] % 2 == 0
    result = run(presets.retrieval_oriented(VOCABULARY))
    assert rate_where(result, heavy) > 2 * rate_where(result, ~heavy)
    table = np.ones(60)
    table[5:20] = 0.0
    light = np.isin(IDS, np.arange(5, 20))
    by_table = run(presets.retrieval_oriented(VOCABULARY, table))
    assert rate_where(by_table, light) < rate_where(by_table, ~light)
    assert rate_where(by_table, IDS >= 0) == pytest.approx(0.15, abs=0.002)


@pytest.mark.parametrize(
    ("name", "tag", "rates"),
    [
        ("kidlm", "stratum", {0: 0.15, 1: 0.20, -1: 0.25}),
        ("leia", "emotion", {0: 0.5, -1: 0.15}),
        ("metadata", "metadata", {0: 0.3, -1: 0.15}),
    ],
)
def test_strata_have_their_own_rates(name: str, tag: str, rates: dict[int, float]) -> None:
    result = run(getattr(presets, name)(VOCABULARY))
    for stratum, rate in rates.items():
        assert rate_where(result, TAGS[tag] == stratum) == pytest.approx(rate, abs=0.025)


def test_mslm_masks_like_entities_and_weighs_terms_in_the_loss() -> None:
    term = TAGS["domain_term"] >= 0
    plain = run(presets.ernie(VOCABULARY, column="domain_term"))
    seen = int((plain["selected"] & term).sum()), int((plain["selected"] & ~term).sum())
    weights = presets.inverse_share_weights(*seen)
    result = run(presets.mslm(VOCABULARY, *weights))
    np.testing.assert_array_equal(result["input_ids"], plain["input_ids"])
    loss_weight = result["loss_weight"]
    assert loss_weight is not None
    assert loss_weight.sum() == pytest.approx(sum(seen), rel=1e-4)
    assert loss_weight[term].sum() == pytest.approx(loss_weight[~term].sum(), rel=1e-4)


def test_linguistic_entity_masks_one_token_of_an_entity_and_only_eligible_tags() -> None:
    result = run(presets.linguistic_entity(VOCABULARY, [True, False, True]))
    assert not result["selected"][~np.isin(TAGS["pos"], (0, 2))].any()
    for row in range(5):
        entities = TAGS["entity"][row][result["selected"][row] & (TAGS["entity"][row] >= 0)]
        assert len(entities) == len(set(entities.tolist()))


def test_amlm_masks_what_is_predicted_badly_and_keeps_the_rate() -> None:
    feedback = FeedbackTable(60, AccuracyRule(), every=1)
    keys = np.repeat(np.arange(5, 60), 50)
    feedback.observe(keys, np.ones(keys.size), keys < 30)
    feedback.commit(1)
    result = run(presets.amlm(VOCABULARY, feedback), 1.0)
    assert rate_where(result, IDS >= 30) > 5 * rate_where(result, IDS < 30)
    assert rate_where(result, IDS >= 0) == pytest.approx(0.15, abs=0.005)


def test_frequency_informed_prefers_rare_entries_and_weighs_by_the_inverse_rate() -> None:
    ranks = np.where(np.arange(60) < 30, 0.1, 1.0)
    result = run(presets.frequency_informed(VOCABULARY, ranks, exponent=1.0))
    assert rate_where(result, IDS >= 30) > 2 * rate_where(result, IDS < 30)
    loss_weight = result["loss_weight"]
    assert loss_weight is not None
    # Sum of 1 / rate over masked tokens estimates the number of tokens.
    assert loss_weight.sum() == pytest.approx(IDS.size, rel=0.05)
    uniform = run(presets.frequency_informed(VOCABULARY, ranks, exponent=0.0))
    assert rate_where(uniform, IDS >= 30) == pytest.approx(rate_where(uniform, IDS < 30), abs=0.01)


def test_faithfulness_leaves_half_of_the_texts_alone() -> None:
    result = run(presets.faithfulness(VOCABULARY))
    assert (result["selected"].sum(axis=1) == 0).mean() == pytest.approx(0.5, abs=0.08)
    assert (result["input_ids"][result["selected"]] == 4).all()


def test_every_preset_names_its_source_and_is_listed() -> None:
    for name, preset in presets.MASKING_PRESETS.items():
        assert preset.build.__name__ == name and preset.title
        assert "Source:" in (preset.build.__doc__ or ""), name
        if not preset.needs:
            assert isinstance(preset.build(VOCABULARY), Masker)
    assert len(presets.MASKING_PRESETS) == 21
