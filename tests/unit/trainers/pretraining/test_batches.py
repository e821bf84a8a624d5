"""Ready batches against batches that are masked in their step, and what of them may leave the host."""

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.utils import send_to_device
from torch.utils.data import DataLoader

from chinese_modernbert.trainers.data.batch_plan import BatchSizeWarmup
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
    UniformRate,
    chinese_modernbert,
)
from chinese_modernbert.trainers.pretraining.batches import FACTS, UNMASKED, MaskedBatches
from chinese_modernbert.trainers.pretraining.throughput import Workload
from reference.ready_batches import flat_lists, mask_in_step, words_of_labels, write_staged

VOCABULARY = MaskVocabulary(1000, 4, (0, 1, 2, 3, 4))
PAPER = chinese_modernbert(VOCABULARY, high=0.6)
WEIGHING = Masker(TokenUnits(), UniformRate(0.1, 0.9), Replace(VOCABULARY), budget="document", inverse_rate_loss=True)
WINDOW = 8


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> StagedBatches:
    """Return a run of two stages, three micro-batches a step, growing batches, and several epochs of a small corpus."""
    return write_staged(tmp_path_factory.mktemp("shards"), [10, 20], BatchSizeWarmup(0.3, 0.5))


def test_a_stage_of_single_tokens_is_masked_by_tokens_and_the_others_as_before(staged: StagedBatches) -> None:
    stages = [staged.stages[0], replace(staged.stages[1], single_tokens=True)]
    by_tokens = replace(PAPER, units=TokenUnits())
    plan = (staged.ends, 3, 128, 0, staged.specials)
    ready = MaskedBatches(StagedBatches(staged.shards, stages, *plan), PAPER, WINDOW)
    twins = [
        MaskedBatches(StagedBatches(staged.shards, staged.stages, *plan), one, WINDOW) for one in (PAPER, by_tokens)
    ]
    differing = 0
    for number in range(len(ready)):
        expected = twins[number // 3 >= staged.ends[0]][number]
        for name in ("input_ids", "labels", "target_positions"):
            assert torch.equal(ready[number][name], expected[name])
        differing += not torch.equal(expected["input_ids"], twins[0][number]["input_ids"])
    assert differing > 20  # the units do change masks


def test_batches_reach_workers_that_are_not_forked(staged: StagedBatches) -> None:
    ready = MaskedBatches(staged, PAPER, WINDOW)
    sent = pickle.loads(pickle.dumps(ready))  # what spawn and forkserver do, the defaults of macOS and Windows
    for number in (0, 59):
        assert torch.equal(sent[number]["input_ids"], ready[number]["input_ids"])
        assert torch.equal(sent[number]["labels"], ready[number]["labels"])


@pytest.mark.parametrize("masker", [PAPER, WEIGHING], ids=["paper", "loss weights"])
def test_a_ready_batch_is_the_batch_that_its_step_would_mask_without_the_padding(
    staged: StagedBatches, masker: Masker
) -> None:
    ready = MaskedBatches(staged, masker, WINDOW)
    assert len(ready) == len(staged) == 60
    for number in range(len(ready)):
        rows, masked = mask_in_step(staged, masker, number)
        expected, found = flat_lists(rows), ready[number]
        assert found["input_ids"].tolist() == [expected["input_ids"]]
        assert found["cu_seq_lens_q"].tolist() == expected["bounds"]
        assert found["max_length_q"] == max(np.diff(expected["bounds"]))
        assert found["labels"].tolist() == expected["labels"]
        assert found["target_positions"].tolist() == expected["target_positions"]
        assert found.get("loss_weight", torch.zeros(0)).tolist() == expected["weights"]
        assert found["cu_seq_lens_q"].dtype == torch.int32
        assert type(found["max_length_q"]) is int
        facts = found[FACTS]
        assert facts.micro_batch == number
        assert facts.words.tolist() == words_of_labels(staged[number]["word_ids"].numpy(), masked["labels"])


def test_a_filled_row_has_every_position_and_the_padding_in_documents_of_its_own(staged: StagedBatches) -> None:
    ready, filled = MaskedBatches(staged, PAPER, WINDOW), MaskedBatches(staged, PAPER, WINDOW, filled=True)
    paddings = 0
    for number in range(len(ready)):
        expected, found = ready[number], filled[number]
        tokens, positions = expected["input_ids"].shape[1], staged[number]["input_ids"].numel()
        assert found["input_ids"].shape == (1, positions)
        assert torch.equal(found["input_ids"][:, :tokens], expected["input_ids"])
        assert (found["input_ids"][:, tokens:] == 0).all()
        documents = len(expected["cu_seq_lens_q"]) - 1
        assert torch.equal(found["cu_seq_lens_q"][:documents], expected["cu_seq_lens_q"][:-1])
        assert found["cu_seq_lens_q"][-1] == positions
        assert found["max_length_q"] <= staged[number]["input_ids"].shape[1]
        assert torch.equal(found["target_positions"], expected["target_positions"])
        assert torch.equal(found["labels"], expected["labels"])
        assert found[FACTS].work == expected[FACTS].work
        paddings += positions - tokens
    assert paddings


def test_rows_are_those_that_the_step_would_mask(staged: StagedBatches) -> None:
    for number in (0, 29, 59):
        rows, _ = mask_in_step(staged, PAPER, number)
        found = MaskedBatches(staged, PAPER, WINDOW, flat=False)[number]
        del found[FACTS]
        assert found.keys() == rows.keys() == {"input_ids", "labels", "document_ids"}
        assert all(torch.equal(found[name], rows[name]) for name in rows)


def test_the_rate_and_the_masks_are_those_of_the_step_and_the_epoch(staged: StagedBatches) -> None:
    ready, rates = MaskedBatches(staged, PAPER, WINDOW), []
    for number in range(len(ready)):
        masks = ready[number][FACTS].masks
        rates.append(masks.target_tokens / masks.maskable_tokens)
    assert rates == pytest.approx([PAPER.target_rate(number // 3 / 20) for number in range(60)])
    assert max(staged[number]["epochs"].max() for number in range(60)) >= 1


def test_the_counts_are_those_that_the_step_took(staged: StagedBatches) -> None:
    ready, ahead, in_step = MaskedBatches(staged, WEIGHING, WINDOW), MaskingStatistics(), MaskingStatistics()
    measured, expected = Workload(), Workload()
    for number in range(len(ready)):
        rows, masked = mask_in_step(staged, WEIGHING, number)
        in_step.observe(masked)
        facts = ready[number][FACTS]
        ahead.add(facts.masks)
        assert facts.masks.masked_tokens == int((rows["labels"] != -100).sum())
        assert facts.masks.loss_weight == pytest.approx(float(rows["loss_weight"].double().sum()))
        measured.merge(facts.work)
        expected.add(rows["document_ids"].numpy(), int((rows["labels"] != -100).sum()), WINDOW)
    assert ahead.as_logs() == in_step.as_logs()
    assert ahead.single_token_share == in_step.single_token_share
    assert measured == expected


@pytest.mark.parametrize("masker", [PAPER, WEIGHING], ids=["paper", "loss weights"])
def test_fillers_give_labels_one_shape_and_add_nothing(staged: StagedBatches, masker: Masker) -> None:
    plain, filled = MaskedBatches(staged, masker, WINDOW), MaskedBatches(staged, masker, WINDOW, label_capacity=128)
    for number in range(len(plain)):
        short, long = plain[number], filled[number]
        masked, tokens = short["labels"].numel(), short["input_ids"].numel()
        assert {long[name].shape for name in ("labels", "target_positions")} == {(128,)}
        assert torch.equal(long["labels"][:masked], short["labels"])
        assert torch.equal(long["target_positions"][:masked], short["target_positions"])
        assert (long["labels"][masked:] == -100).all()
        assert (long["target_positions"][masked:] == tokens - 1).all()
        assert not long.get("loss_weight", torch.zeros(masked))[masked:].any()
        assert long[FACTS].masks.masked_tokens == masked


def test_a_capacity_that_does_not_do_is_refused(staged: StagedBatches) -> None:
    with pytest.raises(ValueError, match=r"has \d+ masked tokens and label_capacity=3; raise it, or leave it out$"):
        MaskedBatches(staged, PAPER, WINDOW, label_capacity=3)[59]
    with pytest.raises(ValueError, match="label_capacity=3 is for flat rows"):
        MaskedBatches(staged, PAPER, WINDOW, flat=False, label_capacity=3)


def test_a_batch_without_a_masked_token_is_a_batch(staged: StagedBatches) -> None:
    found = MaskedBatches(staged, Masker(TokenUnits(), 0.0, Replace(VOCABULARY)), WINDOW)[0]
    assert found["labels"].shape == found["target_positions"].shape == found[FACTS].words.shape == (0,)


def test_a_batch_whose_masks_follow_the_model_waits_for_its_step(staged: StagedBatches) -> None:
    table = FeedbackTable(1000, AccuracyRule())
    masker = Masker(TokenUnits(), 0.3, Replace(VOCABULARY), TableWeights(table), sampler="bernoulli")
    ready = MaskedBatches(staged, masker, WINDOW)
    item = ready[5]
    assert item.keys() == {UNMASKED}
    before = ready.mask(item[UNMASKED].columns)[0]
    table.load_state_dict({**table.state_dict(), "state": np.random.default_rng(0).random(1000)})
    after, masked = ready.mask(item[UNMASKED].columns)
    assert not torch.equal(before["target_positions"], after["target_positions"])
    assert flat_lists(mask_in_step(staged, masker, 5)[0])["labels"] == after["labels"].tolist()
    assert int(masked["selected"].sum()) == after["labels"].numel()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_any_number_of_workers_gives_the_same_batches_in_order(staged: StagedBatches, workers: int) -> None:
    ready = MaskedBatches(staged, PAPER, WINDOW)
    loader = DataLoader(ready, batch_size=1, collate_fn=lambda items: items[0], num_workers=workers)
    for number, item in enumerate(loader):
        assert item[FACTS].micro_batch == number
        assert torch.equal(item["labels"], ready[number]["labels"])


class Elsewhere:
    """Notes what is sent to a device or into pinned memory; a tensor's stand-in."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def to(self, device: Any, non_blocking: bool = False) -> "Elsewhere":
        self.calls.append(("to", device, non_blocking))
        return self

    def pin_memory(self) -> "Elsewhere":
        self.calls.append("pinned")
        return self


def test_facts_stay_on_the_host_when_a_batch_is_pinned_and_sent_to_a_device(staged: StagedBatches) -> None:
    from torch.utils.data._utils.pin_memory import pin_memory

    item, stand_in = MaskedBatches(staged, PAPER, WINDOW)[7], Elsewhere()
    given = {FACTS: item[FACTS], "max_length_q": item["max_length_q"], "input_ids": stand_in}
    sent = send_to_device(pin_memory(given), torch.device("meta"), non_blocking=True)
    assert stand_in.calls == ["pinned", ("to", torch.device("meta"), True)]
    assert sent[FACTS] is item[FACTS]
    assert sent["max_length_q"] == item["max_length_q"]
    assert not any(isinstance(value, torch.Tensor) for value in vars(item[FACTS]).values())
    assert len(pickle.dumps(item[FACTS])) < 2000 + item[FACTS].words.nbytes
