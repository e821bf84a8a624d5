"""Bag of words: the vector of a document must name the words of its text, so that it is worth searching with."""

import math

import numpy as np
import torch

from ....modeling import ChineseModernBertForMaskedLM
from ....modeling.losses_chinese_modernbert import mean_loss
from .documents import Documents, find_documents
from .objective import MASKED, Items, Objective, ObjectiveBatch, masked_loss

BAG = "bag_of_words"
# The most frequent tokens of the shards that no bag holds: punctuation and function words. Our default.
STOP_TOKENS = 128
FIRST_WEIGHT, LAST_WEIGHT = 1.0, 0.1
POOLINGS = ("cls", "mean")


class BagOfWords(Objective):
    """Masked language modeling plus `logsumexp(z) - mean(z[S])` for each document.

    z are the masked-language-model head's logits of the document's vector, S the set of ids in its text before
    masking, without special and stop ids. It equals cross-entropy against a target that is uniform over S, which is
    never built. There are no parameters of its own.

    Source: "Drop your Decoder" (arXiv 2401.11248) and its released code: loss, [CLS], weight falling on a cosine from
    1 to 0.1, 30 % masking in the encoder (set it with `masking_options`). Ours: stop ids by frequency, `mean` as the
    mean of the hidden states.

    Args:
        language_model: the model that the run is about
        excluded_ids: ids that no bag holds: special and stop ids
        pooling: `cls` or `mean`
        first_weight: weight of this part at the start
        last_weight: weight at the end

    Raises:
        ValueError: For an unknown pooling.
    """

    name = BAG
    excluded: torch.Tensor

    def __init__(
        self,
        language_model: ChineseModernBertForMaskedLM,
        excluded_ids: np.ndarray,
        pooling: str = "cls",
        first_weight: float = FIRST_WEIGHT,
        last_weight: float = LAST_WEIGHT,
    ) -> None:
        super().__init__(language_model)
        if pooling not in POOLINGS:
            raise ValueError(f"pooling={pooling!r} of bag_of_words is unknown; use one of {', '.join(POOLINGS)}")
        self.pooling, self.first_weight, self.last_weight = pooling, first_weight, last_weight
        excluded = torch.zeros(language_model.config.vocab_size, dtype=torch.bool)
        excluded[torch.from_numpy(np.asarray(excluded_ids, dtype=np.int64))] = True
        self.register_buffer("excluded", excluded, persistent=False)

    def parts(self, batch: ObjectiveBatch, items: Items) -> dict[str, torch.Tensor]:
        """Return the losses of masked tokens and of bags."""
        masked, hidden_states = masked_loss(self.language_model, batch, items)
        return {MASKED: masked, BAG: self._bag_loss(hidden_states, batch, items)}

    def weights(self, progress: float) -> dict[str, float]:
        """Return the weight of the bags: from the first to the last on half a cosine."""
        share = (1 + math.cos(math.pi * min(progress, 1.0))) / 2
        return {BAG: self.last_weight + (self.first_weight - self.last_weight) * share}

    def count_items(self, batch: ObjectiveBatch) -> torch.Tensor:
        """Return how many documents have a bag that is not empty."""
        document, _ = self.bags(batch, find_documents(batch.document_ids))
        return torch.tensor(len(document.unique()))

    def bags(self, batch: ObjectiveBatch, documents: Documents) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the pairs (document, id) of all bags, two int64 `[P]`, each pair once."""
        size = self.excluded.numel()
        ids = batch.original_ids.flatten()[documents.token_index]
        kept = ~self.excluded.to(ids.device)[ids]
        pairs = (documents.document[kept] * size + ids[kept]).unique()
        return pairs // size, pairs % size

    def _bag_loss(self, hidden_states: torch.Tensor, batch: ObjectiveBatch, items: Items) -> torch.Tensor:
        documents = find_documents(batch.document_ids)
        document, ids = self.bags(batch, documents)
        model = self.language_model
        logits = model.decoder(model.head(self._pool(hidden_states, documents))).float()
        sizes = torch.bincount(document, minlength=len(documents.start))
        named = logits.new_zeros(len(sizes)).index_add(0, document, logits[document, ids])
        losses = logits.logsumexp(dim=1) - named / sizes.clamp(min=1)
        has_bag = sizes > 0
        return mean_loss(losses[has_bag].sum(), has_bag.sum(), items.own)

    def _pool(self, hidden_states: torch.Tensor, documents: Documents) -> torch.Tensor:
        """Return one vector per document, `(D, H)`."""
        flat = hidden_states.flatten(0, 1)[documents.token_index]
        if self.pooling == "cls":
            return flat[documents.start]
        summed = flat.new_zeros(len(documents.start), flat.shape[1]).index_add(0, documents.document, flat)
        return summed / documents.length.unsqueeze(1).to(summed.dtype)


def stop_ids(token_counts: np.ndarray, count: int = STOP_TOKENS) -> np.ndarray:
    """Return the ids that occur most often, int64 `[count]` or fewer: those that never occur are no stop words.

    Source: ours, in place of the released code's "the first 998 ids", which is a fact of one vocabulary.

    Args:
        token_counts: int64 `[V]`, from `TokenShards.token_counts`
        count: how many

    Raises:
        ValueError: If `count` is negative.
    """
    if count < 0:
        raise ValueError(f"stop_tokens={count} of bag_of_words must be 0 or more")
    order = np.argsort(-token_counts, kind="stable")[:count]
    return order[token_counts[order] > 0]
