"""The encoder as Transformers' users handle it: outputs, kernels, checkpointing, precision, export, resizing, LoRA."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model

from chinese_modernbert.modeling import (
    ChineseModernBertForMaskedLM,
    ChineseModernBertForSequenceClassification,
    ChineseModernBertModel,
)
from chinese_modernbert.modeling.rotary_chinese_modernbert import rotary_table


def ids_of(*shape: int) -> torch.Tensor:
    return torch.randint(5, 211, shape, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def model(tiny_config) -> ChineseModernBertModel:
    torch.manual_seed(0)
    return ChineseModernBertModel(tiny_config()).eval()


def test_exactly_one_of_ids_and_embeddings_is_due(model) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        model()
    with pytest.raises(ValueError, match="exactly one"):
        model(input_ids=ids_of(1, 3), inputs_embeds=torch.zeros(1, 3, 64))


@torch.no_grad()
def test_embeddings_in_place_of_ids_give_the_same(model) -> None:
    ids = ids_of(2, 9)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    given = model(inputs_embeds=model.get_input_embeddings()(ids), attention_mask=mask).last_hidden_state
    assert torch.equal(given, model(ids, attention_mask=mask).last_hidden_state)


@torch.no_grad()
def test_hidden_states_are_one_a_layer_and_the_final_output(model) -> None:
    mask = torch.tensor([[1] * 9, [1] * 4 + [0] * 5])
    output = model(ids_of(2, 9), attention_mask=mask, output_hidden_states=True)
    assert len(output.hidden_states) == 5
    assert {tuple(states.shape) for states in output.hidden_states} == {(2, 9, 64)}
    assert torch.equal(output.hidden_states[-1], output.last_hidden_state)
    assert output.last_hidden_state[1, 4:].abs().max() == 0


@pytest.mark.parametrize(("wanted", "kept"), [([0, 3], {0, 3}), (1, {1}), (0, {0}), ([-1, -5, 9], {4, 0}), ([], set())])
@torch.no_grad()
def test_chosen_hidden_states_are_kept_and_no_others(model, wanted: int | list[int], kept: set[int]) -> None:
    ids = ids_of(2, 9)
    every = model(ids, output_hidden_states=True).hidden_states
    chosen = model(ids, output_hidden_states=wanted).hidden_states
    assert {place for place, states in enumerate(chosen) if states is not None} == kept
    assert all(torch.equal(chosen[place], every[place]) for place in kept)


@torch.no_grad()
def test_attentions_are_given_under_any_kernel_and_sum_to_one(model) -> None:
    assert model.config._attn_implementation == "sdpa"
    output = model(ids_of(1, 200), output_attentions=True)
    torch.testing.assert_close(output.last_hidden_state, model(ids_of(1, 200)).last_hidden_state)
    assert len(output.attentions) == 4
    for weights, kind in zip(output.attentions, model.config.layer_types, strict=True):
        torch.testing.assert_close(weights.sum(-1), torch.ones(1, 4, 200))
        far = weights[0, :, 0, 65:].abs().max()
        assert (far == 0) == (kind == "sliding_attention")


@torch.no_grad()
def test_a_tuple_comes_out_where_no_dict_is_due(model) -> None:
    ids = ids_of(1, 9)
    assert torch.equal(model(ids, return_dict=False)[0], model(ids).last_hidden_state)


def test_checkpointed_gradients_equal_plain_ones(tiny_config) -> None:
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = ChineseModernBertForMaskedLM(tiny_config()).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        ids = ids_of(2, 100)
        model(ids, labels=ids).loss.backward()
        gradients.append(model.model.layers[1].attn.Wqkv.weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


def test_autocast_in_bfloat16_trains_and_keeps_float32_weights(tiny_config) -> None:
    torch.manual_seed(0)
    model = ChineseModernBertForMaskedLM(tiny_config()).train()
    ids = ids_of(2, 900)
    exact = model(ids, labels=ids).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(ids, labels=ids).loss
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=2e-2)
    loss.backward()
    assert model.model.layers[1].mlp.Wi.weight.grad.dtype == torch.float32


def test_autocast_does_not_round_positions() -> None:
    positions, parameters = torch.arange(8_000, 8_192).unsqueeze(0), {"rope_type": "default", "rope_theta": 10_000.0}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        table = rotary_table(positions, 64, parameters, 8_192, 8_192)
    for found, expected in zip(table, rotary_table(positions, 64, parameters, 8_192, 8_192), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("length", [40, 900])
@torch.no_grad()
def test_export_gives_one_graph_with_the_same_numbers_at_other_shapes(model, length: int) -> None:
    """Padding, a length under and one over the switch to bands, and a batch size that the export did not see."""

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.inner(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    sample = (ids_of(2, length), torch.ones(2, length, dtype=torch.long))
    shapes = ({0: torch.export.Dim("batch", min=1, max=8)}, {0: torch.export.Dim("batch", min=1, max=8)})
    program = torch.export.export(Encoder(), sample, dynamic_shapes=shapes)
    ids = ids_of(3, length)
    mask = (torch.arange(length) < torch.tensor([[length], [length // 2], [3]])).long()
    assert (program.module()(ids, mask) - model(ids, attention_mask=mask).last_hidden_state).abs().max() < 1e-4


@torch.no_grad()
def test_compiling_breaks_no_graph_and_does_not_recompile_for_every_length(model) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend="eager")
    counter = torch._dynamo.utils.counters
    counter.clear()
    for length in (20, 70, 100, 333, 500):
        ids = ids_of(2, length)
        expected = model(ids).last_hidden_state
        torch.testing.assert_close(compiled(ids).last_hidden_state, expected, atol=1e-4, rtol=1e-4)
    assert not counter["graph_break"]
    assert counter["stats"]["unique_graphs"] <= 3


def test_resizing_keeps_the_decoder_tied(tiny_config) -> None:
    model = ChineseModernBertForMaskedLM(tiny_config())
    before = model.model.embeddings.tok_embeddings.weight[:211].clone()
    model.resize_token_embeddings(256)
    assert model.decoder.out_features == model.config.vocab_size == 256
    assert model.decoder.weight is model.model.embeddings.tok_embeddings.weight
    assert torch.equal(model.decoder.weight[:211], before)
    assert model(ids_of(1, 4)).logits.shape == (1, 4, 256)


def test_lora_reaches_every_projection_and_saves_only_itself(tiny_config, tmp_path) -> None:
    model = ChineseModernBertForSequenceClassification(tiny_config())
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["Wqkv", "Wo", "Wi"], task_type="SEQ_CLS"))
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert sum("lora_A" in name for name in trained) == 4 * 4  # Wqkv, attn.Wo, Wi, mlp.Wo in four layers
    assert any("classifier" in name for name in trained)
    adapted(ids_of(2, 9), labels=torch.tensor([0, 1])).loss.backward()
    adapted.save_pretrained(tmp_path)
    assert (tmp_path / "adapter_model.safetensors").is_file()


def test_the_encoder_loads_from_a_masked_language_model_and_back(tiny_config, tmp_path) -> None:
    whole = ChineseModernBertForMaskedLM(tiny_config()).eval()
    whole.save_pretrained(tmp_path / "whole")
    encoder = ChineseModernBertModel.from_pretrained(tmp_path / "whole").eval()
    ids = ids_of(1, 30)
    assert torch.equal(encoder(ids).last_hidden_state, whole.model(ids).last_hidden_state)
    encoder.save_pretrained(tmp_path / "encoder")
    back, report = ChineseModernBertForMaskedLM.from_pretrained(tmp_path / "encoder", output_loading_info=True)
    assert torch.equal(back.eval().model(ids).last_hidden_state, encoder(ids).last_hidden_state)
    assert all(name.startswith(("head.", "decoder.")) for name in report["missing_keys"])


def test_nothing_but_parameters_is_state(model) -> None:
    """A buffer would be uninitialised memory after loading in Transformers 5."""
    assert not list(model.buffers())


def test_residual_outputs_start_smaller_than_inputs(tiny_config) -> None:
    torch.manual_seed(0)
    config = tiny_config(hidden_size=256, intermediate_size=512, initializer_range=0.02)
    layer = ChineseModernBertModel(config).layers[1]
    cut = 0.8796  # deviation of a standard normal cut at two
    assert layer.attn.Wqkv.weight.std().item() == pytest.approx(0.02 * cut, rel=0.03)
    assert layer.mlp.Wo.weight.std().item() == pytest.approx(0.02 * cut / 8**0.5, rel=0.03)
    assert layer.mlp.Wi.weight.abs().max() <= 0.04


def test_what_cannot_run_says_so_when_the_model_is_built(tiny_config) -> None:
    with pytest.raises((ImportError, ValueError)):
        ChineseModernBertModel._from_config(tiny_config(), attn_implementation="flash_attention_2")


@pytest.mark.skipif(torch.cuda.is_available(), reason="the kernel runs where CUDA is")
def test_the_variable_length_kernel_names_what_it_needs(tiny_config) -> None:
    with pytest.raises(ImportError, match=r"needs CUDA and a torch.*'sdpa'"):
        ChineseModernBertModel._from_config(tiny_config(), attn_implementation="varlen_attn")
    model = ChineseModernBertModel(tiny_config())
    with pytest.raises(ImportError, match="varlen_attn"):
        model.set_attn_implementation("varlen_attn")
    assert model.config._attn_implementation == "sdpa"


def test_a_kernel_without_dropout_is_refused_where_dropout_is_due(tiny_config) -> None:
    with pytest.raises(ValueError, match=r"flex_attention cannot drop.*attention_dropout=0\.1"):
        ChineseModernBertModel._from_config(tiny_config(attention_dropout=0.1), attn_implementation="flex_attention")


HOLE = [[1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1]]
DESCRIPTIONS: dict[str, dict[str, list[list[int]]]] = {
    "a number that comes again": {"document_ids": [[7, 7, 7, 7, 8, 8, 8, 8, 7, 7, 7, 7]]},
    "a hole in the mask": {"attention_mask": HOLE},
    "a hole in the document": {"document_ids": [[0, 0, 0, 0, -1, -1, 0, 0, 0, 0, 0, 0]]},
    "a hole in the mask of a document": {"document_ids": [[0] * 12], "attention_mask": HOLE},
    "padding on the left": {"attention_mask": [[0] * 3 + [1] * 9]},
    "padding between documents": {"document_ids": [[-1, 3, 3, 3, -1, 3, 3, 5, 5, 5, 5, -1]]},
}


@torch.no_grad()
@pytest.mark.parametrize("rope_type", ["default", "dynamic"])
@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_dense_and_flat_layouts_give_the_same_numbers(tiny_config, name: str, rope_type: str) -> None:
    rope = {"rope_type": rope_type, **({"factor": 4.0} if rope_type == "dynamic" else {})}
    config = tiny_config(local_attention=4, max_position_embeddings=4, rope_parameters={"full_attention": rope})
    torch.manual_seed(0)
    model = ChineseModernBertModel(config).eval()
    ids = torch.randint(5, 211, (1, 12))
    given = {key: torch.tensor(value) for key, value in DESCRIPTIONS[name].items()}
    states = {}
    for kernel in ("sdpa", "eager"):
        model.set_attn_implementation(kernel)
        states[kernel] = model(input_ids=ids, **given).last_hidden_state
    torch.testing.assert_close(states["eager"], states["sdpa"])


@torch.no_grad()
@pytest.mark.parametrize("kernel", ["sdpa", "eager", "flex_attention"])
def test_hidden_states_are_zero_at_padding_and_where_there_is_nothing_else(tiny_config, kernel: str) -> None:
    model = ChineseModernBertModel(tiny_config(attn_implementation=kernel)).eval()
    for mask in (torch.tensor([[0, 1, 1, 1], [1, 1, 0, 0]]), torch.zeros(2, 4, dtype=torch.int64)):
        for given in ({"attention_mask": mask}, {"document_ids": mask - 1}):
            found = model(input_ids=torch.full((2, 4), 7), output_hidden_states=True, **given)
            for states in (found.last_hidden_state, *found.hidden_states):
                assert torch.equal(states.abs().sum(dim=-1) > 0, mask == 1)


def test_gradients_of_hidden_states_can_be_asked_for_beside_padding(tiny_config) -> None:
    model = ChineseModernBertModel(tiny_config(attn_implementation="eager"))
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
    found = model(input_ids=torch.full((2, 4), 7), attention_mask=mask, output_hidden_states=True)
    for states in found.hidden_states:
        states.retain_grad()
    found.last_hidden_state.square().sum().backward()
    assert all(states.grad.abs().sum() > 0 for states in found.hidden_states)


@torch.no_grad()
def test_a_hole_is_the_same_however_it_is_given(tiny_config) -> None:
    torch.manual_seed(0)
    model = ChineseModernBertModel(tiny_config(local_attention=4)).eval()
    ids, found = torch.randint(5, 211, (1, 12)), []
    for name in ("a hole in the mask", "a hole in the document", "a hole in the mask of a document"):
        given = {key: torch.tensor(value) for key, value in DESCRIPTIONS[name].items()}
        found.append(model(input_ids=ids, **given).last_hidden_state)
    torch.testing.assert_close(found[1], found[0])
    torch.testing.assert_close(found[2], found[0])
