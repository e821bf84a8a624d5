"""Speed of a run: tokens per second, and the floating-point operations of the model against what the GPU can do.

Legend: H hidden size, I intermediate size, V vocabulary, w the window's half. Counted are matrix products, two
operations per multiplication and addition, forward and twice that backward; what a kernel does beyond that (masked
blocks, recomputation) is not counted, so it lowers the mfu as it should.
Source: the accounting of Chowdhery et al. 2022 (PaLM, appendix B), with attention counted by the pairs that see each
other.
"""

import time
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch

from ...modeling import ChineseModernBertConfig
from ...runtime.token_rows import begins_run
from .arguments import PretrainingArguments

BACKWARD_AND_FORWARD = 3
# Dense 16-bit peak in 1e12 operations/s, from NVIDIA's data sheets; the first name found in the device's name counts.
PEAK_TERAFLOPS = {
    "B200": 2250.0,
    "H200": 989.0,
    "H100 PCIe": 756.0,
    "H100 NVL": 835.0,
    "H100": 989.0,
    "H800": 989.0,
    "H20": 148.0,
    "A100": 312.0,
    "A800": 312.0,
    "L40S": 362.0,
    "A10": 125.0,
    "L4": 121.0,
    "RTX 4090": 165.0,
    "RTX 3090": 71.0,
    "V100": 125.0,
    "T4": 65.0,
}


@dataclass
class Workload:
    """What some micro-batches ask of the model.

    Attributes:
        positions: positions of the rows, padding included
        tokens: real tokens
        masked: tokens with a label; only they reach the decoder
        global_pairs: pairs of tokens that see each other in a global layer: documents are isolated
        local_pairs: the same in a local layer
    """

    positions: int = 0
    tokens: int = 0
    masked: int = 0
    global_pairs: int = 0
    local_pairs: int = 0

    def add(self, document_ids: np.ndarray, masked: int, window: int, is_causal: bool = False) -> None:
        """Add a micro-batch.

        Args:
            document_ids: integer `[B, L]`, -1 = padding
            masked: labels in it
            window: half of the window: a token sees so many on each side
            is_causal: a token sees none after it
        """
        # Neighboring documents of a row have different numbers, so a run of equal numbers is one document.
        starts = np.flatnonzero(begins_run(document_ids))
        lengths = np.diff(starts, append=document_ids.size)[document_ids.ravel()[starts] >= 0].astype(np.int64)
        near = np.where(lengths > window, lengths * (2 * window + 1) - window * (window + 1), lengths**2)
        every = lengths**2
        if is_causal:  # itself, and of two tokens the second sees the first
            near, every = (near + lengths) // 2, (every + lengths) // 2
        self.positions += document_ids.size
        self.tokens += int(lengths.sum())
        self.masked += masked
        self.global_pairs += int(every.sum())
        self.local_pairs += int(near.sum())

    def merge(self, other: "Workload") -> None:
        """Add the work of other micro-batches."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


def training_flops(config: ChineseModernBertConfig, work: Workload) -> float:
    """Return the floating-point operations of forward and backward.

    A token costs `2 (4 H^2 + 3 H I)` in each layer, a pair `4 H` in each layer, a masked token `2 (H^2 + H V)`.
    """
    hidden, layers = config.hidden_size, config.num_hidden_layers
    local = sum(kind == "sliding_attention" for kind in config.layer_types)
    linear = 2 * (4 * hidden**2 + 3 * hidden * config.intermediate_size) * layers * work.tokens
    attention = 4 * hidden * ((layers - local) * work.global_pairs + local * work.local_pairs)
    head = 2 * (hidden**2 + hidden * config.vocab_size) * work.masked
    return float(BACKWARD_AND_FORWARD * (linear + attention + head))


def peak_flops(device: torch.device, half_precision: bool) -> float | None:
    """Return the peak operations/s of a device, or None where it is not known: a CPU, another GPU, or float32."""
    if device.type != "cuda" or not half_precision:
        return None
    name = torch.cuda.get_device_name(device)
    return next((1e12 * peak for known, peak in PEAK_TERAFLOPS.items() if known in name), None)


@dataclass
class SpeedMeter:
    """Counts the work of one process between two log lines.

    Attributes:
        config: configuration of the model
        processes: processes of the run; each does as much as this one
        peak: peak operations/s of one device, or None
        is_running: whether the first step has begun
    """

    config: ChineseModernBertConfig
    processes: int = 1
    peak: float | None = None
    work: Workload = field(default_factory=Workload)
    began: float = field(default_factory=time.perf_counter)
    is_running: bool = False

    @classmethod
    def of_run(cls, args: PretrainingArguments, config: Any) -> "SpeedMeter":
        """Return the meter of a run; where its arguments give no peak, the device's name does."""
        peak = args.peak_flops or peak_flops(args.device, args.bf16 or args.fp16)
        return cls(config, args.world_size, peak)

    def observe(self, work: Workload) -> None:
        """Count a micro-batch."""
        self.work.merge(work)

    def begin(self) -> None:
        """Start the clock if it does not run yet."""
        if not self.is_running:
            self.restart()

    def restart(self) -> None:
        """Start the clock anew."""
        self.began, self.is_running = time.perf_counter(), True

    def pause(self, seconds: float) -> None:
        """Leave out seconds that were spent on something else."""
        self.began += seconds

    def as_logs(self) -> dict[str, float]:
        """Return tokens/s and operations/s of all processes, packing efficiency, and mfu where the peak is known."""
        seconds, work = max(time.perf_counter() - self.began, 1e-9), self.work
        if not work.positions:
            return {}
        rate = training_flops(self.config, work) / seconds
        logs = {
            "tokens_per_second": round(work.tokens * self.processes / seconds, 1),
            "tflops": round(rate * self.processes / 1e12, 6),
            "packing_efficiency": round(work.tokens / work.positions, 5),
        }
        if self.peak:
            logs["mfu"] = round(rate / self.peak, 4)
        for one in fields(work):
            setattr(work, one.name, 0)
        self.restart()
        return logs
