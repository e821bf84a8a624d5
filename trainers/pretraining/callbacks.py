"""Gives the model what differs between stages and is not in the batch: the RoPE bases."""

import logging
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from ..data.stages import Stage, stage_at

logger = logging.getLogger(__name__)


class StageCallback(TrainerCallback):
    """Give the model the RoPE bases of the stage that a step belongs to; the model reads them at every forward.

    Args:
        stages: Stages of the run.
        ends: Steps at which they end.
    """

    def __init__(self, stages: list[Stage], ends: list[int]) -> None:
        self.stages, self.ends = stages, ends

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Set the bases; where they are set already nothing happens."""
        stage = self.stages[stage_at(state.global_step, self.ends)]
        config = kwargs["model"].config
        wanted = {"full_attention": stage.global_rope_theta, "sliding_attention": stage.local_rope_theta}
        for layer_type, theta in wanted.items():
            if theta is not None and config.rope_parameters[layer_type]["rope_theta"] != theta:
                config.rope_parameters[layer_type]["rope_theta"] = theta
                logger.info("step %d: RoPE base of %s layers is now %g", state.global_step, layer_type, theta)
