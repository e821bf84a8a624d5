"""Transformers: its own classes without trust, ours with it, from the same folders."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
import transformers
from probing import Arrays, Probe
from transformers import AutoTokenizer, pipeline

AUTO_CLASSES = {
    "encoder": "AutoModel",
    "sentence_encoder": "AutoModel",
    "masked_lm": "AutoModelForMaskedLM",
    "sequence_classification": "AutoModelForSequenceClassification",
    "token_classification": "AutoModelForTokenClassification",
    "question_answering": "AutoModelForQuestionAnswering",
    "multiple_choice": "AutoModelForMultipleChoice",
    "reranker": "AutoModelForSequenceClassification",
}


def load(folder: str, task: str, given: dict[str, Any]) -> Any:
    """Return the function from inputs to outputs of a model, whose class is the one that was asked for."""
    model = getattr(transformers, AUTO_CLASSES[task]).from_pretrained(folder, **given).eval()
    expected = "ChineseModernBert" if given else "ModernBert"
    if not type(model).__name__.startswith(expected):
        raise ValueError(f"loaded as {type(model).__name__}, {expected}... was expected")

    def run(inputs: Arrays) -> Arrays:
        with torch.inference_mode():
            outputs = model(**{name: torch.from_numpy(one) for name, one in inputs.items()})
        return {name: one.numpy() for name, one in outputs.items() if isinstance(one, torch.Tensor)}

    return run


def guesses(probe: Probe, given: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Return the scores of the tokens that torch finds most likely, and torch's."""
    wanted = probe.job["fill_mask"]
    fill = pipeline("fill-mask", model=probe.folder("masked_lm"), device="cpu", **given)
    found = {row["token"]: row["score"] for row in fill(wanted["text"], top_k=wanted["top_k"])}
    return [(np.array([found.get(token, 0.0) for token in wanted["tokens"]]), np.array(wanted["scores"]))]


def main() -> None:
    transformers.logging.set_verbosity_error()
    # Without trust the argument is left out: with stdin closed, a question would be an error.
    probe = Probe("Transformers", transformers.__version__)
    given = {"trust_remote_code": True} if probe.job["trust"] else {}
    probe.runtime += ", trust_remote_code=True" if given else ""
    tokenizer = AutoTokenizer.from_pretrained(probe.folder("masked_lm"), **given)
    probe.count_other_tokens(lambda text: tokenizer(text)["input_ids"])
    for task in AUTO_CLASSES:
        probe.measure(task, partial(load, probe.folder(task), task, given))
    probe.compare("pipeline fill-mask", partial(guesses, probe, given))
    probe.write()


if __name__ == "__main__":
    main()
