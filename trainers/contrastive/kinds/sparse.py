"""SPLADE: a weight for every token of the vocabulary, from the head of a masked language model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.sparse_encoder.losses import (
    SparseMarginMSELoss,
    SparseMultipleNegativesRankingLoss,
    SpladeLoss,
)
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling
from sentence_transformers.sparse_encoder.trainer import SparseEncoderTrainer
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ....evaluation.language_modeling.loading import load_masked_language_model
from ....evaluation.retrieval.expansion import is_searched
from ....evaluation.retrieval.loading import load_search_model, search_class
from ..arguments import RetrievalArguments
from ..distillation import SCORES_COLUMN
from ..models import CONFIG_FILE, MODULES_FILE, refuse_other
from ..trainer import StageTrainer
from .kind import ModelKind

# The bias of a token that may have no weight: no hidden state lifts its logit above 0, so that its weight is 0 and, as
# the gradient of a rectified 0 is 0, stays so in training. It is finite in float16 too. Source: ours.
SILENT = -1e4
# Added to all logits where a text keeps its own tokens alone: their weights then begin nearly equal, which finds more
# than the head's own numbers do before training. Source: ours, benchmarks/2026-11-27-search-sparse.md.
LIFT = 10.0


class SparseTrainer(StageTrainer, SparseEncoderTrainer):
    """One stage of a sparse encoder: triplets or a teacher's differences, and fewer, smaller weights (FLOPS)."""

    def build_loss(self, model: SparseEncoder, args: RetrievalArguments, columns: list[str]) -> nn.Module:
        """Return SPLADE's loss for triplets; the regularizers grow to their weights over the first third of the steps.

        Source: arXiv 2109.10086 (FLOPS, grown quadratically), whose growth the library's trainer adds.

        Raises:
            ValueError: If the columns are not those of triplets.
        """
        if columns[:2] != ["anchor", "positive"]:
            raise ValueError(
                f"columns {', '.join(columns)} are not anchor, positive, negative_1 ...; sparse models train on "
                "triplets (loss: in_batch_negatives or distillation)"
            )
        ranking: nn.Module = (
            SparseMarginMSELoss(model)
            if columns[-1] == SCORES_COLUMN
            else SparseMultipleNegativesRankingLoss(
                model, scale=1 / args.product_temperature, gather_across_devices=args.world_size > 1
            )
        )
        return SpladeLoss(
            model,
            ranking,
            document_regularizer_weight=args.document_regularizer,
            query_regularizer_weight=self.query_regularizer(args),
        )

    def query_regularizer(self, args: RetrievalArguments) -> float | None:
        """Return the weight of the queries' regularizer; None where queries are no output of the encoder."""
        return args.query_regularizer


class SparseKind(ModelKind):
    """A `SparseEncoder`: the masked language model and SPLADE's pooling by maximum, on both sides."""

    trainer = SparseTrainer

    def load(self, folder: str | Path, arguments: RetrievalArguments) -> SparseEncoder:
        """Return the sparse encoder of a folder, or one around a masked language model with its head.

        Raises:
            ValueError: If the folder holds another kind, or a model whose head would be drawn at random; see
                `refuse_other`.
        """
        prompts = {"query": arguments.query_prompt, "document": arguments.document_prompt}
        if (Path(folder) / MODULES_FILE).is_file() and not is_language_model(folder):
            own: dict[str, Any] = {"prompts": prompts} if any(prompts.values()) else {}
            model = load_search_model(folder, arguments.trust_remote_code, **own)
            if not isinstance(model, SparseEncoder):
                raise ValueError(
                    f"{folder} is a {type(model).__name__}, kind: {arguments.kind} needs a sparse encoder or a "
                    "checkpoint of a masked language model"
                )
            if arguments.kind == "sparse" and isinstance(model[0], Router):
                raise ValueError(f"{folder} weighs queries by a table; train it with kind: sparse_documents")
            refuse_other(folder, arguments, {"expansion": adds_terms(model)})
            return model
        modules = splade_modules(folder, arguments)
        return SparseEncoder(modules=modules, prompts=prompts, similarity_fn_name="dot")


def adds_terms(model: SparseEncoder) -> bool:
    """Return whether documents get weights for tokens that they do not hold, too; see `splade_modules`."""
    router: Any = model[0]
    chain: Any = router.sub_modules["document"] if isinstance(router, Router) else model.children()
    return not any(isinstance(module, SparseStaticEmbedding) for module in chain)


def is_language_model(folder: str | Path) -> bool:
    """Return whether a folder is a release of a masked language model, which loads as a sentence encoder too."""
    config = Path(folder) / CONFIG_FILE
    if search_class(folder) is SparseEncoder or not config.is_file():
        return False
    named = json.loads(config.read_text(encoding="utf-8")).get("architectures") or [""]
    return str(named[0]).endswith("ForMaskedLM")


def splade_modules(folder: str | Path, arguments: RetrievalArguments) -> list[nn.Module]:
    """Return a masked language model and SPLADE's pooling, float32, and a mask where texts are not expanded.

    Args:
        folder: checkpoint or release of a masked language model
        arguments: of the command

    Raises:
        ValueError: If weights of the head are missing, or the decoder has no bias.
    """
    model, _ = load_masked_language_model(str(folder), "float32", True, arguments.trust_remote_code)
    code = {"trust_remote_code": arguments.trust_remote_code}
    options: dict[str, Any] = {"model_kwargs": code, "config_kwargs": code, "processor_kwargs": code}
    module: Any = Transformer(str(folder), transformer_task="fill-mask", **options)
    module.model = model
    bias = bias_of(model)
    modules: list[nn.Module] = [module, SpladePooling("max", embedding_dimension=len(bias))]
    if not arguments.expansion:  # behind another module it multiplies what it is given by 1 for a token of the text
        bias += LIFT
        modules.append(SparseStaticEmbedding(module.tokenizer, weight=torch.ones(len(bias)), frozen=True))
    if arguments.stop_tokens:
        bias[stop_tokens(module.tokenizer, len(bias))] = SILENT
    return modules


def stop_tokens(tokenizer: PreTrainedTokenizerBase, vocab_size: int) -> list[int]:
    """Return the tokens that say nothing about a text: special ones, bytes of a character, and marks.

    Args:
        tokenizer: any
        vocab_size: of the model; numbers beyond the tokenizer's are among them
    """
    return [number for number in range(vocab_size) if not is_searched(tokenizer, number)]


def bias_of(model: PreTrainedModel) -> torch.Tensor:
    """Return the numbers `[V]` that a masked language model adds to its logits, to be changed in place.

    Raises:
        ValueError: If it adds none.
    """
    decoder: Any = model.get_output_embeddings()
    if decoder.bias is None:
        raise ValueError("the decoder of this model has no bias to set; give one with decoder_bias: true")
    return decoder.bias.detach()
