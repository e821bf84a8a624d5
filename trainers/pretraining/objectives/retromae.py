"""RetroMAE: one weak decoder layer rebuilds the whole text from the document's vector and a few visible tokens."""

import torch
from torch.nn.functional import cross_entropy, linear, scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

from ....modeling import ChineseModernBertForMaskedLM
from ....modeling.layers_chinese_modernbert import ChineseModernBertLayer, build_norm
from ....modeling.losses_chinese_modernbert import mean_loss
from ....modeling.rotary_chinese_modernbert import apply_rotary, rotary_table
from ....runtime.token_rows import IGNORED_LABEL
from .documents import Documents, find_documents, groups_by_length
from .objective import MASKED, Items, Objective, ObjectiveBatch, masked_loss

DECODED = "retromae"
# Cells of the attention matrices of one group of documents. Our default: one document of the longest length and more.
GROUP_CELLS = 2**22
GLOBAL = "full_attention"


class RetroMae(Objective):
    """Masked language modeling plus the rebuilding of every token by one decoder layer.

    The layer's query is the encoder's [CLS] vector h at every position; its keys and values are h and the embeddings of
    the text before masking. Each position sees h, a random half of the other tokens, and never itself.

    Source: RetroMAE (arXiv 2205.12035) and its released code: rates 30 % (encoder, set it with `masking_options`) and
    50 %, h in place of the first token, loss on every token but [CLS] and [SEP]; up to 1,536 tokens. Ours: h itself as
    the query, rotated like the keys, since there are no position embeddings; a norm at the end, since our layers are
    pre-norm. Of a longer document the first tokens are rebuilt.

    Args:
        language_model: the model that the run is about
        decoder_mask_rate: share of the other tokens that a position does not see
        max_tokens: longest piece of a document that is rebuilt, with [CLS]

    Raises:
        ValueError: For a rate outside 0 to 1 or a length under 2.
    """

    name = DECODED

    def __init__(
        self, language_model: ChineseModernBertForMaskedLM, decoder_mask_rate: float = 0.5, max_tokens: int = 1536
    ) -> None:
        super().__init__(language_model)
        if not 0 <= decoder_mask_rate <= 1 or max_tokens < 2:
            raise ValueError(
                f"retromae has decoder_mask_rate={decoder_mask_rate} and max_tokens={max_tokens}; "
                "give a share from 0 to 1 and 2 tokens or more"
            )
        self.decoder_mask_rate, self.max_tokens = decoder_mask_rate, max_tokens
        # The first layer has no norm before attention: what it reads here, h and embeddings, ends in one as well.
        self.layer = ChineseModernBertLayer(language_model.config, 0)
        self.norm = build_norm(language_model.config)
        for module in (self.layer, self.norm):
            module.apply(language_model._init_weights)

    def parts(self, batch: ObjectiveBatch, items: Items) -> dict[str, torch.Tensor]:
        """Return the losses of masked and of rebuilt tokens."""
        masked, hidden_states = masked_loss(self.language_model, batch, items)
        documents = find_documents(batch.document_ids)
        ids = batch.original_ids.flatten()[documents.token_index]
        vectors = hidden_states.flatten(0, 1)[documents.token_index[documents.start]]
        decoded_length = documents.length.clamp(max=self.max_tokens)
        losses = []
        for group in groups_by_length(decoded_length, GROUP_CELLS):
            tokens, targets = _padded(ids, documents, group, int(decoded_length[group].max()))
            visible = self.draw_visible(decoded_length[group], tokens.shape[1])
            # Logits of every token: recomputed in the backward pass, so that one group's are held at a time.
            summed = checkpoint(self.decode_loss, vectors[group], tokens, targets, visible, use_reentrant=False)
            losses.append(summed)
        return {MASKED: masked, DECODED: mean_loss(torch.stack(losses).sum(), self.count_items(batch), items.own)}

    def count_items(self, batch: ObjectiveBatch) -> torch.Tensor:
        """Return how many tokens are rebuilt: all but [CLS] and [SEP], up to the longest piece."""
        length = find_documents(batch.document_ids).length
        return torch.minimum(length - 2, length.new_tensor(self.max_tokens - 1)).clamp(min=0).sum()

    def draw_visible(self, length: torch.Tensor, longest: int) -> torch.Tensor:
        """Draw which keys each position sees.

        Args:
            length: int64 `[d]`, tokens of each document
            longest: l, tokens of the padded documents

        Returns:
            Bool `[d, l, l]`: h (the first key) always, itself never, of the others a random share, padding never.
        """
        visible = torch.rand(len(length), longest, longest, device=length.device) >= self.decoder_mask_rate
        visible &= (torch.arange(longest, device=length.device) < length.unsqueeze(1)).unsqueeze(1)
        visible.diagonal(dim1=1, dim2=2).fill_(False)
        visible[:, :, 0] = True
        return visible

    def decode_loss(
        self, vectors: torch.Tensor, tokens: torch.Tensor, targets: torch.Tensor, visible: torch.Tensor
    ) -> torch.Tensor:
        """Return the summed cross-entropy of rebuilding documents.

        Args:
            vectors: float `[d, H]`, h of each document
            tokens: int64 `[d, l]`, the text before masking
            targets: int64 `[d, l]`, the same, -100 where there is nothing to rebuild
            visible: bool `[d, l, l]`, from `draw_visible`
        """
        model, query = self.language_model, vectors.unsqueeze(1)
        memory = torch.cat((query, model.model.embeddings(tokens[:, 1:])), dim=1)
        decoded = query + self._attend(query, memory, visible)
        decoded = self.norm(decoded + self.layer.mlp(self.layer.mlp_norm(decoded)))
        rebuilt = targets >= 0
        logits = model.decoder(model.head(decoded[rebuilt]))
        return cross_entropy(logits.float(), targets[rebuilt], reduction="sum")

    def _attend(self, query: torch.Tensor, memory: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        """Return `(d, l, H)`: the one query `(d, 1, H)`, rotated to each position, over the memory `(d, l, H)`."""
        attention, config = self.layer.attn, self.config
        count, tokens, hidden = memory.shape
        weight, bias = attention.Wqkv.weight, attention.Wqkv.bias
        biases = (None, None) if bias is None else (bias[:hidden], bias[hidden:])
        queries = linear(query, weight[:hidden], biases[0]).expand(-1, tokens, -1)
        keys, values = linear(memory, weight[hidden:], biases[1]).chunk(2, dim=-1)
        positions = torch.arange(tokens, device=memory.device).unsqueeze(0)
        parameters = config.rope_parameters[GLOBAL]
        table = rotary_table(positions, config.head_dim, parameters, tokens, config.max_position_embeddings)
        both = torch.stack((queries, keys), dim=2).unflatten(-1, (-1, config.head_dim))
        rotated = apply_rotary(both, table)
        heads = [part.transpose(1, 2) for part in (*rotated.unbind(dim=2), values.unflatten(-1, (-1, config.head_dim)))]
        attended = scaled_dot_product_attention(*heads, attn_mask=visible.unsqueeze(1))
        return attention.out_drop(attention.Wo(attended.transpose(1, 2).reshape(count, tokens, -1)))


def _padded(
    ids: torch.Tensor, documents: Documents, group: torch.Tensor, longest: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and targets of some documents, int64 `[d, longest]`; padding repeats the last token, unseen."""
    column = torch.arange(longest, device=ids.device)
    length = documents.length[group].unsqueeze(1)
    index = documents.start[group].unsqueeze(1) + torch.minimum(column, length - 1)
    tokens = ids[index]
    return tokens, tokens.masked_fill((column == 0) | (column >= length - 1), IGNORED_LABEL)
