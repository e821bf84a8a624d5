"""The command `benchmark`: speed of the encoder against Transformers' ModernBERT with the same weights, in one run.

Both models run in turn, several times; the ratio is the median over the rounds, so that a busy machine slows both.
Real tokens are counted, padding is not. The ids themselves do not matter to speed, lengths do.
"""

from __future__ import annotations

import gzip
import json
import logging
import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import ModernBertConfig, ModernBertForMaskedLM

from ..modeling import PRESETS, ChineseModernBertConfig, ChineseModernBertForMaskedLM
from ..runtime.environment import describe_environment
from ..runtime.files import write_text_atomically
from ..runtime.markdown import markdown_table
from ..runtime.token_rows import IGNORED_LABEL
from ..trainers.pretraining.throughput import BACKWARD_AND_FORWARD, Workload, peak_flops, training_flops
from .arguments import CASES, RESULTS_FILE, SpeedArguments

logger = logging.getLogger(__name__)

DATA_VARIABLE = "CHINESE_MODERNBERT_DATA"
MIXED_TEXTS, MIXED_LONGEST = 16, 1024
CHARACTERS_PER_TOKEN = 1.5
MASKED_SHARE = 0.30
SEED = 0
TITLES = ("case", "dtype", "kind", "ratio", "Transformers, tokens/s", "ours, tokens/s", "largest difference")


def run_model_speed(args: SpeedArguments) -> str:
    """Measure every case in every dtype.

    Returns:
        A table in Markdown, and where the JSON file is.
    """
    rows = measure_speed(args)
    record = {
        "settings": asdict(args),
        "environment": describe_environment(),
        "process_peak_mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "rows": rows,
    }
    file = None if args.output_dir is None else Path(args.output_dir) / RESULTS_FILE
    if file is not None:
        write_text_atomically(file, json.dumps(record, indent=1) + "\n")
    table = []
    for row in rows:
        spread = f"{row['ratio']:.3f} ({row['ratio_min']:.3f}-{row['ratio_max']:.3f})"
        speeds = [f"{row[f'{name}_tokens_per_second']:,.1f}" for name in ("transformers", "ours")]
        table.append([row["case"], row["dtype"], row["kind"], spread, *speeds, f"{row['largest_difference']:.1e}"])
    return "\n".join([*markdown_table(TITLES, table), *([f"results: {file}"] if file else [])])


def measure_speed(args: SpeedArguments) -> list[dict[str, Any]]:
    """Return a row for every case in every dtype."""
    return [row for dtype in args.dtypes for row in _measure(args, dtype)]


def real_lengths(count: int) -> list[int]:
    """Return the lengths in tokens of every 29th validation text, cut at 1,024; without the data a similar spread."""
    folder = os.environ.get(DATA_VARIABLE)
    if not folder:
        return [20 + 954 * (index * 7 % count) ** 3 // (count - 1) ** 3 for index in range(count)]
    with gzip.open(Path(folder) / "corpus" / "validation.jsonl.gz", "rt", encoding="utf-8", newline="\n") as lines:
        characters = [len(json.loads(line)["text"]) for line in lines]
    return [min(max(int(length / CHARACTERS_PER_TOKEN), 3), MIXED_LONGEST) for length in characters[::29][:count]]


def make_batch(case: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and padding mask, int64 `(texts, longest)`, of a case."""
    lengths = torch.tensor(CASES[case] or real_lengths(MIXED_TEXTS))
    ids = torch.randint(5, 32_000, (len(lengths), int(lengths.max())), generator=torch.Generator().manual_seed(SEED))
    mask = (torch.arange(ids.shape[1]) < lengths.unsqueeze(1)).long()
    return ids * mask, mask


def build_pair(model: str, device: str, attention: str, compiled: bool = False) -> dict[str, Any]:
    """Return Transformers' model and ours, of a size or of the sizes of a folder's model, with equal weights."""
    named = (
        ChineseModernBertConfig.preset(model) if model in PRESETS else ChineseModernBertConfig.from_pretrained(model)
    )
    fields = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    sizes = {name: getattr(named, name) for name in fields}
    config = ChineseModernBertConfig(**sizes, norm_type="layernorm", global_rope_theta=160_000.0)
    sizes["vocab_size"] = config.vocab_size
    ids = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
    torch.manual_seed(SEED)
    options: dict[str, Any] = {**sizes, **ids, "sparse_prediction": True, "attn_implementation": attention}
    theirs: Any = ModernBertForMaskedLM(ModernBertConfig(**options))
    ours: Any = ChineseModernBertForMaskedLM(config)
    ours.load_state_dict(theirs.state_dict())
    if compiled:
        ours.compile_layers()
        theirs.compile()
        theirs.model.compile()  # a forward of the encoder alone does not pass through the head
    return {"transformers": theirs.to(device), "ours": ours.to(device)}


def _measure(args: SpeedArguments, dtype_name: str) -> list[dict[str, Any]]:
    """Measure every case in one dtype."""
    dtype = getattr(torch, dtype_name)
    pair: dict[str, Any] = build_pair(args.model, args.device, args.attention, args.compiled)
    if not args.training:
        pair = {name: model.to(dtype) for name, model in pair.items()}
    rows = []
    for case in args.cases:
        ids, mask = (tensor.to(args.device) for tensor in make_batch(case))
        if args.training:
            half = dtype if dtype != torch.float32 else None
            calls = {name: _training_step(model, ids, mask, half) for name, model in pair.items()}
        else:
            calls = {name: _forward(model, ids, mask) for name, model in pair.items()}
        first = {name: call().float() for name, call in calls.items()}
        gap = first["ours"] - first["transformers"]
        row = {
            "case": case,
            "dtype": dtype_name,
            "kind": "training step" if args.training else "forward",
            "compiled": args.compiled,
            **_compare(calls, args.repeats, int(mask.sum())),
            "largest_difference": float((gap if args.training else gap[mask.bool()]).abs().max()),
        }
        row |= _work(pair["ours"].config, mask, row, args, half_precision=dtype != torch.float32)
        rows.append(row)
        logger.info("%s", json.dumps(row))
    return rows


def _forward(model: torch.nn.Module, ids: torch.Tensor, mask: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Return a call that encodes the batch."""
    encoder: Any = model.eval().model

    def run() -> torch.Tensor:
        with torch.inference_mode():
            return encoder(input_ids=ids, attention_mask=mask).last_hidden_state

    return run


def _training_step(
    model: torch.nn.Module, ids: torch.Tensor, mask: torch.Tensor, autocast: torch.dtype | None
) -> Callable[[], torch.Tensor]:
    """Return a call that does forward and backward of the masked-language-model loss."""
    chosen = torch.rand(ids.shape, generator=torch.Generator().manual_seed(SEED + 1)).to(ids.device) < MASKED_SHARE
    labels = torch.where(chosen & (mask == 1), ids, IGNORED_LABEL)

    def run() -> torch.Tensor:
        model.train().zero_grad()
        with torch.autocast(ids.device.type, dtype=autocast, enabled=autocast is not None):
            loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        return loss.detach()

    return run


def _compare(calls: dict[str, Callable[[], torch.Tensor]], repeats: int, tokens: int) -> dict[str, float]:
    """Run both in turn and return the median ratio with both medians, in tokens per second."""
    for call in calls.values():
        call()
    rounds = [{name: _seconds(call) for name, call in calls.items()} for _ in range(repeats)]
    ratios = [one["transformers"] / one["ours"] for one in rounds]
    medians = {name: statistics.median(one[name] for one in rounds) for name in calls}
    return {
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "tokens": tokens,
        "transformers_tokens_per_second": round(tokens / medians["transformers"], 1),
        "ours_tokens_per_second": round(tokens / medians["ours"], 1),
    }


def _seconds(call: Callable[[], torch.Tensor]) -> float:
    """Time one call, the device's queue included."""
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    wait()
    start = time.perf_counter()
    call()
    wait()
    return time.perf_counter() - start


def _work(
    config: ChineseModernBertConfig, mask: torch.Tensor, row: dict[str, Any], args: SpeedArguments, half_precision: bool
) -> dict[str, float]:
    """Return our teraflops per second, and model FLOPs utilization where the device's peak is known."""
    work = Workload()
    documents = (mask.cpu() - 1).numpy()  # 0 for the tokens of a row's text, -1 for padding
    masked = round(MASKED_SHARE * row["tokens"]) if args.training else 0
    work.add(documents + (documents == 0) * _row_numbers(len(documents)), masked, config.window)
    operations = training_flops(config, work) / (1 if args.training else BACKWARD_AND_FORWARD)
    rate = operations * row["ours_tokens_per_second"] / row["tokens"]
    peak = peak_flops(torch.device(args.device), half_precision)
    found = {"ours_tflops": round(rate / 1e12, 4)}
    return found if peak is None else {**found, "ours_mfu": round(rate / peak, 4)}


def _row_numbers(rows: int) -> Any:
    """Return the numbers of the rows as a column, so that the texts of two rows are two documents."""
    return torch.arange(rows).unsqueeze(1).numpy()
