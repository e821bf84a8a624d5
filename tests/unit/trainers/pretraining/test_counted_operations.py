"""The formula of operations a step against torch's own counter, at the full width and depth of the base model."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM
from chinese_modernbert.trainers.pretraining.throughput import Workload, training_flops

LAYERS = 22


# At 64 tokens a local layer sees as much as a global one. At 192 eager attention would compute the window's outside
# too, which the formula rightly leaves out, so there every layer is global.
@pytest.mark.parametrize(("length", "kinds"), [(64, None), (192, ["full_attention"] * LAYERS)])
def test_the_formula_counts_what_torch_counts_for_the_base_model(length: int, kinds: list[str] | None) -> None:
    config = ChineseModernBertConfig.preset("base", layer_types=kinds)
    model = ChineseModernBertForMaskedLM(config)
    model.set_attn_implementation("eager")
    labels = torch.full((1, length), -100)
    labels[0, : length // 4] = 7
    with FlopCounterMode(display=False) as counter:
        model(input_ids=torch.full((1, length), 7), labels=labels).loss.backward()
    work = Workload()
    work.add(np.zeros((1, length), dtype=np.int64), length // 4, window=config.local_attention // 2)
    assert training_flops(config, work) == pytest.approx(counter.get_total_flops(), rel=0.01)
