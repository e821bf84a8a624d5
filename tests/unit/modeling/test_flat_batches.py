"""A batch that comes flat, with its boundaries and the positions of its labels, needs nothing from the device."""

import pytest
import torch

from chinese_modernbert.modeling import ChineseModernBertForMaskedLM, kernels_chinese_modernbert
from chinese_modernbert.runtime.token_rows import IGNORED_LABEL

LENGTHS = [5, 40, 1, 19]


def flat_batch() -> dict[str, torch.Tensor]:
    """Return one row of documents of `LENGTHS` tokens, every third token labelled, in the padded batch's order."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 120, (1, sum(LENGTHS)), generator=generator)
    positions = torch.arange(0, ids.shape[1], 3)
    bounds = torch.tensor([0, *LENGTHS]).cumsum(0).to(torch.int32)
    labels = ids.flatten()[positions] - 1
    return {"input_ids": ids, "cu_seq_lens_q": bounds, "labels": labels, "target_positions": positions}


def padded_batch(flat: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the same documents as rows of a padded batch with dense labels."""
    labels = torch.full_like(flat["input_ids"].flatten(), IGNORED_LABEL)
    labels[flat["target_positions"]] = flat["labels"]
    ids, mask, dense = (torch.zeros(len(LENGTHS), max(LENGTHS), dtype=torch.int64) for _ in range(3))
    dense.fill_(IGNORED_LABEL)
    parts = zip(flat["input_ids"].flatten().split(LENGTHS), labels.split(LENGTHS), strict=True)
    for row, (own_ids, own_labels) in enumerate(parts):
        ids[row, : len(own_ids)], mask[row, : len(own_ids)], dense[row, : len(own_ids)] = own_ids, 1, own_labels
    return {"input_ids": ids, "attention_mask": mask, "labels": dense}


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize("fillers", [0, 3])
@pytest.mark.parametrize("longest", [None, 40, 64])
def test_loss_and_gradients_are_those_of_the_padded_batch(tiny_config, kernel: str, fillers: int, longest) -> None:
    flat = flat_batch()
    torch.manual_seed(0)
    model = ChineseModernBertForMaskedLM(tiny_config(attn_implementation=kernel))
    expected = model(**padded_batch(flat))
    expected.loss.backward()
    gradient = model.model.embeddings.tok_embeddings.weight.grad.clone()
    model.zero_grad()
    flat["labels"] = torch.nn.functional.pad(flat["labels"], (0, fillers), value=IGNORED_LABEL)
    flat["target_positions"] = torch.nn.functional.pad(flat["target_positions"], (0, fillers))
    found = model(**flat, max_length_q=longest)
    found.loss.backward()
    torch.testing.assert_close(found.loss, expected.loss)
    torch.testing.assert_close(found.logits[: len(expected.logits)], expected.logits)
    torch.testing.assert_close(model.model.embeddings.tok_embeddings.weight.grad, gradient, rtol=1e-4, atol=1e-6)


def test_no_value_is_read_on_the_host(tiny_config, monkeypatch: pytest.MonkeyPatch) -> None:
    # A tensor on the device `meta` has no values: whatever reads one, or decides by one, raises.
    def varlen(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *bounds: object, window_size: object
    ) -> torch.Tensor:
        assert bounds[2:] == (40, 40)
        return torch.empty_like(query) + 0 * (key + value)

    monkeypatch.setattr(kernels_chinese_modernbert, "varlen_attn", varlen)
    monkeypatch.setattr(kernels_chinese_modernbert, "_prefers_varlen", lambda *_: True)
    model = ChineseModernBertForMaskedLM(tiny_config()).to("meta")
    flat = {name: tensor.to("meta") for name, tensor in flat_batch().items()}
    model(**flat, max_length_q=40, num_items_in_batch=torch.tensor(22, device="meta")).loss.backward()
    with pytest.raises(NotImplementedError, match=r"aten::_local_scalar_dense|meta"):
        model(**flat)  # the longest document is not known


@pytest.mark.parametrize("training", [True, False])
def test_positions_alone_give_their_logits_and_no_loss(tiny_config, training: bool) -> None:
    flat = flat_batch()
    torch.manual_seed(0)
    model = ChineseModernBertForMaskedLM(tiny_config()).train(training)
    expected = model(**flat).logits
    del flat["labels"]
    found = model(**flat)
    assert found.loss is None and found.logits.shape == (22, model.config.vocab_size)
    assert torch.equal(found.logits, expected)


def test_labels_and_their_positions_belong_together(tiny_config) -> None:
    flat, model = flat_batch(), ChineseModernBertForMaskedLM(tiny_config())
    with pytest.raises(ValueError, match=r"target_positions has shape \(22,\) and labels \(21,\); give one label"):
        model(**{**flat, "labels": flat["labels"][1:]})
    with pytest.raises(ValueError, match="a document of 40 tokens and max_length_q=39"):
        model(**flat, max_length_q=39)
