"""A tiny run whose masks follow the model, in one process or as one of several; importable by spawned processes."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast, TrainingArguments

from chinese_modernbert.runtime.process_end import ends_at_once
from chinese_modernbert.trainers.masking import (
    AccuracyRule,
    FeedbackTable,
    LossRule,
    Masker,
    MaskVocabulary,
    Replace,
    TableWeights,
    TagWeights,
    TokenUnits,
)
from chinese_modernbert.trainers.masking.collator import DataCollatorForWholeWordMasking
from chinese_modernbert.trainers.masking.trainer import MaskingTrainer

SIZE, TAGS, EVERY = 64, 3, 2
NAMES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(SIZE - 5))]


def tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordLevel({name: i for i, name in enumerate(NAMES)}, unk_token="[UNK]"))
    keys = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(tokenizer_object=backend, **dict(zip(keys, NAMES, strict=False)))


def rows(count: int = 64, length: int = 60) -> list[dict[str, Any]]:
    """Rows of many small and few large ids, so that the model soon knows some entries better than others."""
    generator = np.random.default_rng(0)
    ids = 5 + (generator.random((count, length)) ** 3 * (SIZE - 5)).astype(int)
    return [
        {"input_ids": row, "word_starts": np.ones(length, dtype=bool), "sample_id": number, "tag_pos": row % TAGS}
        for number, row in enumerate(ids)
    ]


def masker() -> Masker:
    """Entries by their accuracy, tags by their loss; both tables renewed every other step."""
    weights = TableWeights(FeedbackTable(SIZE, AccuracyRule(), EVERY))
    weights *= TagWeights("pos", FeedbackTable(TAGS, LossRule(), EVERY))
    return Masker(TokenUnits(), 0.3, Replace(MaskVocabulary(SIZE, 4, (0, 1, 2, 3, 4))), weights, sampler="bernoulli")


class FeedbackTrainer(MaskingTrainer):
    """Remembers the labels that each step was trained on."""

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        self.seen = [*getattr(self, "seen", []), (self.state.global_step, inputs["labels"].clone())]
        return super().training_step(model, inputs, num_items_in_batch)


def train(
    folder: Path, batch_size: int, resume: str | None = None, masks: Masker | None = None, **arguments: Any
) -> FeedbackTrainer:
    torch.manual_seed(0)
    shape: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(vocab_size=SIZE, intermediate_size=16, hidden_dropout_prob=0.0, **shape)
    config.attention_probs_dropout_prob = 0.0
    defaults: dict[str, Any] = {
        "max_steps": 8,
        "learning_rate": 2e-2,
        "lr_scheduler_type": "constant",
        "per_device_train_batch_size": batch_size,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "remove_unused_columns": False,
    }
    trainer = FeedbackTrainer(
        model=BertForMaskedLM(config),
        args=TrainingArguments(output_dir=str(folder), **(defaults | arguments)),
        train_dataset=rows(),  # type: ignore[arg-type]
        data_collator=DataCollatorForWholeWordMasking(tokenizer()),
        masker=masker() if masks is None else masks,
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def result(trainer: FeedbackTrainer) -> dict[str, torch.Tensor]:
    """Everything that two runs must agree in."""
    tables = {f"table {name}": torch.from_numpy(t.table) for name, t in trainer.masking_feedback.tables.items()}
    return tables | {
        "labels": torch.stack([labels for _, labels in trainer.seen]),
        "weights": torch.cat([p.detach().flatten() for p in trainer.model.parameters()]),  # type: ignore[union-attr]
    }


@ends_at_once
def train_as_process(rank: int, port: int, folder: str, resume: str | None) -> None:
    """One of two processes; saves its result as `rank-N.pt`, and a checkpoint after step 3."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    torch.set_num_threads(1)
    saving = {} if resume else {"save_strategy": "steps", "save_steps": 3}
    trainer = train(Path(folder), 4, resume, ddp_backend="gloo", **saving)
    name = f"resumed-{rank}.pt" if resume else f"rank-{rank}.pt"
    torch.save(result(trainer), Path(folder) / name)
    torch.distributed.barrier()  # the first process keeps the store that the other still asks
