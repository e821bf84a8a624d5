"""One of two processes of contrastive training: a loss with its gradients, and batches; importable when spawned."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset

from chinese_modernbert.runtime.process_end import ends_at_once
from chinese_modernbert.trainers.contrastive.arguments import ContrastiveArguments
from chinese_modernbert.trainers.contrastive.models import load_encoder
from chinese_modernbert.trainers.contrastive.trainer import ContrastiveTrainer, build_loss

BATCH = 64
LETTERS = list("北京是中国的首都今天气很好我们去公园散步他喜欢读书写字第三届会议在上海举行")


def columns(count: int) -> list[list[str]]:
    """Texts of anchors, positives and negatives."""
    drawn = np.random.default_rng(0)
    return [["".join(drawn.choice(LETTERS, drawn.integers(3, 9))) for _ in range(BATCH)] for _ in range(count)]


def rows() -> dict[str, Dataset]:
    """Two data sets of different columns; each positive occurs in three rows, so that many pairs of rows clash."""
    drawn = np.random.default_rng(1)
    names = ["".join(drawn.choice(LETTERS, 6)) for _ in range(240)]
    pairs = {"anchor": names, "positive": [f"那是{names[n // 3]}" for n in range(240)]}
    rich = {"anchor": [f"问{name}" for name in names[:96]], "positive": [f"答{names[n // 3]}" for n in range(96)]}
    rich["negative_1"] = [f"不{name}" for name in names[:96]]
    return {"pairs": Dataset.from_dict(pairs), "rich": Dataset.from_dict(rich)}


def settings(model: str, folder: Path, **changes: Any) -> ContrastiveArguments:
    """Return arguments; what only a stage may say is set afterwards, as the command does for each stage."""
    own = {name: value for name, value in changes.items() if name not in ContrastiveArguments.library_options.refused}
    given = ContrastiveArguments(model=model, output_dir=str(folder), use_cpu=True, report_to="none", **own)
    for name in changes.keys() - own.keys():
        setattr(given, name, changes[name])
    return given


def loss_and_gradients(given: ContrastiveArguments, count: int, part: slice) -> tuple[float, torch.Tensor]:
    """The loss of a part of the batch, and the gradients of all parameters in one vector."""
    model = load_encoder(given.model, given)
    names = ["anchor", "positive", "negative_1"][:count]
    loss = build_loss(model, given, names)
    features: list[Any] = [dict(model.preprocess(texts[part]).items()) for texts in columns(count)]
    value = loss(features, torch.zeros(len(columns(count)[0][part])))
    value.backward()
    return value.item(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


class RecordingTrainer(ContrastiveTrainer):
    """Remembers the set and the texts of its batches."""

    def compute_loss(self, model: Any, inputs: Any, *arguments: Any, **named: Any) -> Any:
        tokenizer = self.model.tokenizer  # type: ignore[union-attr]
        ids = [inputs[f"{name}_input_ids"] for name in ("anchor", "positive")]
        texts = [tokenizer.batch_decode(one, skip_special_tokens=True) for one in ids]
        self.seen = [*getattr(self, "seen", []), {"columns": len(inputs), "texts": texts}]
        return super().compute_loss(model, inputs, *arguments, **named)


def train(given: ContrastiveArguments) -> tuple[list[dict[str, Any]], torch.Tensor]:
    torch.manual_seed(0)
    model = load_encoder(given.model, given)
    trainer = RecordingTrainer(model, given, rows())
    trainer.train()
    return trainer.seen, torch.cat([p.detach().flatten() for p in model.parameters()])


@ends_at_once
def work(rank: int, port: int, model: str, folder: str) -> None:
    """One of two processes; saves what it found as `rank-N.pt`."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TOKENIZERS_PARALLELISM": "false"}
    torch.set_num_threads(1)
    half = slice(rank * BATCH // 2, (rank + 1) * BATCH // 2)
    found: dict[str, Any] = {}
    for cached in (None, 8):
        given = settings(model, Path(folder), ddp_backend="gloo", cached_batch_size=cached)
        for count in (2, 3):
            value, gradients = loss_and_gradients(given, count, half)
            torch.distributed.all_reduce(gradients)  # what DistributedDataParallel does: the mean over processes
            losses = torch.tensor(value)
            torch.distributed.all_reduce(losses)
            found[f"{cached} {count}"] = (losses.item() / 2, gradients / 2)
    given = settings(model, Path(folder), ddp_backend="gloo", **TRAINING)
    found["batches"], found["weights"] = train(given)
    torch.save(found, Path(folder) / f"rank-{rank}.pt")
    torch.distributed.barrier()  # the first process keeps the store that the other still asks


TRAINING: dict[str, Any] = {
    "per_device_train_batch_size": 16,
    "num_train_epochs": 1,
    "optim": "sgd",
    "learning_rate": 0.1,
    "max_grad_norm": 0.0,
    "dataloader_drop_last": True,
}
