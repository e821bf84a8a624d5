"""MAE-LM: masked tokens never enter the encoder; a small decoder, thrown away later, predicts them."""

import torch

from ....modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM, ChineseModernBertModel
from ....modeling.losses_chinese_modernbert import labelled_cross_entropy
from .documents import find_documents
from .objective import MASKED, Items, Objective, ObjectiveBatch

# The decoder reads vectors; its own table of embeddings is never made.
NO_EMBEDDINGS = 64


class MaskedAutoEncoder(Objective):
    """Prediction of masked tokens by a decoder, from an encoder that sees the other tokens alone.

    The encoder runs on the row without the masked tokens, which keep their positions; then the embedding of [MASK]
    fills the gaps and the decoder, a few layers of the encoder's kind, predicts through the model's own head.

    Source: MAE-LM (arXiv 2302.02060) and its released code: four layers, tied output, loss on masked tokens, all of
    them [MASK]. Ours: rotary positions in the decoder in place of relative bins. A local layer of the encoder counts
    its window in the tokens that are left, not in positions, so that at rate r it reaches 1 / (1 - r) times as far.

    The head learns to read the decoder, not the encoder: a model trained so fills masks badly until it is trained on.

    Args:
        language_model: the model that the run is about
        decoder_layers: layers of the decoder

    Raises:
        ValueError: If there is no layer.
    """

    name = "mae_lm"

    def __init__(self, language_model: ChineseModernBertForMaskedLM, decoder_layers: int = 4) -> None:
        super().__init__(language_model)
        if decoder_layers < 1:
            raise ValueError(f"decoder_layers={decoder_layers} of mae_lm must be 1 or more")
        config = language_model.config
        smaller = {
            **config.to_dict(),
            "num_hidden_layers": decoder_layers,
            "layer_types": (config.layer_types * decoder_layers)[:decoder_layers],
            "vocab_size": NO_EMBEDDINGS,
            # What it reads are the encoder's states, which have a mean; nothing of it is released.
            "zero_mean_residual": False,
        }
        own = ChineseModernBertConfig.from_dict(smaller)
        own._attn_implementation = config._attn_implementation
        # One table of RoPE bases: a stage that changes the model's changes the decoder's.
        own.rope_parameters = config.rope_parameters
        self.decoder = ChineseModernBertModel(own)
        self.decoder.set_input_embeddings(torch.nn.Identity())

    def parts(self, batch: ObjectiveBatch, items: Items) -> dict[str, torch.Tensor]:
        """Return the loss of masked tokens."""
        return {MASKED: labelled_cross_entropy(self.predict(batch), batch.labels[batch.selected], items.masked)}

    def predict(self, batch: ObjectiveBatch) -> torch.Tensor:
        """Return logits `(masked, V)`; what stands in `input_ids` at masked positions is never read."""
        model = self.language_model
        encoded = self.encode(batch)
        restored = model.model.get_input_embeddings().weight[self.config.mask_token_id].to(encoded.dtype)
        filled = torch.where(batch.selected.unsqueeze(-1), restored, encoded)
        decoded = self.decoder(inputs_embeds=filled, document_ids=batch.document_ids).last_hidden_state
        return model.decoder(model.head(decoded[batch.selected]))

    def encode(self, batch: ObjectiveBatch) -> torch.Tensor:
        """Return the encoder's output `(B, L, H)`, zero at masked tokens and at padding."""
        documents = find_documents(batch.document_ids)
        kept = ~batch.selected.flatten()[documents.token_index]
        index = documents.token_index[kept]
        # One flat row, so that every kernel counts the window in what is left.
        encoded = self.language_model.model(
            input_ids=batch.input_ids.flatten()[index].unsqueeze(0),
            document_ids=documents.document[kept].unsqueeze(0),
            position_ids=documents.position[kept].unsqueeze(0),
        ).last_hidden_state[0]
        rows, tokens = batch.input_ids.shape
        return encoded.new_zeros(rows * tokens, encoded.shape[1]).index_copy(0, index, encoded).view(rows, tokens, -1)
