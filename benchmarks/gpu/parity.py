"""Stage 1: every kernel against eager in float32, forward and backward: single texts, padded, packed, causal rows."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from stage import Results, device_of, options

from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertModel

KERNELS = ("eager", "sdpa", "flex_attention", "varlen_attn", "flash_attention_2")
HALF_ONLY = ("varlen_attn", "flash_attention_2")
# Largest difference from eager in float32, as a share of the largest number: sums in another order, and rounding.
BARS = {"float32": 1e-4, "bfloat16": 4e-2}
# Rounding in bfloat16 may hide a window that is one token off: the states must be this many times as near to eager in
# the same dtype with the right window as with a wrong one.
NEARER = 1.5
SHARPER = 3.0


def batches(device: str, longest: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield batches around the window of 64 and beyond it, rows of up to `longest` tokens."""
    generator = torch.Generator().manual_seed(0)

    def ids(rows: int, length: int) -> torch.Tensor:
        return torch.randint(5, 1000, (rows, length), generator=generator).to(device)

    for length in (1, 64, 65, 66, 129, longest - 24):
        yield f"one text of {length}", {"input_ids": ids(1, length)}
    mask = (torch.arange(300) < torch.tensor([300, 170, 66, 1]).unsqueeze(1)).long().to(device)
    yield "padded", {"input_ids": ids(4, 300), "attention_mask": mask}
    documents = (torch.arange(longest) // (longest // 5)).expand(2, -1).clone()
    documents[1, longest * 7 // 8 :] = -1
    packed = {"input_ids": ids(2, longest), "document_ids": documents.to(device)}
    yield "packed", packed
    yield "packed, causal", {**packed, "is_causal": True}


def outcome(model: Any, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return hidden states at real tokens and gradients of a fixed product with them."""
    model.zero_grad()
    states = model(**batch).last_hidden_state
    real = torch.ones_like(batch["input_ids"], dtype=torch.bool)
    real = real & (batch["attention_mask"] == 1) if "attention_mask" in batch else real
    real = real & (batch["document_ids"] >= 0) if "document_ids" in batch else real
    kept = states[real].float()
    weights = torch.randn(kept.shape, generator=torch.Generator().manual_seed(1)).to(kept.device)
    (kept * weights).sum().backward()
    grads = {name: parameter.grad.float() for name, parameter in model.named_parameters() if parameter.grad is not None}
    return {"states": kept.detach(), **grads}


def by_window(reference: Any, batch: dict[str, Any], dtype: str) -> dict[int, torch.Tensor]:
    """Return the states of eager in a dtype, for the right window and for one token less and more on each side."""
    model: Any = copy.deepcopy(reference).to(getattr(torch, dtype))
    kept, states = reference.config.local_attention, {}
    for off in (0, -2, 2):
        model.config.local_attention = kept + off
        states[off] = outcome(model, batch)["states"]
    return states


def nearer_than_another_window(given: torch.Tensor, states: dict[int, torch.Tensor]) -> float:
    """Return how many times as near states are to those of the right window as to those of the nearest wrong one."""
    own = max(mean_difference(given, states[0]), 1e-12)
    return min(mean_difference(given, states[off]) for off in (-2, 2)) / own


def mean_difference(given: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the mean difference of states; the largest one drowns a window's border in rounding."""
    return float((given - expected).abs().mean())


def largest(given: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], pick: Callable[[str], bool]) -> float:
    """Return the largest difference of some tensors, each relative to its largest number."""
    names = [name for name in expected if pick(name)]
    return max(float((given[name] - expected[name]).abs().max() / expected[name].abs().max()) for name in names)


def main() -> int:
    args = options(__doc__).parse_args()
    device, results = device_of(args), Results(args, "parity")
    torch.backends.cuda.matmul.allow_tf32 = False
    sizes = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 384}
    torch.manual_seed(0)
    reference: Any = ChineseModernBertModel(ChineseModernBertConfig(vocab_size=1000, **sizes)).to(device)
    reference.set_attn_implementation("eager")
    with torch.no_grad():
        for layer in reference.layers:  # attention far from uniform, so that the border of the window shows
            layer.attn.Wqkv.weight.mul_(SHARPER)
    missed = 0
    for what, batch in batches(device, longest=1024 if args.size == "base" else 400):
        expected = outcome(reference, batch)
        is_long = batch["input_ids"].shape[1] > 66
        windows = {dtype: by_window(reference, batch, dtype) for dtype in BARS} if is_long else {}
        for kernel in KERNELS:
            for dtype in ("float32", "bfloat16"):
                if (kernel == "eager" and dtype == "float32") or (kernel in HALF_ONLY and dtype == "float32"):
                    continue
                row: dict[str, Any] = {"kernel": kernel, "dtype": dtype, "batch": what}
                try:
                    model: Any = ChineseModernBertModel(copy.deepcopy(reference.config)).to(device)
                    model.load_state_dict(reference.state_dict())
                    model.to(getattr(torch, dtype)).set_attn_implementation(kernel)
                    given = outcome(model, batch)
                except (ImportError, RuntimeError, ValueError, NotImplementedError) as error:
                    results.add(**row, outcome="not run", why=str(error).strip().split("\n")[0][:200])
                    continue
                row["states"] = largest(given, expected, lambda name: name == "states")
                row["gradients"] = largest(given, expected, lambda name: name != "states")
                is_within = row["states"] <= BARS[dtype] and row["gradients"] <= 2 * BARS[dtype]
                if windows and kernel != "eager":
                    nearer = nearer_than_another_window(given["states"], windows[dtype])
                    row["nearer_than_another_window"], is_within = nearer, is_within and nearer > NEARER
                missed += not is_within
                results.add(**row, outcome="equal" if is_within else "OFF")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
