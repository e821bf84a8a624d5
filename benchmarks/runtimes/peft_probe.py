"""peft: one LoRA adapter on Transformers' own class and on ours, apart and merged."""

from __future__ import annotations

import tempfile
from functools import partial
from typing import Any

import peft
import torch
import transformers
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, get_peft_model
from probing import Probe
from transformers import AutoModelForSequenceClassification

LAYERS = ["Wqkv", "attn.Wo", "Wi", "mlp.Wo"]
TASK = "sequence_classification"


def write_adapter(model: Any, folder: str) -> None:
    """Save an adapter that changes the numbers: a new one is zero."""
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=LAYERS))
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.1)
    adapted.save_pretrained(folder)


def compared(expected: NDArray[Any], *given: Any) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return the logits of `adapted` beside those of our class with the adapter apart."""
    return [(adapted(*given), expected)]


def logits(probe: Probe, model: Any) -> NDArray[Any]:
    """Return the logits of all texts as one vector."""
    found = []
    for inputs, _ in probe.batches(TASK):
        with torch.inference_mode():
            found.append(model(**{name: torch.from_numpy(one) for name, one in inputs.items()}).logits.ravel())
    return torch.cat(found).numpy()


def load(probe: Probe, trust: bool) -> Any:
    """Return the classifier as Transformers' own class or, with trust, as ours."""
    given = {"trust_remote_code": True} if trust else {}
    return AutoModelForSequenceClassification.from_pretrained(probe.folder(TASK), **given).eval()


def adapted(probe: Probe, trust: bool, folder: str, merge: bool = False) -> NDArray[Any]:
    """Return the logits with the adapter, apart or merged into the weights."""
    model = PeftModel.from_pretrained(load(probe, trust), folder).eval()
    return logits(probe, model.merge_and_unload() if merge else model)


def main() -> None:
    transformers.logging.set_verbosity_error()
    probe = Probe("peft", peft.__version__)
    with tempfile.TemporaryDirectory() as folder:
        write_adapter(load(probe, False), folder)
        ours = adapted(probe, True, folder)
        for name, trust in (("native", False), ("our", True)):
            for state, merge in (("apart", False), ("merged", True)):
                pairs = partial(compared, ours, probe, trust, folder, merge)
                if not (trust and not merge):  # that is what the others are compared with
                    probe.compare(f"LoRA {state}, {name} class", pairs)
    probe.write()


if __name__ == "__main__":
    main()
