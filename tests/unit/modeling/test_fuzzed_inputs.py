"""Every combination of a forward's arguments gives the numbers of each document alone, or is refused in one line."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from chinese_modernbert.modeling import (
    ChineseModernBertConfig,
    ChineseModernBertForMaskedLM,
    ChineseModernBertForMultipleChoice,
    ChineseModernBertForQuestionAnswering,
    ChineseModernBertForSequenceClassification,
    ChineseModernBertModel,
)
from chinese_modernbert.modeling.heads_chinese_modernbert import BY_TOKEN
from reference.slow_documents import Given, is_refused, real_tokens, shape_of, slow_states

VOCABULARY, HIDDEN, LAYERS = 61, 32, 3
TOLERANCE = {"atol": 2e-5, "rtol": 1e-4}
EXAMPLES = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@cache
def build(model_class: Any, kernel: str, **overrides: Any) -> Any:
    """Return a random model with a window of 4, equal for every kernel."""
    torch.manual_seed(0)
    config = ChineseModernBertConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        intermediate_size=48,
        local_attention=8,
        initializer_range=0.2,
        attn_implementation=kernel,
        **overrides,
    )
    return model_class(config).eval()


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {kernel: build(ChineseModernBertModel, kernel) for kernel in ("sdpa", "eager")}


def ints(low: int, high: int, *shape: int) -> st.SearchStrategy[torch.Tensor]:
    """Return tensors of whole numbers."""
    size = int(torch.tensor(shape).prod())
    values = st.lists(st.integers(low, high), min_size=size, max_size=size)
    return values.map(lambda numbers: torch.tensor(numbers, dtype=torch.int64).view(shape))


@st.composite
def runs(draw: st.DrawFn, rows: int, length: int) -> torch.Tensor:
    """Return ids `(rows, length)` in which neighbours are often equal, some negative."""
    changes = draw(ints(0, 3, rows, length))
    return (changes == 0).long().cumsum(dim=1).remainder(3) - (draw(ints(0, 5, rows, length)) == 0).long() * 9


@st.composite
def positions(draw: st.DrawFn, rows: int, length: int) -> torch.Tensor:
    """Return positions that mostly count on and sometimes begin anew, of all rows or of one for all."""
    rows = draw(st.sampled_from([1, rows]))
    restart = draw(ints(0, 4, rows, length)) == 0
    index = torch.arange(length).expand(rows, -1)
    return index - index.where(restart, 0).cummax(dim=1).values + draw(st.integers(0, 2))


@st.composite
def bounds(draw: st.DrawFn, length: int) -> torch.Tensor:
    """Return boundaries of a flat row, some of documents without a token, seldom wrong ones."""
    inner = sorted(draw(st.lists(st.integers(0, length), max_size=4)))
    end = draw(st.sampled_from([length] * 9 + [length + 1]))
    return torch.tensor([0, *inner, end], dtype=torch.int32)


@st.composite
def arguments(draw: st.DrawFn, may_contradict: bool = True) -> Given:
    """Return arguments of the encoder's forward; several at once, as users and collators give them."""
    rows, length = draw(st.integers(1, 3)), draw(st.integers(1, 24))
    found: Given = {"input_ids": draw(ints(5, VOCABULARY - 1, rows, length))}
    seldom = st.sampled_from([False] * 5 + [True]) if may_contradict else st.just(False)
    choices = {
        "attention_mask": lambda: draw(ints(0, 1, rows, length)).to(
            draw(st.sampled_from([torch.int64, torch.bool, torch.float32]))
        ),
        "document_ids": lambda: draw(runs(rows, length)),
        "seq_idx": lambda: draw(runs(rows, length)).int(),
        "position_ids": lambda: draw(positions(rows, length)),
        "cu_seq_lens_q": lambda: draw(bounds(length)),
    }
    for name, choose in choices.items():
        fits = (name != "cu_seq_lens_q" or rows == 1) and not (name == "seq_idx" and "document_ids" in found)
        if draw(st.booleans() if fits else seldom):
            found[name] = choose()
    if "cu_seq_lens_q" in found or draw(seldom):
        lengths = found.get("cu_seq_lens_q", torch.tensor([0, length])).diff().tolist()
        if draw(st.booleans()):
            found["max_length_q"] = max(lengths) + draw(st.sampled_from([0, 0, 3, -1]))
        if draw(st.booleans()):
            found["cu_seq_lens_k"] = found.get("cu_seq_lens_q", torch.tensor([0, length])).clone()
            found["cu_seq_lens_k"][-1] += draw(st.sampled_from([0] * 5 + [1]))
        if draw(st.booleans()):
            found["max_length_k"] = found.get("max_length_q", max(lengths)) + draw(st.sampled_from([0] * 5 + [1]))
    if draw(seldom):
        name = draw(st.sampled_from(["attention_mask", "document_ids", "position_ids"]))
        found[name] = torch.ones(rows, length + 1, dtype=torch.int64)
    if draw(st.booleans()):
        found["inputs_embeds"] = torch.randn(rows, length, HIDDEN, generator=torch.Generator().manual_seed(length))
        if not draw(seldom):
            del found["input_ids"]
    return found


def run(model: Any, given: Given, **options: Any) -> Any:
    """Call a model; None where it refuses, in one line that is no accident of torch's."""
    try:
        return model(**given, **options)
    except (ValueError, TypeError) as error:
        assert "\n" not in str(error) and str(error)
        return None


@EXAMPLES
@given(given_=arguments(), kernel=st.sampled_from(["sdpa", "eager"]), attentions=st.booleans())
@torch.no_grad()
def test_the_encoder_gives_the_numbers_of_each_document_alone_or_refuses(
    models: dict[str, Any], given_: Given, kernel: str, attentions: bool
) -> None:
    found = run(models[kernel], given_, output_hidden_states=True, output_attentions=attentions)
    assert (found is None) == is_refused(given_)
    if found is not None:
        expected = slow_states(models["eager"], given_)
        torch.testing.assert_close(found.hidden_states, expected, **TOLERANCE)
        torch.testing.assert_close(found.last_hidden_state, expected[-1], **TOLERANCE)
        assert (found.attentions is not None) == attentions


wanted_states = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-6, 6),
    st.lists(st.integers(-6, 6), max_size=3),
    st.tuples(st.integers(-6, 6)),
)


@EXAMPLES
@given(given_=arguments(may_contradict=False), wanted=wanted_states, as_tuple=st.booleans())
@torch.no_grad()
def test_the_states_that_are_asked_for_are_those_and_no_others(
    models: dict[str, Any], given_: Given, wanted: Any, as_tuple: bool
) -> None:
    if is_refused(given_):
        return
    everything = models["sdpa"](**given_, output_hidden_states=True).hidden_states
    found = models["sdpa"](**given_, output_hidden_states=wanted, return_dict=not as_tuple)
    states = (found[1] if len(found) > 1 else None) if as_tuple else found.hidden_states
    if wanted is None or wanted is False:
        assert states is None
        return
    asked = [wanted] if isinstance(wanted, int) else wanted
    count = LAYERS + 1
    kept = set(range(count)) if wanted is True else {one % count for one in asked if -count <= one < count}
    assert {index for index, state in enumerate(states) if state is not None} == kept
    assert all(torch.equal(states[index], everything[index]) for index in kept)


@st.composite
def labels_of(draw: st.DrawFn, rows: int, length: int) -> Given:
    """Return labels, dense or with their positions, seldom not one for each."""
    labels = draw(ints(0, VOCABULARY - 1, rows, length)).where(draw(ints(0, 2, rows, length)) == 0, -100)
    if draw(st.booleans()):
        return {"labels": labels}
    places = draw(st.lists(st.integers(0, rows * length - 1), max_size=6))
    chosen = labels.flatten()[places]
    return {"labels": chosen[: draw(st.sampled_from([6] * 5 + [0]))], "target_positions": torch.tensor(places).long()}


@EXAMPLES
@given(data=st.data(), training=st.booleans(), items=st.sampled_from([None, 7, torch.tensor(7)]))
@torch.no_grad()
def test_logits_and_loss_of_masked_words_are_those_of_each_document_alone(
    models: dict[str, Any], data: st.DataObject, training: bool, items: Any
) -> None:
    model = build(ChineseModernBertForMaskedLM, "sdpa", sparse_prediction=data.draw(st.booleans())).train(training)
    given_ = data.draw(arguments(may_contradict=False))
    if is_refused(given_):
        return
    targets = data.draw(labels_of(*shape_of(given_)))
    labels, places = targets["labels"], targets.get("target_positions")
    found = run(model, {**given_, **targets}, num_items_in_batch=items)
    assert (found is None) == (places is not None and places.shape != labels.shape)
    if found is None:
        return
    twin = build(ChineseModernBertForMaskedLM, "eager")
    logits = twin.decoder(twin.head(slow_states(twin.model, given_)[-1]))
    if places is not None:
        logits = logits.flatten(0, 1)[places]
    elif training and model.config.sparse_prediction:
        logits = logits[labels != -100]
    torch.testing.assert_close(found.logits, logits, **TOLERANCE)
    chosen = labels.flatten()
    chosen = chosen if len(chosen) == logits.flatten(0, -2).shape[0] else chosen[chosen != -100]
    summed = cross_entropy(logits.flatten(0, -2), chosen, reduction="sum")
    count = int((labels != -100).sum()) if items is None else 7
    expected = summed / max(count, 1) if training else summed / count
    torch.testing.assert_close(found.loss, expected, equal_nan=True, **TOLERANCE)


@EXAMPLES
@given(given_=arguments(may_contradict=False), pooling=st.sampled_from(["mean", "cls"]))
@torch.no_grad()
def test_classes_choices_and_answers_leave_padding_out_in_whatever_way_it_was_told(
    models: dict[str, Any], given_: Given, pooling: str
) -> None:
    if is_refused(given_):
        return
    classifier = build(ChineseModernBertForSequenceClassification, "sdpa", num_labels=3, classifier_pooling=pooling)
    reader = build(ChineseModernBertForQuestionAnswering, "sdpa")
    chooser = build(ChineseModernBertForMultipleChoice, "sdpa", classifier_pooling=pooling)
    real = real_tokens(given_)
    for model in (classifier, reader, chooser):
        model.model.load_state_dict(models["eager"].state_dict())
    states = slow_states(models["eager"], given_)[-1]
    rows = zip(states, real, strict=True)
    first = [own[kept] if bool(kept.any()) else own[:1] for own, kept in rows]
    pooled = torch.stack([own.mean(dim=0) if pooling == "mean" else own[0] for own in first])
    torch.testing.assert_close(classifier(**given_).logits, classifier.classify(pooled), **TOLERANCE)
    by_token = {name: value.unsqueeze(0) for name, value in given_.items() if name in BY_TOKEN}  # the rows are choices
    torch.testing.assert_close(
        chooser(**{**given_, **by_token}).logits, chooser.classify(pooled).view(1, -1), **TOLERANCE
    )
    found = reader(**given_)
    for part, logits in enumerate((found.start_logits, found.end_logits)):
        torch.testing.assert_close(logits[real], reader.classify(states)[..., part][real], **TOLERANCE)
        assert bool((logits[~real] == torch.finfo(logits.dtype).min).all())
