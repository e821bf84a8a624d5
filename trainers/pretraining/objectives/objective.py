"""What an objective is: one module around the masked language model that turns a masked batch into a loss.

The module owns every parameter that a step trains, so that the optimizer, DDP and a checkpoint see one thing. Those
besides the language model's own exist in training alone: `split_state` keeps them apart.

Legend: B rows, L tokens per row, N = B * L, D documents, H hidden size, V tokens of the vocabulary.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ....modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM
from ....modeling.losses_chinese_modernbert import labelled_cross_entropy
from ....runtime.token_rows import IGNORED_LABEL
from ...masking.feedback_callback import labelled_positions, sum_over_processes

LANGUAGE_MODEL = "language_model."
OBJECTIVE_FILE = "objective.safetensors"
LOSS = "loss"
PLAIN = "mlm"
MASKED = "mlm"


class Items(NamedTuple):
    """What sums are divided by: counts over the whole optimizer step, all micro-batches and processes.

    Attributes:
        masked: masked tokens; None = those of the batch at hand
        own: what `Objective.count_items` counts; None = those of the batch at hand
    """

    masked: torch.Tensor | int | None = None
    own: torch.Tensor | int | None = None


class ObjectiveBatch(NamedTuple):
    """A masked batch.

    Attributes:
        input_ids: int64 `[B, L]`, corrupted
        labels: int64 `[B, L]`, the original id where selected, else -100
        document_ids: int `[B, L]`, the document within the row; -1 = padding
    """

    input_ids: torch.Tensor
    labels: torch.Tensor
    document_ids: torch.Tensor

    @classmethod
    def from_inputs(cls, inputs: Mapping[str, Any]) -> "ObjectiveBatch":
        """Take the columns from a model's inputs; others are passed over."""
        return cls(**{name: inputs[name] for name in cls._fields if name in inputs})

    @property
    def selected(self) -> torch.Tensor:
        """Bool `[B, L]`, True at the tokens to predict."""
        return self.labels != IGNORED_LABEL

    @property
    def original_ids(self) -> torch.Tensor:
        """Int64 `[B, L]`, the text before masking: labels hold what was selected, the rest was never changed."""
        return torch.where(self.selected, self.labels, self.input_ids)


class Objective(nn.Module):
    """Masked language modeling, and the base of what adds to it or replaces it.

    Args:
        language_model: the model that a run is about
    """

    name = PLAIN

    def __init__(self, language_model: ChineseModernBertForMaskedLM) -> None:
        super().__init__()
        self.language_model = language_model

    @property
    def config(self) -> ChineseModernBertConfig:
        """The language model's configuration, where the Trainer and its callbacks look for it."""
        return self.language_model.config

    @property
    def _keys_to_ignore_on_save(self) -> None:
        """What the Trainer asks of a model whose checkpoint lacks a tied matrix."""

    def activation_checkpointing_enable(self, **settings: Any) -> None:
        """Recompute activations of the language model in the backward pass."""
        self.language_model.activation_checkpointing_enable(**settings)

    def gradient_checkpointing_enable(self, **settings: Any) -> None:
        """Do the same under the name that older releases of Transformers call."""
        self.language_model.gradient_checkpointing_enable(**settings)

    def forward(
        self,
        input_ids: torch.Tensor,
        labels: torch.Tensor,
        document_ids: torch.Tensor,
        num_items_in_batch: torch.Tensor | int | None = None,
        own_items: torch.Tensor | int | None = None,
        progress: float = 0.0,
    ) -> dict[str, torch.Tensor]:
        """Return the loss of a batch and its parts.

        Args:
            input_ids, labels, document_ids: see `ObjectiveBatch`
            num_items_in_batch: see `Items.masked`
            own_items: see `Items.own`
            progress: training step / all steps

        Returns:
            `loss`, the weighted sum, and each part by its name, unweighted and detached.
        """
        batch = ObjectiveBatch(input_ids, labels, document_ids)
        parts = self.parts(batch, Items(num_items_in_batch, own_items))
        weights = self.weights(progress)
        total = torch.stack([weights.get(name, 1.0) * part for name, part in parts.items()]).sum()
        return {LOSS: total, **{name: part.detach() for name, part in parts.items()}}

    def parts(self, batch: ObjectiveBatch, items: Items) -> dict[str, torch.Tensor]:
        """Return the losses that are added up, by name; each is a sum divided by `items`."""
        return {MASKED: masked_loss(self.language_model, batch, items)[0]}

    def weights(self, progress: float) -> dict[str, float]:
        """Return the weight of parts at `progress`; a part that is not named counts once."""
        return {}

    def count_items(self, batch: ObjectiveBatch) -> torch.Tensor:
        """Return how many things, masked tokens aside, this objective's sums run over in a batch: a scalar, here 0."""
        return torch.zeros(())

    def prepare_step(
        self, samples: Sequence[dict[str, Any]], progress: float, device: torch.device, over_processes: bool
    ) -> None:
        """Give every micro-batch of a step what `forward` takes besides its columns: progress, and items of the step.

        With `over_processes` the items of all processes are added up, as the Trainer then does with labels.
        """
        total = torch.stack([self.count_items(ObjectiveBatch.from_inputs(inputs)) for inputs in samples]).sum().cpu()
        own_items = torch.from_numpy(sum_over_processes(total.numpy(), device)) if over_processes else total
        for inputs in samples:
            inputs.update(own_items=own_items.to(device), progress=progress)

    def logged_parts(self, outputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the parts of the loss, before their weights, by their names in a log."""
        return {f"{LOSS}_{name}": part for name, part in outputs.items() if name != LOSS}

    def predict(self, batch: ObjectiveBatch) -> torch.Tensor:
        """Return logits `(masked, V)` in reading order, for evaluation."""
        places = labelled_positions(batch.labels)
        return self.language_model(
            input_ids=batch.input_ids, document_ids=batch.document_ids, target_positions=places
        ).logits

    def split_state(self, state: Mapping[str, torch.Tensor] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the language model's tensors and the training-only ones, each under its own names."""
        state = self.state_dict() if state is None else state
        ours = {name for name in state if name.startswith(LANGUAGE_MODEL)}
        language_model = {name.removeprefix(LANGUAGE_MODEL): state[name] for name in state if name in ours}
        return language_model, {name: value for name, value in state.items() if name not in ours}

    def save(self, folder: Path, state: Mapping[str, torch.Tensor]) -> None:
        """Save the language model out of this module's tensors, and in a numbered checkpoint the training-only ones."""
        language_model, own = self.split_state(state)
        self.language_model.save_pretrained(folder, state_dict=language_model)
        if own and folder.name.startswith(PREFIX_CHECKPOINT_DIR):
            save_file({name: value.contiguous() for name, value in own.items()}, folder / OBJECTIVE_FILE)

    def load_own(self, folder: str | Path) -> None:
        """Load the training-only tensors of a checkpoint.

        Raises:
            ValueError: If the checkpoint holds others.
        """
        file, expected = Path(folder) / OBJECTIVE_FILE, self.split_state()[1]
        found = load_file(file) if file.is_file() else {}
        if expected.keys() != found.keys():
            different = ", ".join(sorted(expected.keys() ^ found.keys())[:3])
            raise ValueError(f"{file} does not fit objective '{self.name}' (first differences: {different})")
        super().load_state_dict(found, strict=False)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load this module's tensors, or those of the language model alone under its own names, as checkpoints hold."""
        if state_dict.keys() <= self.language_model.state_dict().keys():
            return self.language_model.load_state_dict(state_dict, strict, assign)
        return super().load_state_dict(state_dict, strict, assign)


def masked_loss(
    model: ChineseModernBertForMaskedLM, batch: ObjectiveBatch, items: Items
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss of the masked tokens, as the plain model computes it, and the hidden states `(B, L, H)`."""
    outputs = model.model(input_ids=batch.input_ids, document_ids=batch.document_ids)
    hidden_states = outputs.last_hidden_state
    logits = model.decoder(model.head(hidden_states[batch.selected]))
    labels = batch.labels[batch.selected]
    return labelled_cross_entropy(logits, labels, items.masked), hidden_states
