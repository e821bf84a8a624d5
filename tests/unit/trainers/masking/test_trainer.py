"""The rate on the trainer's clock: exact at every step, whatever the workers, the accumulation and the restarts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models
from torch.utils.data import IterableDataset
from transformers import (
    BertConfig,
    BertForMaskedLM,
    PreTrainedTokenizerFast,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from chinese_modernbert.trainers.masking import (
    ColumnUnits,
    Masker,
    MaskVocabulary,
    PackedBatch,
    Piecewise,
    Replace,
    TokenUnits,
)
from chinese_modernbert.trainers.masking.collator import DataCollatorForWholeWordMasking
from chinese_modernbert.trainers.masking.statistics import MaskingStatistics, characters_per_id
from chinese_modernbert.trainers.masking.trainer import MaskingRateCallback, MaskingTrainer, mask_tensors

VOCABULARY = MaskVocabulary(64, 4, (0, 1, 2, 3, 4))
SCHEDULE = Piecewise([(0, 0.1), (0.5, 0.5), (1, 0.1)])


def tokenizer() -> PreTrainedTokenizerFast:
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(59))]
    backend = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    keys = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(tokenizer_object=backend, **dict(zip(keys, names, strict=False)))


def rows(count: int = 32, length: int = 100) -> list[dict[str, Any]]:
    generator = np.random.default_rng(0)
    return [
        {"input_ids": generator.integers(5, 64, length), "word_starts": generator.random(length) < 0.6, "sample_id": i}
        for i in range(count)
    ]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Recorder(MaskingTrainer):
    """Remembers what each step was trained on."""

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        self.seen = [*getattr(self, "seen", []), (self.state.global_step, inputs["labels"].clone())]
        self.counts = [*getattr(self, "counts", []), (self.state.global_step, int(num_items_in_batch))]
        return super().training_step(model, inputs, num_items_in_batch)


def run(
    folder: Path,
    resume: bool | str = False,
    callbacks: Any = (),
    units: Any = None,
    train_dataset: Any = None,
    **arguments: Any,
) -> Recorder:
    torch.manual_seed(0)
    model = BertForMaskedLM(
        BertConfig(vocab_size=64, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    )
    defaults: dict[str, Any] = {
        "max_steps": 8,
        "per_device_train_batch_size": 4,
        "logging_steps": 2,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "remove_unused_columns": False,
    }
    trainer = Recorder(
        model=model,
        args=TrainingArguments(output_dir=str(folder), **(defaults | arguments)),
        train_dataset=train_dataset or rows(),  # type: ignore[arg-type]
        eval_dataset=rows(8),  # type: ignore[arg-type]
        data_collator=DataCollatorForWholeWordMasking(tokenizer()),
        masker=Masker(units or ColumnUnits(), SCHEDULE, Replace(VOCABULARY)),
    )
    for make in callbacks:
        trainer.add_callback(make(trainer.masking_statistics))
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def test_every_micro_batch_has_the_rate_of_its_optimizer_step(tmp_path: Path) -> None:
    trainer = run(tmp_path, gradient_accumulation_steps=2)
    assert [step for step, _ in trainer.seen] == [step for step in range(8) for _ in range(2)]
    for step, labels in trainer.seen:
        # 4 rows of 100 tokens; a row's budget is met up to one word.
        assert abs((labels != -100).float().mean() - SCHEDULE.expected(step / 8)) < 0.03


def test_the_loss_is_divided_by_the_labels_of_all_micro_batches(tmp_path: Path) -> None:
    trainer = run(tmp_path, gradient_accumulation_steps=2)
    for step in range(8):
        labelled = sum(int((labels != -100).sum()) for at, labels in trainer.seen if at == step)
        assert {count for at, count in trainer.counts if at == step} == {labelled}


def test_workers_change_nothing(tmp_path: Path) -> None:
    alone, workers = run(tmp_path / "a"), run(tmp_path / "b", dataloader_num_workers=2)
    for (_, first), (_, second) in zip(alone.seen, workers.seen, strict=True):
        torch.testing.assert_close(first, second)


class Stream(IterableDataset):
    """Rows without a length."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(rows())


@pytest.mark.parametrize("accumulated", [1, 2])
def test_every_pass_over_a_stream_has_its_own_masks_from_its_first_step(tmp_path: Path, accumulated: int) -> None:
    steps = 24 // accumulated
    trainer = run(
        tmp_path,
        train_dataset=Stream(),
        max_steps=steps,
        gradient_accumulation_steps=accumulated,
        dataloader_num_workers=1,
    )
    batches = [trainer.data_collator(rows()[first : first + 4]) for first in range(0, 32, 4)]
    assert len(trainer.seen) == 24
    for number, (step, labels) in enumerate(trainer.seen):
        epoch, batch = divmod(number, 8)
        expected, _ = mask_tensors(trainer.masker, batches[batch], step / steps, epoch)
        torch.testing.assert_close(labels, expected["labels"])


def test_a_second_epoch_has_other_masks_for_the_same_rows(tmp_path: Path) -> None:
    trainer = run(tmp_path, max_steps=2, per_device_train_batch_size=32)
    counts = [labels[labels != -100].numel() for _, labels in trainer.seen]
    first, second = (np.sort((labels != -100).sum(dim=0).numpy()) for _, labels in trainer.seen)
    assert counts[0] != counts[1] or not np.array_equal(first, second)
    assert trainer.state.epoch == 2.0


def test_resuming_continues_with_the_same_masks(tmp_path: Path) -> None:
    straight = run(tmp_path / "a")
    run(tmp_path / "b", save_strategy="steps", save_steps=3)
    resumed = run(tmp_path / "b", resume=str(tmp_path / "b" / "checkpoint-3"))
    assert [step for step, _ in resumed.seen] == [3, 4, 5, 6, 7]
    for (_, first), (_, second) in zip(straight.seen[3:], resumed.seen, strict=True):
        torch.testing.assert_close(first, second)


def test_evaluation_has_fixed_masks_and_leaves_the_statistics_alone(tmp_path: Path) -> None:
    trainer = run(tmp_path, max_steps=1)
    before = trainer.masking_statistics.units_seen
    assert trainer.evaluate()["eval_loss"] == trainer.evaluate()["eval_loss"]
    assert trainer.masking_statistics.units_seen == before
    inputs = DataCollatorForWholeWordMasking(tokenizer())(rows(8))
    masked = mask_tensors(trainer.evaluation_masker, inputs, 1.0, 0)[0]
    assert abs((masked["labels"] != -100).float().mean() - 0.15) < 0.01


def test_target_and_realized_rate_and_lengths_are_logged(tmp_path: Path) -> None:
    trainer = run(tmp_path, callbacks=[MaskingRateCallback])
    logs = [log for log in trainer.state.log_history if "loss" in log]
    assert len(logs) == 4
    for number, log in enumerate(logs):
        expected = (SCHEDULE.expected(2 * number / 8) + SCHEDULE.expected((2 * number + 1) / 8)) / 2
        assert log["mask_rate_target"] == pytest.approx(expected, abs=1e-4)
        labels = [labels for step, labels in trainer.seen if step // 2 == number]
        realised = float(torch.cat([part.flatten() != -100 for part in labels]).float().mean())
        assert log["mask_rate"] == pytest.approx(realised, abs=1e-4)
        shares = [value for name, value in log.items() if name.startswith("masked_units_of")]
        assert len(shares) == 4 and sum(shares) == pytest.approx(1, abs=1e-4)


def test_a_run_whose_words_are_lost_stops_with_the_reason(tmp_path: Path) -> None:
    def strict(statistics: MaskingStatistics) -> MaskingRateCallback:
        return MaskingRateCallback(statistics, minimum_units=1000)

    def lenient(statistics: MaskingStatistics) -> MaskingRateCallback:
        return MaskingRateCallback(statistics, maximum_single_token_share=None, minimum_units=1000)

    assert run(tmp_path / "healthy", callbacks=[strict]).state.global_step == 8
    with pytest.raises(RuntimeError, match="has become token masking.*100.00%"):
        run(tmp_path / "lost", callbacks=[strict], units=TokenUnits())
    assert run(tmp_path / "meant", callbacks=[lenient], units=TokenUnits()).state.global_step == 8


def test_an_impossible_threshold_is_refused() -> None:
    statistics = MaskingStatistics()
    statistics.units_seen = 7
    with pytest.raises(RuntimeError, match="none of 7 units was masked, so nothing was learned"):
        MaskingRateCallback(statistics).on_train_end(*[None] * 3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="maximum_single_token_share=1"):
        MaskingRateCallback(MaskingStatistics(), maximum_single_token_share=1)


def test_statistics_count_tokens_units_and_characters() -> None:
    batch = PackedBatch(
        input_ids=np.array([[5, 6, 7, 8, 8, 8, 8, 8, 2]]), word_ids=np.array([[0, 1, 1, 2, 2, 2, 2, 2, -1]])
    )
    statistics = MaskingStatistics(characters_per_id(["[PAD]"] * 5 + ["一", "二三", " 四", "ab"]))
    assert statistics.as_logs() == {}
    statistics.observe(Masker(ColumnUnits(), 1.0, Replace(VOCABULARY))(batch, 0.0))
    logs = statistics.as_logs()
    assert logs["mask_rate"] == logs["mask_rate_target"] == 1.0
    assert [logs[f"masked_units_of_{n}_tokens"] for n in ("1", "2", "3", "4_or_more")] == [0.33333, 0.33333, 0, 0.33333]
    assert [logs[f"masked_words_of_{n}_characters"] for n in ("1", "2", "3", "4_or_more")] == [
        0.33333,
        0,
        0.33333,
        0.33333,
    ]
    assert statistics.single_token_share == pytest.approx(1 / 3)
    statistics.clear()
    assert statistics.as_logs() == {} and statistics.units_seen == 3


def test_the_callback_leaves_logs_without_a_loss_alone(tmp_path: Path) -> None:
    statistics = MaskingStatistics()
    logs = {"eval_loss": 1.0}
    MaskingRateCallback(statistics).on_log(
        TrainingArguments(output_dir=str(tmp_path), report_to=[]), TrainerState(), TrainerControl(), logs=logs
    )
    assert logs == {"eval_loss": 1.0}
