"""Rotary tables against the frequencies of Transformers, for every type that both know."""

import pytest
import torch
from transformers import ModernBertConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from chinese_modernbert.modeling.rotary_chinese_modernbert import rotary_table

TRAINED = 512


@pytest.mark.parametrize("longest", [100, 2000])
@pytest.mark.parametrize("rope_type", ["linear", "dynamic", "yarn"])
def test_a_scaled_table_has_the_angles_of_transformers(rope_type: str, longest: int) -> None:
    parameters = {"rope_type": rope_type, "rope_theta": 10_000.0, "factor": 8.0}
    config = ModernBertConfig(
        hidden_size=128,
        num_attention_heads=2,
        max_position_embeddings=TRAINED,
        rope_parameters={"full_attention": dict(parameters), "sliding_attention": dict(parameters)},
    )
    frequencies, scale = ROPE_INIT_FUNCTIONS[rope_type](config, "cpu", seq_len=longest, layer_type="full_attention")
    positions = torch.arange(longest).unsqueeze(0)
    angles = positions.unsqueeze(-1) * frequencies
    table = rotary_table(positions, 64, parameters, longest, TRAINED)
    for half, sign in ((slice(0, 32), -1), (slice(32, 64), 1)):  # a head has each angle twice
        torch.testing.assert_close(table.cosine[..., half], angles.cos() * scale, atol=2e-4, rtol=0)
        torch.testing.assert_close(table.sine[..., half], sign * angles.sin() * scale, atol=2e-4, rtol=0)


def test_dynamic_scaling_leaves_texts_of_the_trained_length_alone() -> None:
    positions = torch.arange(TRAINED).unsqueeze(0)
    plain = {"rope_type": "default", "rope_theta": 10_000.0}
    scaled = {**plain, "rope_type": "dynamic", "factor": 8.0}
    wanted = rotary_table(positions, 64, plain, TRAINED, TRAINED)
    given = rotary_table(positions, 64, scaled, TRAINED, TRAINED)
    assert torch.equal(given.cosine, wanted.cosine)
    assert torch.equal(given.sine, wanted.sine)
