"""Rotary positions against Transformers: the tables of every type that both know, and the rotation."""

import pytest
import torch
from transformers import ModernBertConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.modernbert.modeling_modernbert import apply_rotary_pos_emb

from chinese_modernbert.modeling.rotary_chinese_modernbert import apply_rotary, rotary_table

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


@pytest.mark.parametrize("keeps_gradients", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_states_are_turned_as_in_transformers(dtype: torch.dtype, keeps_gradients: bool) -> None:
    states = torch.randn(1, 7, 2, 3, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    table = rotary_table(torch.arange(7).unsqueeze(0), 8, {"rope_type": "default", "rope_theta": 10_000.0}, 7, TRAINED)
    sine = torch.cat((table.sine[..., 4:], table.sine[..., 4:]), dim=-1)
    query, key = apply_rotary(states.requires_grad_(keeps_gradients), table).unbind(dim=2)
    theirs_query, theirs_key = (states[:, :, part].transpose(1, 2) for part in (0, 1))
    wanted = apply_rotary_pos_emb(theirs_query, theirs_key, table.cosine, sine)
    for given, expected in zip((query, key), wanted, strict=True):
        torch.testing.assert_close(given.transpose(1, 2), expected)
