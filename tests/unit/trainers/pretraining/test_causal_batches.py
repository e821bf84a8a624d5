"""Causal micro-batches: which ones, what they predict, what they count as, and how they weigh in a step."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from chinese_modernbert.trainers.data.stages import StagedBatches
from chinese_modernbert.trainers.masking import (
    AccuracyRule,
    FeedbackTable,
    Masker,
    MaskingStatistics,
    MaskVocabulary,
    Replace,
    TableWeights,
    TokenUnits,
    chinese_modernbert,
)
from chinese_modernbert.trainers.pretraining.arguments import PretrainingArguments
from chinese_modernbert.trainers.pretraining.batches import (
    FACTS,
    IS_CAUSAL,
    UNMASKED,
    MaskedBatches,
    is_causal_batch,
    next_tokens,
)
from chinese_modernbert.trainers.pretraining.log import LogWindow
from chinese_modernbert.trainers.pretraining.throughput import Workload
from chinese_modernbert.trainers.pretraining.trainer_hooks import TrainerHooks
from reference.ready_batches import flat_lists, write_staged

VOCABULARY = MaskVocabulary(1000, 4, (0, 1, 2, 3, 4))
PAPER = chinese_modernbert(VOCABULARY, high=0.6)
WINDOW, SHARE = 8, 0.3


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> StagedBatches:
    return write_staged(tmp_path_factory.mktemp("shards"), [5, 10])


@pytest.mark.parametrize("share", [0.0, 1 / 16, 0.1, 0.3, 0.5, 0.9])
def test_any_micro_batches_in_a_row_hold_their_share(share: float) -> None:
    chosen = np.array([is_causal_batch(number, share) for number in range(2000)])
    for count in (1, 7, 16, 100, 1000):
        held = np.convolve(chosen, np.ones(count, dtype=int), "valid")
        assert np.floor(share * count - 1e-6) <= held.min() <= held.max() <= np.ceil(share * count + 1e-6)
    if share == 1 / 16:
        assert (chosen.reshape(-1, 16).sum(axis=1) == 1).all()


def slow_labels(ids: list[list[int]], documents: list[list[int]]) -> list[list[int]]:
    labels = [[-100] * len(row) for row in ids]
    for row, own in enumerate(documents):
        for column in range(len(own) - 1):
            if own[column] >= 0 and own[column + 1] == own[column]:
                labels[row][column] = ids[row][column + 1]
    return labels


def test_every_token_predicts_the_next_one_of_its_document(staged: StagedBatches) -> None:
    for number in range(len(staged)):
        ids, documents = (staged[number][name].numpy() for name in ("input_ids", "document_ids"))
        found = next_tokens(ids, documents)
        assert found["labels"].tolist() == slow_labels(ids.tolist(), documents.tolist())
        assert (found["selected"] == (found["labels"] != -100)).all()
        texts = [set(row[row >= 0].tolist()) for row in documents]
        assert found["selected"].sum() == (documents >= 0).sum() - sum(map(len, texts))


@pytest.mark.parametrize("filled", [False, True])
def test_the_others_stay_bit_for_bit_and_the_chosen_ones_are_text_with_the_next_tokens(
    staged: StagedBatches, filled: bool
) -> None:
    plain = MaskedBatches(staged, PAPER, WINDOW, filled=filled)
    mixed = MaskedBatches(staged, PAPER, WINDOW, filled=filled, causal_share=SHARE)
    causal = 0
    for number in range(len(staged)):
        found, expected = mixed[number], plain[number]
        same = ("input_ids", "cu_seq_lens_q", "labels", "target_positions")
        if not is_causal_batch(number, SHARE):
            assert IS_CAUSAL not in found
            assert all(torch.equal(found[name], expected[name]) for name in same)
            assert found[FACTS].work == expected[FACTS].work
            continue
        causal += 1
        assert found[IS_CAUSAL] is True
        rows: dict[str, Any] = {name: staged[number][name] for name in ("input_ids", "document_ids")}
        rows["labels"] = torch.tensor(slow_labels(rows["input_ids"].tolist(), rows["document_ids"].tolist()))
        lists, tokens = flat_lists(rows), int((rows["document_ids"] >= 0).sum())
        assert found["input_ids"][0, :tokens].tolist() == lists["input_ids"]
        assert found["labels"].tolist() == lists["labels"]
        assert found["target_positions"].tolist() == lists["target_positions"]
        assert torch.equal(found["cu_seq_lens_q"], expected["cu_seq_lens_q"])
        assert found["input_ids"].shape == expected["input_ids"].shape  # compiled layers see one shape
    assert causal == 9


def test_rows_that_are_not_flat_have_dense_labels(staged: StagedBatches) -> None:
    found = MaskedBatches(staged, PAPER, WINDOW, flat=False, causal_share=SHARE)[3]
    assert found.keys() == {"input_ids", "document_ids", "labels", IS_CAUSAL, FACTS}
    ids, documents = staged[3]["input_ids"], staged[3]["document_ids"]
    assert torch.equal(found["input_ids"], ids) and torch.equal(found["document_ids"], documents)
    assert found["labels"].tolist() == slow_labels(ids.tolist(), documents.tolist())


def test_it_is_no_part_of_the_statistics_of_masking_and_counts_its_work(staged: StagedBatches) -> None:
    facts, statistics = MaskedBatches(staged, PAPER, WINDOW, causal_share=SHARE)[3][FACTS], MaskingStatistics()
    statistics.add(facts.masks)
    assert statistics.as_logs() == {} and statistics.units_seen == 0
    assert facts.words.size == 0
    lengths = [int(count) for row in staged[3]["document_ids"] for count in torch.bincount(row[row >= 0])]
    seen = [(place + 1, min(place, WINDOW) + 1) for length in lengths for place in range(length)]
    every, near = (sum(column) for column in zip(*seen, strict=True))
    positions, tokens = staged[3]["document_ids"].numel(), sum(lengths)
    assert facts.work == Workload(positions, tokens, tokens - len(lengths), every, near)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_any_number_of_workers_gives_the_same_batches(staged: StagedBatches, workers: int) -> None:
    ready = MaskedBatches(staged, PAPER, WINDOW, causal_share=SHARE)
    loader = DataLoader(ready, batch_size=1, collate_fn=lambda items: items[0], num_workers=workers)
    for number, item in enumerate(loader):
        assert item.get(IS_CAUSAL, False) == is_causal_batch(number, SHARE)
        assert torch.equal(item["labels"], ready[number]["labels"])


def test_it_waits_for_no_model_where_masks_do(staged: StagedBatches) -> None:
    masker = Masker(TokenUnits(), 0.3, Replace(VOCABULARY), TableWeights(FeedbackTable(1000, AccuracyRule())))
    ready = MaskedBatches(staged, masker, WINDOW, causal_share=SHARE)
    assert [UNMASKED in ready[number] for number in range(5)] == [True, True, True, False, True]


def test_what_could_not_act_is_refused(staged: StagedBatches) -> None:
    for share in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match=r"^causal_share=\S+ is not a number in \[0, 1\); give one$"):
            PretrainingArguments(output_dir="unused", use_cpu=True, causal_share=share)
    masker = Masker(TokenUnits(), 0.3, Replace(VOCABULARY), budget="document", inverse_rate_loss=True)
    with pytest.raises(ValueError, match="causal_share=0.1 has no place for the loss weights of this masking"):
        MaskedBatches(staged, masker, WINDOW, causal_share=0.1)


def test_a_kind_weighs_by_its_micro_batches_and_not_by_its_labels() -> None:
    samples = [
        {FACTS: SimpleNamespace(work=Workload(masked=labels)), **({IS_CAUSAL: True} if is_causal else {})}
        for labels, is_causal in ((10, False), (14, False), (100, True))
    ]
    hooks: Any = SimpleNamespace(args=SimpleNamespace(average_tokens_across_devices=True, world_size=1))
    items = TrainerHooks._get_num_items_in_batch(hooks, samples, torch.device("cpu"))
    assert isinstance(items, torch.Tensor)
    sums = torch.tensor([24 * 3.0, 100 * 5.0])  # means of 3 and 5 nats
    assert (sums / items).sum().item() == pytest.approx(2 / 3 * 3 + 1 / 3 * 5)
    alone = TrainerHooks._get_num_items_in_batch(hooks, samples[:2], torch.device("cpu"))
    assert isinstance(alone, torch.Tensor) and alone.tolist() == [24, 0]


def test_the_log_tells_the_loss_of_either_kind_and_the_share() -> None:
    window, logs = LogWindow(), {"loss": 0.0}
    steps = [[(2.0, False), (4.0, True)], [(3.0, False), (5.0, False)], [(9.0, True), (9.0, False)]]
    for number, step in enumerate(steps):
        total = torch.zeros(())
        window.begin_step(total)
        for loss, is_causal in step:
            window.add_kind(torch.tensor(loss / 2), is_causal, 1 / 2)
        if number == 2:
            window.take_back_step(total)
    window.correct(logs, lambda part: part)
    assert logs["causal_share"] == 0.25
    assert logs["loss_mlm"] == pytest.approx((2 + 3 + 5) / 3)
    assert logs["loss_causal"] == pytest.approx(4)
    window.begin_step(torch.zeros(()))
    window.add_kind(torch.tensor(2.0), False, 1.0)
    logs = {"loss": 2.0}
    window.correct(logs, lambda part: part)
    assert logs == {"loss": 2.0, "loss_mlm": 2.0, "causal_share": 0.0}
