"""The embeddings that a release must give: each text alone, by the local classes, without sentence-transformers."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch.nn.functional import normalize
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from ..module_chains import DOCUMENT, QUERY
from ..module_forms import EncoderModule, splade_weights, token_weights
from ..onnx.graphs import token_vectors
from ..sentence_modules import SentenceModules
from .probes import PROBE_TEXTS

# Methods of sentence-transformers by what they encode.
BOTH_SIDES = {"encode_query": QUERY, "encode_document": DOCUMENT}
ONE_SIDE = {"encode": ""}


def methods_of(modules: SentenceModules) -> dict[str, str]:
    """Return the methods to compare, and whether each encodes queries, documents or any text."""
    return BOTH_SIDES if modules.is_two_sided else ONE_SIDE


def reference_embeddings(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, modules: SentenceModules
) -> dict[str, torch.Tensor]:
    """Return the embeddings of the probe texts by method.

    Args:
        model: the encoder, or the masked language model of a sparse one; float32, in evaluation mode
        tokenizer: the model's
        modules: what is behind it, with tensors in the data type of the release

    Returns:
        `(texts, values)` each; of late interaction the vectors of all texts, `(tokens, values)`, text after text,
        before tokens are pooled.
    """
    one = _OneText(model, tokenizer, modules)
    results = {}
    for method, side in methods_of(modules).items():
        rows = [one.embedding(modules.prompt(side) + text, side) for text in PROBE_TEXTS]
        results[method] = torch.cat(rows)
    return results


def token_counts(tokenizer: PreTrainedTokenizerFast, modules: SentenceModules) -> dict[str, list[int]]:
    """Return how many vectors each probe text has in late interaction, by method."""
    one = _OneText(None, tokenizer, modules)
    ids = {
        method: [(one.ids(modules.prompt(side) + text, side), side) for text in PROBE_TEXTS]
        for method, side in methods_of(modules).items()
    }
    return {method: [int(one.is_scored(*text).sum()) for text in texts] for method, texts in ids.items()}


class _OneText:
    """Embeds texts one by one."""

    def __init__(
        self, model: PreTrainedModel | None, tokenizer: PreTrainedTokenizerFast, modules: SentenceModules
    ) -> None:
        self.model: Any = model
        self.tokenizer = tokenizer
        self.modules = modules

    def embedding(self, text: str, side: str) -> torch.Tensor:
        """Return the embedding of one text with its prompt, `(1 or tokens, values)`."""
        if self.modules.query and side == QUERY:
            ids = self.tokenizer(text, add_special_tokens=False, **self.cut(self.modules.max_length))["input_ids"]
            return self.own_weights(torch.tensor(ids), self.modules.query)
        ids = self.ids(text, side)
        states = self.model(input_ids=ids.unsqueeze(0))[0][0]
        if splade := self.modules.module("SpladePooling"):
            weights = splade_weights(states, splade.settings).unsqueeze(0)
            own = self.modules.module("SparseStaticEmbedding")
            return weights * self.own_weights(ids, own) if own else weights
        if self.modules.is_two_sided:
            dense = self.modules.module("Dense")
            projection = dense.tensors["linear.weight"].float() if dense else None
            return token_vectors(states, projection, self.modules)[self.is_scored(ids, side)]
        pooled = states.mean(dim=0) if self.modules.pooling == "mean" else states[0]
        return (normalize(pooled, dim=-1) if self.modules.normalize else pooled).unsqueeze(0)

    @staticmethod
    def own_weights(ids: torch.Tensor, table: EncoderModule) -> torch.Tensor:
        """Return the weights of the tokens that a text has, `(1, vocabulary)`."""
        batch = ids.long().unsqueeze(0)
        return token_weights(batch, torch.ones_like(batch), table.tensors["weight"].float())

    def ids(self, text: str, side: str) -> torch.Tensor:
        """Return the ids of a text, cut as its side says, and of a query filled up where the folder expands it."""
        lengths = self.modules.lengths
        limit = lengths.get(f"{side}_length") or self.modules.max_length
        expansion = lengths.get("query_expansion") if side == QUERY else None
        if expansion and expansion["strategy"] == "fixed":
            limit = expansion["length"]
        elif expansion and lengths.get("query_length"):
            limit = max(limit, expansion["length"])
        ids = cast(list[int], self.tokenizer(text, **self.cut(limit))["input_ids"])
        if expansion:
            token = expansion.get("token")
            filler = self.tokenizer.mask_token_id if token is None else self.tokenizer.convert_tokens_to_ids(token)
            ids += [cast(int, filler)] * (expansion["length"] - len(ids))
        return torch.tensor(ids)

    def is_scored(self, ids: torch.Tensor, side: str) -> torch.Tensor:
        """Return which tokens late interaction compares: those that its folder does not skip on this side."""
        mask = self.modules.module("MultiVectorMask")
        words = mask.settings["skiplist_words"] if mask and side in mask.settings["skiplist_tasks"] else []
        skipped = cast(list[int], self.tokenizer.convert_tokens_to_ids(words)) if words else []
        unknown = None if self.tokenizer.unk_token in words else self.tokenizer.unk_token_id
        return ~torch.isin(ids, torch.tensor([one for one in skipped if one != unknown], dtype=torch.int64))

    @staticmethod
    def cut(limit: int | None) -> dict[str, Any]:
        """Return the options of a tokenizer that cut texts to so many tokens; None = not at all."""
        return {"truncation": True, "max_length": limit} if limit else {}
