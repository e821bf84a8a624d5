# Copyright 2026 The Chinese ModernBERT contributors. SPDX-License-Identifier: Apache-2.0
"""Task heads of Chinese ModernBERT.

Every loss is a sum divided by the number of things it sums over. Under gradient accumulation `Trainer` hands that
number for the whole step (`num_items_in_batch`), so that four small batches give the gradient of one large batch.

In `kwargs` a head takes every input of the encoder that it does not name itself and hands it on.
"""

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss
from transformers.activations import ACT2FN
from transformers.modeling_outputs import (
    MaskedLMOutput,
    MultipleChoiceModelOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from transformers.utils.generic import can_return_tuple

# The imports marked F401 look idle: from a local folder Transformers 4.57 copies an entry file of `auto_map` and what
# that file names itself, not what those files import in turn.
from .bands_chinese_modernbert import banded_attention  # noqa: F401
from .buckets_chinese_modernbert import bucketed_attention  # noqa: F401
from .configuration_chinese_modernbert import ChineseModernBertConfig
from .cpu_kernels_chinese_modernbert import dense_attention  # noqa: F401
from .kernels_chinese_modernbert import attend  # noqa: F401
from .layers_chinese_modernbert import build_norm, marked
from .layout_chinese_modernbert import TokenLayout  # noqa: F401
from .losses_chinese_modernbert import labelled_cross_entropy, mean_loss
from .modeling_chinese_modernbert import (
    ChineseModernBertModel,
    ChineseModernBertPreTrainedModel,
    takes_encoder_inputs,
)
from .products_chinese_modernbert import linear
from .residual_chinese_modernbert import center_residual  # noqa: F401
from .rotary_chinese_modernbert import RotaryTable  # noqa: F401

if TYPE_CHECKING:  # never run, but read: see the configuration
    from .blanks_chinese_modernbert import BlankReader  # noqa: F401
    from .characters_chinese_modernbert import CharacterReader  # noqa: F401
    from .filling_chinese_modernbert import WordFiller  # noqa: F401
    from .rows_chinese_modernbert import logits_at  # noqa: F401
    from .spelling_chinese_modernbert import SpellingSettings  # noqa: F401

# Inputs with a value, or a vector, for each token.
BY_TOKEN = {"input_ids", "inputs_embeds", "attention_mask", "position_ids", "document_ids", "seq_idx"}


def token_loss(
    logits: torch.Tensor,
    labels: torch.Tensor | None,
    training: bool,
    num_items_in_batch: torch.Tensor | int | None = None,
    ignore_index: int = -100,
) -> torch.Tensor | None:
    """Return the loss of a head that chooses among classes, see `labelled_cross_entropy`; None without labels."""
    if labels is None:
        return None
    return labelled_cross_entropy(logits, labels, num_items_in_batch, ignore_index, training)


class ChineseModernBertPredictionHead(nn.Module):
    """Dense layer, activation and norm in front of a decoder or a classifier."""

    def __init__(self, config: ChineseModernBertConfig) -> None:
        super().__init__()
        self.dense = marked(nn.Linear(config.hidden_size, config.hidden_size, bias=config.classifier_bias), "output")
        self.act = ACT2FN[config.classifier_activation]
        self.norm = build_norm(config, after_activation=True)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Map `(..., hidden)` to the same shape."""
        return self.norm(self.act(linear(self.dense, hidden_states)))


def real_tokens(
    attention_mask: torch.Tensor | None = None,
    document_ids: torch.Tensor | None = None,
    seq_idx: torch.Tensor | None = None,
    **kwargs: Any,
) -> torch.Tensor | None:
    """Return a boolean `(batch, length)`, False at padding, from what a forward was given; None where there is none."""
    real = None if attention_mask is None else attention_mask != 0
    documents = seq_idx if document_ids is None else document_ids
    if documents is None:
        return real
    return documents >= 0 if real is None else real & (documents >= 0)


def pool(hidden_states: torch.Tensor, pooling: str, real: torch.Tensor | None = None) -> torch.Tensor:
    """Return one vector a row from hidden states `(batch, length, hidden)`: the first real token, or their mean.

    Args:
        hidden_states (`torch.Tensor` of shape `(batch, length, hidden)`).
        pooling: `cls` or `mean`
        real (`torch.Tensor` of shape `(batch, length)`): boolean, False at padding; where it is not given there is
            none, see `real_tokens`.
    """
    if real is not None:
        real = real.to(hidden_states.device)
    if pooling == "cls":
        if real is None:
            return hidden_states[:, 0]
        first = real.int().argmax(dim=1)  # padding may stand on the left
        return hidden_states.gather(1, first.view(-1, 1, 1).expand(-1, 1, hidden_states.shape[-1])).squeeze(1)
    if real is None:
        return hidden_states.mean(dim=1)
    kept = real.unsqueeze(-1)
    summed = (hidden_states * kept).sum(dim=1)
    return summed / kept.sum(dim=1).clamp(min=1).to(summed.dtype)


class ChineseModernBertForMaskedLM(ChineseModernBertPreTrainedModel):
    """Masked language model; in training logits exist at labelled positions only (`config.sparse_prediction`)."""

    _tied_weights_keys = {"decoder.weight": "model.embeddings.tok_embeddings.weight"}

    def __init__(self, config: ChineseModernBertConfig) -> None:
        super().__init__(config)
        self.model = ChineseModernBertModel(config)
        self.head = ChineseModernBertPredictionHead(config)
        decoder = nn.Linear(config.hidden_size, config.vocab_size, bias=config.decoder_bias)
        # A tied decoder is the embedding matrix: drawing it here could overwrite loaded weights.
        self.decoder = marked(decoder, "tied" if config.tie_word_embeddings else "output")
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        """Return the decoder, `(vocab_size, hidden)`, tied to the token embedding."""
        return self.decoder

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Replace the decoder."""
        self.decoder = new_embeddings

    @can_return_tuple
    @takes_encoder_inputs
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        target_positions: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Any,
    ) -> MaskedLMOutput:
        """Predict tokens.

        Args:
            input_ids, attention_mask, position_ids, inputs_embeds, kwargs: as in `ChineseModernBertModel.forward`
            labels (`torch.Tensor` of shape `(batch, length)`, or `(labelled,)` with `target_positions`): ids to
                predict, `-100` where there is nothing to.
            target_positions (`torch.Tensor` of shape `(labelled,)`): where the labels stand in the flattened
                `batch * length` tokens, so that a GPU need not look for them; without labels, where logits are wanted.
                (`Trainer` would take an argument with "label" in its name for a second column of labels, and evaluate
                nothing without it.)
            num_items_in_batch: labelled tokens of the whole optimizer step; default: of this batch

        Returns:
            `MaskedLMOutput` with `logits` of shape `(batch, length, vocab_size)`; of shape `(labelled, vocab_size)`
            with `target_positions`, in their order, or in training with labels and `sparse_prediction`, in reading
            order. In evaluation rows must stay rows, for whoever gathers them for a metric.

        Raises:
            ValueError: If `target_positions` and `labels` do not belong together.
        """
        if target_positions is not None and labels is not None and labels.shape != target_positions.shape:
            raise ValueError(
                f"target_positions has shape {tuple(target_positions.shape)} and labels {tuple(labels.shape)}; "
                "give one label a position"
            )
        outputs = self.model(input_ids, attention_mask, position_ids, inputs_embeds, **kwargs)
        hidden_states = outputs.last_hidden_state
        ignored = self.config.sparse_pred_ignore_index
        if target_positions is not None:
            hidden_states = hidden_states.flatten(0, 1).index_select(0, target_positions.to(hidden_states.device))
        elif labels is not None and self.config.sparse_prediction and self.training:
            place = (labels.reshape(-1) != ignored).nonzero().squeeze(1)
            hidden_states = hidden_states.flatten(0, 1).index_select(0, place.to(hidden_states.device))
            labels = labels.reshape(-1).index_select(0, place)
        logits = linear(self.decoder, self.head(hidden_states))
        loss = token_loss(logits, labels, self.training, num_items_in_batch, ignored)
        return MaskedLMOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


class ChineseModernBertClassifierModel(ChineseModernBertPreTrainedModel):
    """What the four classifiers share: encoder, prediction head, dropout and one linear layer."""

    def __init__(self, config: ChineseModernBertConfig, num_outputs: int | None) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.model = ChineseModernBertModel(config)
        self.head = ChineseModernBertPredictionHead(config)
        self.drop = nn.Dropout(config.classifier_dropout)
        self.classifier = marked(nn.Linear(config.hidden_size, num_outputs or 1), "classifier")

    def classify(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Map `(..., hidden)` to `(..., outputs)`."""
        return self.classifier(self.drop(self.head(hidden_states)))


class ChineseModernBertForSequenceClassification(ChineseModernBertClassifierModel):
    """One label per text: one of several classes, several labels at once, or a number."""

    def __init__(self, config: ChineseModernBertConfig) -> None:
        super().__init__(config, config.num_labels)
        self.post_init()

    @can_return_tuple
    @takes_encoder_inputs
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        """Classify texts.

        Args:
            input_ids, attention_mask, position_ids, inputs_embeds, kwargs: as in `ChineseModernBertModel.forward`
            labels: `(batch,)` class ids, `(batch, num_labels)` floats 0/1 for several labels at once, or numbers for
                regression. `config.problem_type` decides; where it is not set, the first labels set it as
                Transformers' own heads do: regression with one label, one class with `int32` or `int64` labels, else
                several labels. A saved model then says how its logits are to be read.
            num_items_in_batch: labels of the whole optimizer step; default: of this batch

        Returns:
            `SequenceClassifierOutput` with `logits` of shape `(batch, num_labels)`.
        """
        outputs = self.model(input_ids, attention_mask, position_ids, inputs_embeds, **kwargs)
        real = real_tokens(attention_mask, **kwargs)
        logits = self.classify(pool(outputs.last_hidden_state, self.config.classifier_pooling, real))
        loss = None if labels is None else self._loss(logits, labels.to(logits.device), num_items_in_batch)
        return SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )

    def _loss(
        self, logits: torch.Tensor, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None
    ) -> torch.Tensor:
        """Return the loss of the kind of problem at hand."""
        if self.config.problem_type is None:
            self.config.problem_type = self._problem_type(labels)
        problem = self.config.problem_type
        if problem == "single_label_classification":
            return labelled_cross_entropy(logits, labels.long(), num_items_in_batch, training=self.training)
        logits = logits.float()
        labels = labels.reshape(logits.shape).float()
        compute = mse_loss if problem == "regression" else binary_cross_entropy_with_logits
        return mean_loss(compute(logits, labels, reduction="sum"), labels.numel(), num_items_in_batch, self.training)

    def _problem_type(
        self, labels: torch.Tensor
    ) -> Literal["regression", "single_label_classification", "multi_label_classification"]:
        """Tell the kind of problem from the first labels, by the rule of Transformers' own heads."""
        if self.num_labels == 1:
            return "regression"
        is_class = labels.dtype in (torch.long, torch.int)
        return "single_label_classification" if is_class else "multi_label_classification"


class ChineseModernBertForTokenClassification(ChineseModernBertClassifierModel):
    """One label per token."""

    def __init__(self, config: ChineseModernBertConfig) -> None:
        super().__init__(config, config.num_labels)
        self.post_init()

    @can_return_tuple
    @takes_encoder_inputs
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Any,
    ) -> TokenClassifierOutput:
        """Label tokens; `labels` of shape `(batch, length)`, -100 ignored; `logits` `(batch, length, num_labels)`."""
        outputs = self.model(input_ids, attention_mask, position_ids, inputs_embeds, **kwargs)
        logits = self.classify(outputs.last_hidden_state)
        loss = token_loss(logits, labels, self.training, num_items_in_batch)
        return TokenClassifierOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


class ChineseModernBertForQuestionAnswering(ChineseModernBertClassifierModel):
    """Start and end of an answer within the text."""

    # `Trainer` counts items by a column called `labels`, which this head has not: its loss is a plain mean.
    accepts_loss_kwargs = False

    def __init__(self, config: ChineseModernBertConfig) -> None:
        super().__init__(config, 2)
        self.post_init()

    @can_return_tuple
    @takes_encoder_inputs
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        start_positions: torch.Tensor | None = None,
        end_positions: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> QuestionAnsweringModelOutput:
        """Find answers; `start_positions` and `end_positions` of shape `(batch,)`, places outside the text ignored."""
        outputs = self.model(input_ids, attention_mask, position_ids, inputs_embeds, **kwargs)
        logits = self.classify(outputs.last_hidden_state)
        real = real_tokens(attention_mask, **kwargs)
        if real is not None:  # an answer never lies in padding
            logits = logits.masked_fill(~real.to(logits.device).unsqueeze(-1), torch.finfo(logits.dtype).min)
        start_logits, end_logits = (part.contiguous() for part in logits.unbind(dim=-1))
        loss = None
        if start_positions is not None and end_positions is not None:
            starts, ends = (self._places(places, logits.shape[1]) for places in (start_positions, end_positions))
            both = ((start_logits, starts), (end_logits, ends))
            loss = torch.stack([labelled_cross_entropy(*one, training=self.training) for one in both]).mean()
        return QuestionAnsweringModelOutput(
            loss=loss,
            start_logits=start_logits,
            end_logits=end_logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    @staticmethod
    def _places(positions: torch.Tensor, length: int) -> torch.Tensor:
        """Return positions `(batch,)` with -100 for those that truncation has cut off."""
        positions = positions.reshape(-1)
        return positions.masked_fill((positions < 0) | (positions >= length), -100)


class ChineseModernBertForMultipleChoice(ChineseModernBertClassifierModel):
    """One of several continuations; every choice is encoded by itself and scored by one number."""

    def __init__(self, config: ChineseModernBertConfig) -> None:
        super().__init__(config, 1)
        self.post_init()

    @can_return_tuple
    @takes_encoder_inputs
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Any,
    ) -> MultipleChoiceModelOutput:
        """Choose; inputs of shape `(batch, choices, length)`, `labels` `(batch,)`, `logits` `(batch, choices)`."""
        given = input_ids if inputs_embeds is None else inputs_embeds
        if given is None:
            raise ValueError("give either input_ids or inputs_embeds of shape (batch, choices, length)")
        choices = given.shape[1]
        kwargs |= {"input_ids": input_ids, "attention_mask": attention_mask}
        kwargs |= {"position_ids": position_ids, "inputs_embeds": inputs_embeds}
        for name in BY_TOKEN.intersection(kwargs):
            kwargs[name] = None if kwargs[name] is None else kwargs[name].flatten(0, 1)
        outputs = self.model(**kwargs)
        pooled = pool(outputs.last_hidden_state, self.config.classifier_pooling, real_tokens(**kwargs))
        logits = self.classify(pooled).view(-1, choices)
        loss = token_loss(logits, labels, self.training, num_items_in_batch)
        return MultipleChoiceModelOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )
