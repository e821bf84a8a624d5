"""Run by torchrun in tests: train a model sharded by accelerate's FSDP2 beside an unsharded twin, on two processes.

Words: a folder for `said-RANK.json`, the name of an optimizer.
"""

import copy
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
from accelerate import FullyShardedDataParallelPlugin, PartialState
from accelerate.utils.fsdp_utils import fsdp2_prepare_model
from safetensors.torch import load_file, save_file
from torch.distributed.checkpoint import state_dict as sharded
from torch.distributed.tensor import DTensor, distribute_tensor

from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM
from chinese_modernbert.runtime.process_end import ends_at_once
from chinese_modernbert.trainers.pretraining.averages import WeightAveraging
from chinese_modernbert.trainers.pretraining.optimizers import build_optimizer
from chinese_modernbert.trainers.zero_mean_residual import center_residual

STEPS = 4
# 211 rows do not divide by two: the processes hold parts of different size.
SIZES = {"vocab_size": 211, "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4}
FULL = sharded.StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)


def build(is_sharded: bool, name: str, weights: Path | None = None) -> tuple[Any, torch.optim.Optimizer]:
    """Return a model, sharded as the Trainer would shard it on GPUs or whole, and its optimizer."""
    torch.manual_seed(0)
    model = ChineseModernBertForMaskedLM(ChineseModernBertConfig(**SIZES, intermediate_size=96))
    if weights is not None:
        model.load_state_dict(load_file(weights), strict=False)
        model.tie_weights()
    if is_sharded:
        plugin = FullyShardedDataParallelPlugin(fsdp_version=2, auto_wrap_policy="transformer_based_wrap")
        # accelerate shards on accelerators only; its own function does the same on CPU when asked directly.
        accelerator = SimpleNamespace(state=SimpleNamespace(fsdp_plugin=plugin), mixed_precision="no")
        accelerator.is_main_process, accelerator.device = dist.get_rank() == 0, torch.device("cpu")
        model = fsdp2_prepare_model(accelerator, model)
    return model, build_optimizer(name, model, lr=1e-2)


def train(model: Any, optimizer: torch.optim.Optimizer, steps: range, is_sharded: bool) -> list[float]:
    """Train on this process's half of each batch, or on both halves where the model is whole."""
    losses, rank, world = [], dist.get_rank(), dist.get_world_size()
    for step in steps:
        ids = torch.randint(5, 200, (world, 2, 32), generator=torch.Generator().manual_seed(step))
        for half in [ids[rank]] if is_sharded else ids:
            loss = model(input_ids=half, labels=half).loss
            (loss if is_sharded else loss / world).backward()
        shared = loss.detach().clone()
        dist.broadcast(shared, src=world - 1)  # the last half's loss, which both kinds of model have seen
        losses.append(float(shared))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        center_residual(model)
        optimizer.zero_grad()
    return losses


def difference(whole: dict[str, torch.Tensor], twin: dict[str, torch.Tensor]) -> float:
    """Return the largest difference of weights; only process 0 is given the whole ones."""
    return max([float((value - twin[name]).abs().max()) for name, value in whole.items()], default=0.0)


def step_difference(name: str) -> float:
    """Return the largest difference of weights after three steps under the same gradients, sharded and whole."""
    (model, optimizer), (twin, twin_optimizer) = build(True, name), build(False, name)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        for one, other in zip(model.parameters(), twin.parameters(), strict=True):
            other.grad = torch.randn(other.shape, generator=generator)
            one.grad = distribute_tensor(other.grad, one.device_mesh, one.placements)
        optimizer.step()
        twin_optimizer.step()
    return difference(sharded.get_model_state_dict(model, options=FULL), twin.state_dict())


def averaged(folder: Path, name: str) -> dict[str, Any]:
    """Return how the average of a sharded model differs from a whole one's: kept, saved and loaded, in a forward."""
    (model, optimizer), (twin, twin_optimizer) = build(True, name), build(False, name)
    ours, expected, again = (WeightAveraging(0.9) for _ in range(3))
    ids = torch.randint(5, 200, (2, 32), generator=torch.Generator().manual_seed(1))
    for step in range(3):
        train(model, optimizer, range(step, step + 1), is_sharded=True)
        train(twin, twin_optimizer, range(step, step + 1), is_sharded=False)
        ours.follow(model)
        expected.follow(twin)
    ours.save(model, folder, writes=dist.get_rank() == 0)
    dist.barrier()
    again.load(folder)
    said: dict[str, Any] = {}
    with torch.no_grad():
        last = model(input_ids=ids).logits
        with again.in_place(model), expected.in_place(twin):
            said["averaged_logits"] = float((model(input_ids=ids).logits - twin(input_ids=ids).logits).abs().max())
            whole = sharded.get_model_state_dict(model, options=FULL)
            said["averaged"] = difference(whole, twin.state_dict())
        said["has_its_own_again"] = torch.equal(model(input_ids=ids).logits, last)
    again.follow(model)
    ours.follow(model)
    with ours.in_place(model):
        straight = sharded.get_model_state_dict(model, options=FULL)
    with again.in_place(model):
        said["went_on_average"] = difference(straight, sharded.get_model_state_dict(model, options=FULL))
    return said


def twin_with(twin: Any, whole: dict[str, torch.Tensor]) -> Any:
    """Return a copy of a whole model with other weights."""
    again = copy.deepcopy(twin)
    again.load_state_dict(whole)
    return again


@ends_at_once
def main(folder: str, name: str) -> None:
    """Train both, save the sharded one whole, load it again and go on; write down what was found."""
    PartialState(cpu=True)
    said: dict[str, Any] = {}
    twin, twin_optimizer = build(False, name)
    model, optimizer = build(True, name)
    said["sharded"] = sum(isinstance(parameter, DTensor) for parameter in model.parameters())
    said["parameters"] = len(list(model.parameters()))
    said["losses"] = train(model, optimizer, range(STEPS), is_sharded=True)
    said["twin_losses"] = train(twin, twin_optimizer, range(STEPS), is_sharded=False)
    said["tied"] = model.decoder.weight is model.model.embeddings.tok_embeddings.weight
    whole = sharded.get_model_state_dict(model, options=FULL)
    said["residual_mean"] = twin_with(twin, whole).residual_mean() if whole else 0.0
    moments = copy.deepcopy(sharded.get_optimizer_state_dict(model, optimizer, options=FULL))
    file = Path(folder) / "model.safetensors"
    said["difference"] = difference(whole, twin.state_dict())
    if dist.get_rank() == 0:
        save_file({name: value.clone() for name, value in whole.items()}, file)
    dist.barrier()
    again, again_optimizer = build(True, name, file)
    sharded.set_optimizer_state_dict(again, again_optimizer, moments, options=FULL)
    later = range(STEPS, 2 * STEPS)
    said["step_difference"] = step_difference(name)
    said |= averaged(Path(folder), name)
    said["went_on"] = train(model, optimizer, later, is_sharded=True)
    said["resumed"] = train(again, again_optimizer, later, is_sharded=True)
    (Path(folder) / f"said-{dist.get_rank()}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    os.environ.setdefault("ACCELERATE_USE_FSDP", "true")
    main(*sys.argv[1:])
