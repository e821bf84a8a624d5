"""A training step on a device without values: whoever reads one there, or decides by one, raises."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PreTrainedModel

from chinese_modernbert.modeling import ChineseModernBertConfig
from chinese_modernbert.runtime.options import load_recipe
from chinese_modernbert.trainers.data.packing import SpecialIds
from chinese_modernbert.trainers.data.shards import TokenShards
from chinese_modernbert.trainers.data.stages import Stage, StagedBatches
from chinese_modernbert.trainers.masking import ColumnUnits, Masker, MaskVocabulary, Replace, TokenUnits, UniformRate
from chinese_modernbert.trainers.masking.trainer import MaskingRateCallback
from chinese_modernbert.trainers.pretraining.arguments import PretrainingArguments
from chinese_modernbert.trainers.pretraining.guards import StepGuard
from chinese_modernbert.trainers.pretraining.trainer import PretrainingTrainer
from reference.shard_folders import random_documents, write_folder

META = torch.device("meta")
STEPS, ACCUMULATION = 4, 2
VOCABULARY = MaskVocabulary(1000, 4, (0, 1, 2, 3, 4))
PLAIN = Masker(TokenUnits(), 0.3, Replace(VOCABULARY))
WEIGHING = Masker(TokenUnits(), UniformRate(0.1, 0.9), Replace(VOCABULARY), budget="document", inverse_rate_loss=True)


class Judged(Exception):
    """The step has come to its judgement."""


class CopiesToTheDevice(TorchDispatchMode):
    """Counts copies of host tensors to the device: one that is not pinned waits for all that the device has to do."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = args[0] if args and isinstance(args[0], torch.Tensor) else None
        result = func(*args, **(kwargs or {}))
        if given is not None and given.device.type == "cpu" and isinstance(result, torch.Tensor):
            if result.device == META:
                self.operations.append(str(func))
        return result


class Reader(PreTrainedModel):
    """A model that sees single tokens and takes what the real one takes."""

    config_class = ChineseModernBertConfig

    def __init__(self, config: ChineseModernBertConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, 8)
        self.decoder = nn.Linear(8, config.vocab_size)
        self.post_init()

    def forward(self, input_ids: Any, labels: Any, num_items_in_batch: Any = None, **flat: Any) -> dict[str, Any]:
        assert flat.keys() - {"is_causal"} == {"cu_seq_lens_q", "max_length_q", "target_positions"}
        assert all(value.device == META for value in flat.values() if isinstance(value, torch.Tensor))
        assert num_items_in_batch.device == META
        logits = self.decoder(self.embedding(input_ids).flatten(0, 1)[flat["target_positions"]])
        summed = nn.functional.cross_entropy(logits, labels, reduction="sum")
        return {"loss": summed / num_items_in_batch, "logits": logits}


def make_trainer(folder: Path, masker: Masker, causal_share: float) -> PretrainingTrainer:
    shards = TokenShards(write_folder(folder / "shards", [random_documents([40] * 30)]))
    fields = {
        "output_dir": str(folder / "run"),
        **{"max_steps": STEPS, "gradient_accumulation_steps": ACCUMULATION, "logging_steps": 2, "use_cpu": True},
        **{"save_strategy": "no", "disable_tqdm": True, "z_loss": 1e-4, "spike_factor": 3.0, "warmup_steps": 0},
        "causal_share": causal_share,
    }
    arguments = load_recipe([PretrainingArguments], None, fields)[0]
    batches = StagedBatches(
        shards, [Stage(64, share=1.0)], [STEPS], ACCUMULATION, 128, 0, SpecialIds(cls=2, sep=3, pad=0)
    )
    writer: Any = SimpleNamespace(output=folder, is_writing=False)
    return PretrainingTrainer(Reader(ChineseModernBertConfig(vocab_size=1000)), arguments, batches, masker, writer)


@pytest.mark.parametrize(("units", "share"), [(TokenUnits(), None), (ColumnUnits(), 0.995)], ids=["tokens", "words"])
def test_only_a_method_that_masks_words_is_stopped_for_masking_tokens(
    tmp_path: Path, units: Any, share: float | None
) -> None:
    trainer = make_trainer(tmp_path, Masker(units, 0.3, Replace(VOCABULARY)), 0.0)
    watches = [one for one in trainer.callback_handler.callbacks if isinstance(one, MaskingRateCallback)]
    assert [one.maximum_single_token_share for one in watches] == [share]


@pytest.mark.parametrize(
    ("masker", "causal_share"),
    [(PLAIN, 0.0), (WEIGHING, 0.0), (PLAIN, 0.25)],
    ids=["plain", "loss weights", "every fourth causal"],
)
def test_from_its_batches_to_its_judgement_a_step_asks_the_device_nothing_and_copies_nothing_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, masker: Masker, causal_share: float
) -> None:
    trainer, copies = make_trainer(tmp_path, masker, causal_share), CopiesToTheDevice()
    monkeypatch.setitem(trainer.args.__dict__, "_setup_devices", META)
    monkeypatch.setattr(Accelerator, "device", META)
    trainer.model.to(META)
    # Made ahead, as by workers: what a batch is made of may be read.
    trainer.train_dataset = list(trainer.train_dataset)  # type: ignore[assignment]
    summaries = []

    def find_problem(guard: StepGuard, norm: Any, accelerator: Any) -> None:
        summaries.append(guard.losses.summary(norm, accelerator.device))
        if len(summaries) == 2:
            raise Judged

    monkeypatch.setattr(StepGuard, "find_problem", find_problem)

    def watched(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            with copies:
                return method(*arguments)

        return call

    for name in ("_get_num_items_in_batch", "training_step"):
        monkeypatch.setattr(trainer, name, watched(getattr(trainer, name)))
    with pytest.raises(Judged):
        trainer.train()
    assert [summary.shape for summary in summaries] == [(1, 4), (1, 4)]
    assert {summary.device for summary in summaries} == {META}
    assert copies.operations == []
    assert trainer.masking_statistics.masked_tokens > 0
    assert trainer.run_log.accuracy._seen, "the second step is logged, so its first micro-batch was sampled"


def test_the_judgement_is_one_transfer() -> None:
    losses = np.array([2.5, 3.5], dtype=np.float32)
    guard = StepGuard(SimpleNamespace(judge=lambda loss, norm: (loss, norm)), lambda number: [], lambda *_: None)  # type: ignore[arg-type]
    for number, loss in enumerate(losses):
        guard.losses.add(number, torch.tensor(loss))
    gathered = []

    class Transfers:
        """The accelerator of one process; what it gathers says how often it left the device."""

        device, process_index = torch.device("cpu"), 0

        def gather(self, summary: torch.Tensor) -> Any:
            gathered.append(summary)
            return SimpleNamespace(cpu=lambda: summary)

    assert guard.find_problem(torch.tensor(0.5), Transfers()) == ((6.0, 0.5), 1)  # type: ignore[arg-type]
    assert len(gathered) == 1
