"""Transformers' ModernBERT with the same weights is the oracle: every length, layout and kernel that runs here."""

from __future__ import annotations

import pytest
import torch

from chinese_modernbert.modeling import ChineseModernBertForMaskedLM, ChineseModernBertModel

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
KERNELS = ("eager", "sdpa")


def random_ids(*shape: int) -> torch.Tensor:
    return torch.randint(5, 211, shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("length", [1, 64, 65, 66, 127, 128, 129, 511, 1024, 4096])
@torch.no_grad()
def test_hidden_states_of_a_single_text_are_equal(twins, kernel: str, length: int) -> None:
    theirs, ours = twins
    ours.set_attn_implementation(kernel)
    if length > 1024:
        theirs.set_attn_implementation("sdpa")  # eager would keep four gigabytes of weights
    ids = random_ids(1, length)
    expected = theirs.model(ids).last_hidden_state
    assert (ours.model(ids).last_hidden_state - expected).abs().max() < 1e-5 * max(1.0, expected.abs().max().item())


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("lengths", [(7, 1, 3), (130, 129, 64), (900, 20, 300), (65, 65, 65)])
@pytest.mark.parametrize("side", ["right", "left"])
@torch.no_grad()
def test_logits_of_a_padded_batch_are_equal_on_real_tokens(twins, kernel: str, lengths: tuple, side: str) -> None:
    theirs, ours = twins
    ours.set_attn_implementation(kernel)
    ids = random_ids(len(lengths), max(lengths))
    place = torch.arange(max(lengths))
    place = place if side == "right" else place.flip(0)
    mask = (place < torch.tensor(lengths).unsqueeze(1)).long()
    expected = theirs(ids, attention_mask=mask).logits
    scale = expected.abs().max().item()
    difference = (ours(ids, attention_mask=mask).logits - expected) * mask.unsqueeze(-1)
    assert difference.abs().max() < 1e-5 * scale


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("description", ["document_ids", "position_ids", "cu_seq_lens_q"])
@torch.no_grad()
def test_packed_documents_are_equal_to_separate_ones(twins, kernel: str, description: str) -> None:
    theirs, ours = twins
    ours.set_attn_implementation(kernel)
    lengths = (130, 1, 66, 800, 27)
    ids = random_ids(1, sum(lengths))
    positions = torch.cat([torch.arange(length) for length in lengths]).unsqueeze(0)
    documents = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).unsqueeze(0)
    bounds = torch.tensor((0, *lengths)).cumsum(0).int()
    given = {"document_ids": documents, "position_ids": positions, "cu_seq_lens_q": bounds}[description]
    packed = ours.model(ids, **{description: given}).last_hidden_state
    expected = torch.cat([theirs.model(part).last_hidden_state for part in ids.split(lengths, dim=1)], dim=1)
    torch.testing.assert_close(packed, expected, **TOLERANCE)


@torch.no_grad()
def test_rows_of_packed_documents_with_a_padded_end_are_equal_to_separate_ones(twins) -> None:
    theirs, ours = twins
    ids = random_ids(2, 200)
    documents = torch.stack([torch.arange(200) // 70, torch.tensor([0] * 150 + [-1] * 50)])
    packed = ours.model(ids, document_ids=documents).last_hidden_state
    for row, first, last in ((0, 0, 70), (0, 70, 140), (0, 140, 200), (1, 0, 150)):
        alone = theirs.model(ids[row : row + 1, first:last]).last_hidden_state
        torch.testing.assert_close(packed[row : row + 1, first:last], alone, **TOLERANCE)
    assert packed[1, 150:].abs().max() == 0


@pytest.mark.parametrize("kernel", KERNELS)
@torch.no_grad()
def test_changing_one_document_changes_no_other(twins, kernel: str) -> None:
    _, ours = twins
    ours.set_attn_implementation(kernel)
    ids = random_ids(1, 300)
    documents = (torch.arange(300) // 100).unsqueeze(0)
    changed = ids.clone()
    changed[0, 100:200] = 7
    before, after = (ours.model(tokens, document_ids=documents).last_hidden_state for tokens in (ids, changed))
    difference = (before - after).abs().amax(dim=-1)[0]
    assert difference[:100].max() == 0
    assert difference[200:].max() == 0
    assert difference[100:200].min() > 0


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("length", [200, 1000])
@torch.no_grad()
def test_a_local_layer_sees_64_tokens_away_and_not_65(tiny_config, kernel: str, length: int) -> None:
    """One local layer: moving token i must move token j exactly where |i - j| <= 64."""
    torch.manual_seed(0)
    config = tiny_config(num_hidden_layers=1, layer_types=["sliding_attention"])
    model = ChineseModernBertModel(config).eval()
    model.set_attn_implementation(kernel)
    ids = random_ids(1, length)
    changed = ids.clone()
    changed[0, 100] = 5 + (ids[0, 100] - 4) % 200
    moved = (model(ids).last_hidden_state - model(changed).last_hidden_state).abs().amax(dim=-1)[0] > 0
    assert moved.nonzero().squeeze(1).tolist() == list(range(100 - 64, 100 + 65))


@torch.no_grad()
def test_window_thetas_and_layer_pattern_are_those_of_the_twin_also_when_unusual(tiny_config) -> None:
    from transformers import ModernBertConfig, ModernBertModel

    fields = {"local_attention": 32, "global_attn_every_n_layers": 2, "global_rope_theta": 500.0}
    sizes = {name: getattr(tiny_config(), name) for name in ("vocab_size", "hidden_size", "intermediate_size")}
    sizes |= {"num_hidden_layers": 4, "num_attention_heads": 4, "initializer_range": 0.2, "pad_token_id": 0}
    torch.manual_seed(3)
    theirs = ModernBertModel(ModernBertConfig(**sizes, **fields, local_rope_theta=90.0)).eval()
    config = tiny_config(**fields, local_rope_theta=90.0, norm_type="layernorm")
    ours = ChineseModernBertModel(config).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    ids = random_ids(1, 150)
    torch.testing.assert_close(ours(ids).last_hidden_state, theirs(ids).last_hidden_state, **TOLERANCE)


def test_training_gradients_are_equal_on_a_padded_batch(twins) -> None:
    theirs, ours = twins
    ids = random_ids(3, 150)
    mask = (torch.arange(150) < torch.tensor([[150], [90], [3]])).long()
    labels = torch.where((random_ids(3, 150) % 5 == 0) & (mask == 1), ids, -100)
    theirs.train()(ids, attention_mask=mask, labels=labels).loss.backward()
    ours.train()(ids, attention_mask=mask, labels=labels).loss.backward()
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        scale = expected[name].grad.abs().max()
        assert (parameter.grad - expected[name].grad).abs().max() <= 1e-4 * scale, name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_half_precision_is_as_near_to_float32_as_the_twin_is(twins, dtype: torch.dtype) -> None:
    theirs, ours = twins
    ids = random_ids(1, 1500)
    exact = ours.model(ids).last_hidden_state
    errors = [
        ((model.to(dtype).model(ids).last_hidden_state.float() - exact).norm() / exact.norm()).item()
        for model in (theirs, ours)
    ]
    assert errors[1] < max(1.5 * errors[0], 1e-3)


@torch.no_grad()
def test_sparse_logits_are_the_full_logits_at_labelled_places(twins) -> None:
    _, ours = twins
    ids = random_ids(2, 40)
    labels = torch.where(ids % 3 == 0, ids, -100)
    full, sparse = ours(ids).logits, ours.train()(ids, labels=labels)
    torch.testing.assert_close(sparse.logits, full[labels != -100], **TOLERANCE)
    expected = torch.nn.functional.cross_entropy(full[labels != -100], labels[labels != -100])
    torch.testing.assert_close(sparse.loss, expected)


def test_a_loaded_model_equals_the_saved_one(twins, tmp_path) -> None:
    _, ours = twins
    ours.save_pretrained(tmp_path)
    again = ChineseModernBertForMaskedLM.from_pretrained(tmp_path).eval()
    assert again.decoder.weight.data_ptr() == again.model.embeddings.tok_embeddings.weight.data_ptr()
    ids = random_ids(1, 300)
    with torch.no_grad():
        assert torch.equal(again(ids).logits, ours(ids).logits)
