"""What the runtimes are given, real text of 1 to 2,000 tokens, and the numbers of our torch classes for it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from chinese_modernbert import modeling
from chinese_modernbert.hub_release.verification.probes import PROBE_TEXTS
from chinese_modernbert.modeling.heads_chinese_modernbert import pool

# Tokens of the texts, [CLS] and [SEP] not counted: on both sides of the window of 64 to each side, up to 2,000.
LENGTHS = (1, 7, 63, 64, 65, 129, 300, 511, 1000, 2000)
# Texts of each call, by their places in `LENGTHS`; the probe texts go with the shortest.
BATCHES = ((0, 1), (2, 3, 4), (5, 6), (7, 8), (9,))
CHOICES = (((1, 2, 3), (0, 1, 5)), ((4, 6),))
PAIRS = ((1, 2), (2, 0), (3, 6), (5, 1), (1, 9))
# Of the vocabulary every so many-th logit is compared: the whole of it would be hundreds of megabytes.
STRIDE = 17
# Documents whose tokens are compared, and how much of each.
TOKENIZED, LONGEST_CHARACTERS = 500, 2000
GUESSES, TOP_K = 20, 500
# Each task: the kind of release, our class, and whether it gives numbers for each token.
TASKS = {
    "encoder": ("masked_lm", "ChineseModernBertModel", True),
    "masked_lm": ("masked_lm", "ChineseModernBertForMaskedLM", True),
    "sequence_classification": ("sequence_classification", "ChineseModernBertForSequenceClassification", False),
    "token_classification": ("token_classification", "ChineseModernBertForTokenClassification", True),
    "question_answering": ("question_answering", "ChineseModernBertForQuestionAnswering", True),
    "multiple_choice": ("multiple_choice", "ChineseModernBertForMultipleChoice", False),
    "sentence_encoder": ("sentence_encoder", "ChineseModernBertModel", True),
    "embedding": ("sentence_encoder", "ChineseModernBertModel", False),
    "reranker": ("reranker", "ChineseModernBertForSequenceClassification", False),
}
Inputs = dict[str, torch.Tensor]


def read_documents(corpus: Path) -> list[str]:
    """Return the documents of the corpus' validation file.

    Raises:
        FileNotFoundError: Without that file.
    """
    path = corpus / "validation.jsonl.gz"
    if not path.is_file():
        raise FileNotFoundError(f"no {path}; set CHINESE_MODERNBERT_DATA to the folder of real texts")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def cut_texts(documents: list[str], tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Return a text for each of `LENGTHS`, cut from different documents.

    Raises:
        ValueError: Where no document is long enough.
    """
    found: dict[int, str] = {}
    for text in documents:
        rest = [length for length in LENGTHS if length not in found]
        if not rest:
            break
        offsets = tokenizer(text[: 4 * rest[-1]], add_special_tokens=False, return_offsets_mapping=True)
        ends = [end for _, end in offsets["offset_mapping"]]
        # The longest first: documents of that length are rare.
        longest = max((length for length in rest if length <= len(ends)), default=None)
        if longest is not None:
            found[longest] = text[: ends[longest - 1]]
    if len(found) < len(LENGTHS):
        missing = sorted(set(LENGTHS) - set(found))
        raise ValueError(f"{len(documents)} documents have no text of {missing} tokens; take the whole validation file")
    return [found[length] for length in LENGTHS]


def write_expected(
    folders: dict[str, Path], documents: list[str], tokenizer: PreTrainedTokenizerFast, file: Path
) -> dict[str, Any]:
    """Write inputs and torch's numbers, and return the part of a job that describes them.

    Args:
        folders: release of each kind
        documents: real text
        tokenizer: of all the releases
        file: safetensors file to write
    """
    texts = cut_texts(documents, tokenizer)
    token_texts = [*PROBE_TEXTS, *(text[:LONGEST_CHARACTERS] for text in documents[:TOKENIZED])]
    arrays: dict[str, NDArray[Any]] = {}
    tasks = {}
    for task, (kind, class_name, per_token) in TASKS.items():
        model = _load(folders[kind], class_name)
        outputs: list[str] = []
        batches = list(_batches(task, texts, tokenizer))
        for which, inputs in enumerate(batches):
            found = _outputs(model, task, inputs)
            outputs = list(found)
            arrays |= {f"{task}/{which}/{name}": one.numpy() for name, one in (inputs | found).items()}
        tasks[task] = {"batches": len(batches), "per_token": per_token, "outputs": outputs}
    every = [*PROBE_TEXTS, *texts]
    for kind in ("masked_lm", "sentence_encoder"):
        arrays[f"{kind}_embeddings"] = _embeddings(_load(folders[kind], "ChineseModernBertModel"), every, tokenizer)
    pairs = [[texts[one], texts[other]] for one, other in PAIRS]
    reranker = _load(folders["reranker"], TASKS["reranker"][1])
    scores = [_outputs(reranker, "", _encode([pair], tokenizer))["logits"][0, 0] for pair in pairs]
    arrays["pair_scores"] = np.array([float(score) for score in scores], dtype=np.float32)
    save_file({name: np.ascontiguousarray(one) for name, one in arrays.items()}, file)
    return {
        "arrays": str(file),
        "tasks": tasks,
        "stride": STRIDE,
        "folders": {task: str(folders[kind]) for task, (kind, _, _) in TASKS.items()},
        "texts": every,
        "token_texts": token_texts,
        "token_ids": [tokenizer(text)["input_ids"] for text in token_texts],
        "pairs": pairs,
        "fill_mask": _fill_mask(_load(folders["masked_lm"], TASKS["masked_lm"][1]), tokenizer),
    }


def _load(folder: Path, class_name: str) -> PreTrainedModel:
    return getattr(modeling, class_name).from_pretrained(folder).float().eval()


def _encode(texts: list[Any], tokenizer: PreTrainedTokenizerFast) -> Inputs:
    """Return ids and mask, padded; an item is a text or a pair."""
    rows = [tokenizer(*([one] if isinstance(one, str) else one)) for one in texts]
    batch = tokenizer.pad(rows, return_tensors="pt")
    return {name: batch[name] for name in ("input_ids", "attention_mask")}


def _batches(task: str, texts: list[str], tokenizer: PreTrainedTokenizerFast) -> Iterator[Inputs]:
    """Yield the inputs of each call of a task."""
    if task == "multiple_choice":
        for rows in CHOICES:
            flat = _encode([texts[place] for row in rows for place in row], tokenizer)
            yield {name: one.unflatten(0, (len(rows), -1)) for name, one in flat.items()}
        return
    for which, places in enumerate(BATCHES):
        yield _encode([*(PROBE_TEXTS if which == 0 else ()), *(texts[place] for place in places)], tokenizer)


def _outputs(model: PreTrainedModel, task: str, inputs: Inputs) -> dict[str, torch.Tensor]:
    """Return the outputs of a task by name."""
    with torch.inference_mode():
        found = dict(model(**inputs))
        if task == "embedding":
            pooled = pool(found["last_hidden_state"], "mean", inputs["attention_mask"] != 0)
            return {"sentence_embedding": torch.nn.functional.normalize(pooled, dim=-1)}
        if task == "masked_lm":
            found = {"last_hidden_state": model.base_model(**inputs).last_hidden_state, **found}
            found["logits"] = found["logits"][..., ::STRIDE]
    return found


def _embeddings(model: PreTrainedModel, texts: list[str], tokenizer: PreTrainedTokenizerFast) -> NDArray[Any]:
    """Return the mean over tokens of each text by itself, scaled to length 1."""
    with torch.inference_mode():
        means = [model(**_encode([text], tokenizer)).last_hidden_state[0].mean(dim=0) for text in texts]
    return torch.stack([mean / mean.norm() for mean in means]).numpy()


def _fill_mask(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Return a text with a mask, and the tokens that are likeliest there with their probabilities."""
    text = f"今天天气很{tokenizer.mask_token}，我们去公园散步。"
    inputs = _encode([text], tokenizer)
    with torch.inference_mode():
        logits = model(**inputs).logits[0][inputs["input_ids"][0] == tokenizer.mask_token_id][0]
    best = logits.softmax(-1).topk(GUESSES)
    return {"text": text, "tokens": best.indices.tolist(), "scores": best.values.tolist(), "top_k": TOP_K}
