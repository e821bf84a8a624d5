"""Objectives other than plain masked language modeling, against dense formulas and loops over positions."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM
from chinese_modernbert.trainers.masking import ClassLoss, Masker, MaskVocabulary, Replace, TokenUnits
from chinese_modernbert.trainers.masking.feedback_callback import labelled_positions
from chinese_modernbert.trainers.pretraining.objectives import (
    BagOfWords,
    Items,
    MaskedAutoEncoder,
    Objective,
    ObjectiveBatch,
    RetroMae,
    build_objective,
    check_objective,
    stop_ids,
)
from chinese_modernbert.trainers.pretraining.objectives.documents import find_documents, groups_by_length
from reference.objectives import dense_bag_loss, documents_of, rebuild_loss

CLS, SEP, MASK = 2, 3, 4
EXCLUDED = {0, 1, CLS, SEP, MASK, 7, 8}

Config = Callable[..., ChineseModernBertConfig]


@pytest.fixture
def model(tiny_config: Config) -> ChineseModernBertForMaskedLM:
    torch.manual_seed(0)
    return ChineseModernBertForMaskedLM(tiny_config(local_attention=8)).eval()


def make_batch(
    lengths: tuple[tuple[int, ...], ...] = ((9, 5), (12,)), rate: float = 0.3, seed: int = 0
) -> ObjectiveBatch:
    """Return rows of 16 tokens with documents of some lengths, random text, masked at a rate."""
    generator = torch.Generator().manual_seed(seed)
    original = torch.zeros(len(lengths), 16, dtype=torch.int64)
    documents = torch.full_like(original, -1)
    for row, sizes in enumerate(lengths):
        first = 0
        for number, size in enumerate(sizes):
            text = torch.randint(5, 40, (size - 2,), generator=generator)
            original[row, first : first + size] = torch.cat((torch.tensor([CLS]), text, torch.tensor([SEP])))
            documents[row, first : first + size] = number
            first += size
    selected = (original >= 5) & (torch.rand(original.shape, generator=generator) < rate)
    labels = original.masked_fill(~selected, -100)
    return ObjectiveBatch(original.masked_fill(selected, MASK), labels, documents)


def plain_loss(model: ChineseModernBertForMaskedLM, batch: ObjectiveBatch) -> torch.Tensor:
    places = labelled_positions(batch.labels)
    labels = batch.labels.flatten()[places]
    return model(
        input_ids=batch.input_ids, document_ids=batch.document_ids, labels=labels, target_positions=places
    ).loss


# What all share


def test_the_text_before_masking_comes_back_from_ids_and_labels() -> None:
    assert torch.equal(make_batch(rate=0.5).original_ids, make_batch(rate=0.0).input_ids)


def test_the_masked_part_is_the_plain_models_loss_bit_for_bit(model: ChineseModernBertForMaskedLM) -> None:
    batch = make_batch()
    outputs = Objective(model)(batch.input_ids, batch.labels, batch.document_ids)
    assert torch.equal(outputs["loss"], plain_loss(model, batch))
    assert torch.equal(Objective(model).predict(batch).argmax(-1), model_predictions(model, batch))


def test_an_evaluation_computes_no_loss(model: ChineseModernBertForMaskedLM) -> None:
    losses = []
    model.register_forward_hook(lambda module, given, output: losses.append(output.loss))
    Objective(model).predict(make_batch())
    assert losses == [None]


def model_predictions(model: ChineseModernBertForMaskedLM, batch: ObjectiveBatch) -> torch.Tensor:
    full = model(input_ids=batch.input_ids, document_ids=batch.document_ids).logits
    return full[batch.selected].argmax(-1)


def test_documents_end_where_the_id_or_the_row_changes() -> None:
    documents = find_documents(torch.tensor([[0, 0, 1, -1], [1, 1, 1, -1]]))
    assert documents.start.tolist() == [0, 2, 3]
    assert documents.length.tolist() == [2, 1, 3]
    assert documents.position.tolist() == [0, 1, 0, 0, 1, 2]
    assert documents.token_index.tolist() == [0, 1, 2, 4, 5, 6]


def test_groups_hold_every_document_once_and_stay_within_their_cells() -> None:
    length = torch.tensor([3, 50, 7, 7, 2, 20])
    groups = list(groups_by_length(length, 400))
    assert sorted(torch.cat(groups).tolist()) == list(range(6))
    assert all(len(group) == 1 or len(group) * int(length[group].max()) ** 2 <= 400 for group in groups)


@pytest.mark.parametrize("kind", [BagOfWords, RetroMae, MaskedAutoEncoder])
def test_two_micro_batches_divided_by_the_steps_items_equal_one_large_batch(
    model: ChineseModernBertForMaskedLM, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = kind(model, np.array(sorted(EXCLUDED))) if kind is BagOfWords else kind(model)
    monkeypatch.setattr(RetroMae, "draw_visible", see_neighbours)
    both = make_batch()
    halves = [ObjectiveBatch(*(column[i : i + 1] for column in both[:3])) for i in range(2)]
    masked = both.selected.sum()
    own = torch.stack([objective.count_items(half) for half in halves]).sum()
    whole = objective(*both[:3])["loss"]
    summed = sum(objective(*half[:3], num_items_in_batch=masked, own_items=own)["loss"] for half in halves)
    torch.testing.assert_close(summed, whole)


def see_neighbours(self: RetroMae, length: torch.Tensor, longest: int) -> torch.Tensor:
    position = torch.arange(longest)
    near = (position.unsqueeze(1) - position.unsqueeze(0)).abs() == 1
    near[:, 0] = True
    return near.unsqueeze(0) & (position < length.unsqueeze(1)).unsqueeze(1)


@pytest.mark.parametrize("kind", [BagOfWords, RetroMae, MaskedAutoEncoder])
def test_every_parameter_gets_a_gradient_as_ddp_needs(model: ChineseModernBertForMaskedLM, kind: type) -> None:
    objective = kind(model, np.array(sorted(EXCLUDED))) if kind is BagOfWords else kind(model)
    objective.train()(*make_batch()[:3])["loss"].backward()
    assert [name for name, one in objective.named_parameters() if one.grad is None] == []


def test_states_of_language_model_and_training_only_parts_are_kept_apart(model: ChineseModernBertForMaskedLM) -> None:
    own, parts = RetroMae(model).split_state()
    assert own.keys() == model.state_dict().keys()
    assert {name.split(".")[0] for name in parts} == {"layer", "norm"}
    assert BagOfWords(model, np.array([0])).split_state()[1] == {}


# Bag of words


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_the_bag_loss_equals_the_dense_formula_document_by_document(
    model: ChineseModernBertForMaskedLM, pooling: str
) -> None:
    batch, objective = make_batch(), BagOfWords(model, np.array(sorted(EXCLUDED)), pooling)
    expected = []
    for row, columns in documents_of(batch.document_ids):
        hidden = model.model(input_ids=batch.input_ids[row : row + 1, columns]).last_hidden_state[0]
        pooled = hidden[0] if pooling == "cls" else hidden.mean(dim=0)
        ids = batch.original_ids[row, columns].tolist()
        expected.append(dense_bag_loss(model.decoder(model.head(pooled)), ids, EXCLUDED))
    found = objective.parts(batch, Items())["bag_of_words"]
    torch.testing.assert_close(found, torch.stack(expected).mean())
    assert int(objective.count_items(batch)) == 3


def test_stop_ids_are_in_no_bag_and_the_bag_does_not_depend_on_the_masks(model: ChineseModernBertForMaskedLM) -> None:
    objective = BagOfWords(model, np.array(sorted(EXCLUDED)))
    bags = []
    for rate in (0.0, 0.9):
        batch = make_batch(rate=rate)
        bags.append(objective.bags(batch, find_documents(batch.document_ids)))
    assert torch.equal(bags[0][0], bags[1][0]) and torch.equal(bags[0][1], bags[1][1])
    assert not EXCLUDED & set(bags[0][1].tolist())


def test_no_stop_id_is_pulled_up(model: ChineseModernBertForMaskedLM) -> None:
    """Without a target the gradient of a logit is its probability, exactly: nothing pulls towards a stop id."""
    ids = torch.full((1, 6), 7)
    ids[0, 0], ids[0, 3], ids[0, 5] = CLS, 20, SEP
    batch = ObjectiveBatch(ids, torch.full_like(ids, -100), torch.zeros_like(ids))
    logits = []

    def keep(module: object, args: object, output: torch.Tensor) -> None:
        output.retain_grad()
        logits.append(output)

    objective = BagOfWords(model, np.array(sorted(EXCLUDED)))
    model.decoder.register_forward_hook(keep)
    objective.parts(batch, Items())["bag_of_words"].backward()
    gradient, probability = logits[-1].grad[0], logits[-1].softmax(-1)[0]
    torch.testing.assert_close(gradient[7], probability[7])
    torch.testing.assert_close(gradient[20], probability[20] - 1)


def test_a_document_of_stop_words_alone_counts_for_nothing(model: ChineseModernBertForMaskedLM) -> None:
    ids = torch.tensor([[CLS, 7, SEP, CLS, 20, SEP]])
    batch = ObjectiveBatch(ids, torch.full_like(ids, -100), torch.tensor([[0, 0, 0, 1, 1, 1]]))
    objective = BagOfWords(model, np.array(sorted(EXCLUDED)))
    alone = ObjectiveBatch(*(column[:, 3:] for column in batch[:3]))
    assert int(objective.count_items(batch)) == 1
    torch.testing.assert_close(
        objective.parts(batch, Items())["bag_of_words"], objective.parts(alone, Items())["bag_of_words"]
    )


def test_the_weight_falls_from_one_to_a_tenth_on_a_cosine(model: ChineseModernBertForMaskedLM) -> None:
    objective = BagOfWords(model, np.array([0]))
    weights = [objective.weights(progress)["bag_of_words"] for progress in (0, 0.5, 1)]
    assert weights == pytest.approx([1, 0.55, 0.1])
    batch = make_batch()
    outputs = objective(*batch[:3], progress=0.5)
    torch.testing.assert_close(outputs["loss"], outputs["mlm"] + 0.55 * outputs["bag_of_words"])


def test_the_most_frequent_ids_stop_and_those_that_never_occur_do_not() -> None:
    assert stop_ids(np.array([0, 5, 9, 0, 7]), 2).tolist() == [2, 4]
    assert stop_ids(np.array([0, 5, 0, 0, 0]), 3).tolist() == [1]


# RetroMAE


def test_the_rebuilding_loss_equals_a_loop_over_positions(
    model: ChineseModernBertForMaskedLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, objective = make_batch(), RetroMae(model)
    drawn: dict[int, torch.Tensor] = {}
    draw = RetroMae.draw_visible

    def keep(self: RetroMae, length: torch.Tensor, longest: int) -> torch.Tensor:
        visible = draw(self, length, longest)
        drawn.update(zip(length.tolist(), visible, strict=True))  # the three lengths differ
        return visible

    monkeypatch.setattr(RetroMae, "draw_visible", keep)
    found = objective.parts(batch, Items())["retromae"]
    total, count = torch.zeros(()), 0
    for row, columns in documents_of(batch.document_ids):
        hidden = model.model(input_ids=batch.input_ids[row : row + 1, columns]).last_hidden_state[0]
        ids = batch.original_ids[row, columns].tolist()
        total = total + rebuild_loss(model, objective.layer, objective.norm, hidden[0], ids, drawn[len(ids)])
        count += len(ids) - 2
    torch.testing.assert_close(found, total / count)
    assert int(objective.count_items(batch)) == count


def test_a_position_sees_the_vector_never_itself_and_half_of_the_rest(model: ChineseModernBertForMaskedLM) -> None:
    visible = RetroMae(model).draw_visible(torch.tensor([200, 120]), 200)
    assert visible[:, :, 0].all()
    inner = visible[:, 1:, 1:]
    assert not inner.diagonal(dim1=1, dim2=2).any()
    assert not visible[1, :, 120:].any()
    assert float(visible[0, 1:, 1:].float().sum() / (199 * 198)) == pytest.approx(0.5, abs=0.01)
    assert not torch.equal(visible[0, 5], visible[0, 6])


def test_of_a_long_document_only_the_first_tokens_are_rebuilt(model: ChineseModernBertForMaskedLM) -> None:
    objective = RetroMae(model, max_tokens=5)
    assert int(objective.count_items(make_batch(((9, 5), (12,))))) == 4 + 3 + 4
    assert objective.parts(make_batch(), Items())["retromae"].isfinite()


# MAE-LM


def test_the_encoder_reads_no_mask_and_nothing_that_stands_at_masked_positions(
    model: ChineseModernBertForMaskedLM,
) -> None:
    seen: list[torch.Tensor] = []
    model.model.get_input_embeddings().register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    batch, objective = make_batch(rate=0.5), MaskedAutoEncoder(model)
    logits = objective.predict(batch)
    assert len(seen) == 1
    assert MASK not in seen[0]
    assert seen[0].numel() == int((batch.document_ids >= 0).sum() - batch.selected.sum())
    other = batch._replace(input_ids=batch.input_ids.masked_fill(batch.selected, 33))
    assert torch.equal(objective.predict(other), logits)


def test_with_nothing_masked_the_encoder_equals_the_plain_model(model: ChineseModernBertForMaskedLM) -> None:
    batch = make_batch(rate=0.0)
    plain = model.model(input_ids=batch.input_ids, document_ids=batch.document_ids).last_hidden_state
    assert torch.equal(MaskedAutoEncoder(model).encode(batch), plain)


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_tokens_that_are_left_keep_their_positions_and_their_documents(tiny_config: Config, kernel: str) -> None:
    torch.manual_seed(0)
    config = tiny_config()
    config._attn_implementation = kernel
    model = ChineseModernBertForMaskedLM(config).eval()
    batch = make_batch(rate=0.4)
    encoded = MaskedAutoEncoder(model).encode(batch)
    for row, columns in documents_of(batch.document_ids):
        kept = ~batch.selected[row, columns]
        alone = model.model(
            input_ids=batch.input_ids[row, columns][kept].unsqueeze(0),
            position_ids=torch.arange(len(kept))[kept].unsqueeze(0),
            document_ids=torch.zeros(1, int(kept.sum()), dtype=torch.int64),
        ).last_hidden_state[0]
        torch.testing.assert_close(encoded[row, columns][kept], alone, atol=1e-5, rtol=1e-5)
    assert not encoded[batch.selected].any()


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_the_window_counts_the_tokens_that_are_left(tiny_config: Config, kernel: str) -> None:
    """With a reach of 4 tokens and every second token gone, the first token is heard 8 positions away, not 10."""
    torch.manual_seed(0)
    config = tiny_config(num_hidden_layers=1, layer_types=["sliding_attention"], local_attention=8)
    config._attn_implementation = kernel
    model = ChineseModernBertForMaskedLM(config).eval()
    ids = torch.randint(5, 40, (1, 40))
    labels = torch.full_like(ids, -100)
    labels[0, 1::2] = ids[0, 1::2]
    batch = ObjectiveBatch(ids, labels, torch.zeros_like(ids))
    changed = ids.clone()
    changed[0, 0] = 50
    objective = MaskedAutoEncoder(model, decoder_layers=1)
    moved = (objective.encode(batch) != objective.encode(batch._replace(input_ids=changed))).any(-1)[0]
    assert moved.nonzero().flatten().tolist() == [0, 2, 4, 6, 8]


def test_the_decoder_follows_the_rope_bases_of_the_stage(model: ChineseModernBertForMaskedLM) -> None:
    objective, batch = MaskedAutoEncoder(model), make_batch()
    before = objective.predict(batch)
    filled = torch.randn(1, 16, 64)
    decoded = objective.decoder(inputs_embeds=filled).last_hidden_state
    model.config.rope_parameters["full_attention"]["rope_theta"] = 5.0
    assert not torch.allclose(objective.decoder(inputs_embeds=filled).last_hidden_state, decoded)
    assert not torch.allclose(objective.predict(batch), before)


# Names and options


def masker(mask: float = 1.0, **changes: object) -> Masker:
    keep = 1.0 - mask
    vocabulary = MaskVocabulary(211, MASK)
    return Masker(TokenUnits(), 0.3, Replace(vocabulary, mask=mask, random=0.0, keep=keep), **changes)


def test_options_reach_the_objective(model: ChineseModernBertForMaskedLM) -> None:
    def build(name: str, options: dict | None = None, mask: float = 1.0) -> Objective | None:
        return build_objective(name, options, model, masker(mask), [0, 1, 2, 3, 4], lambda: np.arange(211))

    assert build("mlm", mask=0.8) is None
    bag = build("bag_of_words", {"pooling": "mean", "stop_tokens": 2, "last_weight": 0})
    assert isinstance(bag, BagOfWords)
    assert bag.excluded.nonzero().flatten().tolist() == [0, 1, 2, 3, 4, 209, 210]
    assert (bag.pooling, bag.last_weight) == ("mean", 0)
    retromae, mae_lm = build("retromae", {"max_tokens": 64}), build("mae_lm", {"decoder_layers": 1})
    assert isinstance(retromae, RetroMae) and retromae.max_tokens == 64
    assert isinstance(mae_lm, MaskedAutoEncoder) and len(mae_lm.decoder.layers) == 1


def test_loss_weights_of_a_masker_go_with_the_plain_loss_alone(model: ChineseModernBertForMaskedLM) -> None:
    weighted = masker(class_loss=ClassLoss("term", np.array([2.0])))
    assert build_objective("mlm", None, model, weighted, [], lambda: np.zeros(211)) is None
    with pytest.raises(ValueError, match="no place for the loss weights"):
        check_objective("retromae", None, weighted)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bow", {}, "objective='bow' is unknown; use one of mlm, bag_of_words"),
        ("bag_of_words", {"poling": "cls"}, "no option 'poling'; did you mean 'pooling'"),
        ("bag_of_words", {"pooling": "max"}, "pooling='max' of bag_of_words is unknown"),
        ("bag_of_words", {"stop_tokens": -1}, "stop_tokens=-1"),
        ("mlm", {"weight": 1}, "objective 'mlm' has no option 'weight'; it has none"),
        ("retromae", {"decoder_mask_rate": "half"}, "is not like its default, 0.5"),
        ("retromae", {"decoder_mask_rate": 1.5}, "give a share from 0 to 1"),
        ("mae_lm", {"decoder_layers": 0}, "decoder_layers=0"),
        ("mae_lm", {"decoder_layers": 2.5}, "is not like its default, 4"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    model: ChineseModernBertForMaskedLM, name: str, options: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        build_objective(name, options, model, masker(), [0], lambda: np.arange(211))
    assert "\n" not in str(caught.value)


def test_mae_lm_wants_every_selected_token_to_be_a_mask(model: ChineseModernBertForMaskedLM) -> None:
    with pytest.raises(ValueError, match=r"mix: \[1.0, 0.0, 0.0\]"):
        build_objective("mae_lm", None, model, masker(0.8), [], lambda: np.zeros(211))
