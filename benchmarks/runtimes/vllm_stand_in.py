"""vLLM's contract: our class under a stand-in for its Transformers backend, all texts as one flat row."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from numpy.typing import NDArray
from probing import Probe
from transformers import AutoModel


def states(probe: Probe) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return the hidden states of each text, and torch's."""
    sys.path.insert(0, str(Path(probe.job["vllm_backend"]).parent))
    from vllm_backend import VllmBackend  # a file of the tests, which imports nothing of this package

    backend = VllmBackend(AutoModel.from_pretrained(probe.folder("encoder"), trust_remote_code=True).eval())
    pairs = []
    for inputs, expected in probe.batches("encoder"):
        kept = torch.from_numpy(inputs["attention_mask"]) != 0
        ids, lengths = torch.from_numpy(inputs["input_ids"])[kept], kept.sum(dim=1).tolist()
        with torch.inference_mode():
            found = backend(ids, torch.cat([torch.arange(length) for length in lengths]))
        given = [one.numpy().ravel() for one in found.split(lengths)]
        rows = zip(expected["last_hidden_state"], kept.numpy(), strict=True)
        pairs += list(zip(given, [row[mask].ravel() for row, mask in rows], strict=True))
    return pairs


def main() -> None:
    transformers.logging.set_verbosity_error()
    probe = Probe("vLLM's Transformers backend, stand-in", transformers.__version__)
    probe.compare("encoder", partial(states, probe))
    probe.write()


if __name__ == "__main__":
    main()
