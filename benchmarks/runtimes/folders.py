"""Tiny releases for the matrix: one of every kind that `release` knows, with weights that look trained."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from chinese_modernbert import hub_release, modeling
from chinese_modernbert.hub_release import ReleaseArguments, build_release
from chinese_modernbert.modeling import ChineseModernBertConfig
from chinese_modernbert.tokenization.loading import load_tokenizer, save_tokenizer

TOKENIZER = Path(hub_release.__file__).parent / "assets" / "tokenizer"
LABELS = 5
# Kind of release, our class, and what its configuration has besides the preset's values.
KINDS: dict[str, tuple[str, dict[str, int]]] = {
    "masked_lm": ("ChineseModernBertForMaskedLM", {}),
    "sentence_encoder": ("ChineseModernBertModel", {}),
    "sequence_classification": ("ChineseModernBertForSequenceClassification", {"num_labels": LABELS}),
    "token_classification": ("ChineseModernBertForTokenClassification", {"num_labels": LABELS}),
    "question_answering": ("ChineseModernBertForQuestionAnswering", {}),
    "multiple_choice": ("ChineseModernBertForMultipleChoice", {}),
    "reranker": ("ChineseModernBertForSequenceClassification", {"num_labels": 1}),
}


def build_folders(folder: Path, preset: str) -> dict[str, Path]:
    """Build a release of every kind and return the folders, by kind.

    Args:
        folder: where checkpoints and releases go; earlier releases are replaced
        preset: size of the models
    """
    tokenizer = load_tokenizer(TOKENIZER)
    releases = {}
    for seed, (kind, (class_name, fields)) in enumerate(KINDS.items()):
        checkpoint = folder / "checkpoints" / kind
        model = trained_looking(class_name, ChineseModernBertConfig.preset(preset, **_ids(tokenizer), **fields), seed)
        model.save_pretrained(checkpoint)
        save_tokenizer(tokenizer, checkpoint)
        options = {"onnx": ["fp32", "int8"], "normalize": kind == "sentence_encoder", "overwrite": True}
        releases[kind] = build_release(ReleaseArguments(str(checkpoint), str(folder / "releases" / kind), **options))
    return releases


def trained_looking(class_name: str, config: ChineseModernBertConfig, seed: int) -> PreTrainedModel:
    """Return a model whose gains, biases and writers are about as far from their start as training takes them."""
    torch.manual_seed(seed)
    model = getattr(modeling, class_name)(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
            elif parameter.dim() == 2:
                parameter.mul_(2.0)
            else:
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.center_residual()
    return model


def _ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    """Return what a configuration says about the tokenizer."""
    roles = {
        f"{role}_token_id": getattr(tokenizer, f"{role}_token_id") for role in ("pad", "unk", "cls", "sep", "mask")
    }
    return {**roles, "vocab_size": len(tokenizer)}
