"""Entities: character lists, spans, tags of tokens, and Transformers' own pipeline as the oracle of the way back."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForTokenClassification,
    PreTrainedTokenizerFast,
    TokenClassificationPipeline,
)
from transformers.modeling_outputs import TokenClassifierOutput

from chinese_modernbert.cli import SHIPPED_TOKENIZER
from chinese_modernbert.tokenization import fold_width, load_tokenizer, save_tokenizer
from chinese_modernbert.tokenization.entities import EntityTagging, Span, join_tokens, spans_of_tags, split_han

KINDS = ["place", "thing"]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """The shipped one, which spells no character of these texts in bytes."""
    return load_tokenizer(SHIPPED_TOKENIZER)


PIECES = [
    "我们",
    "在",
    "北京大学",
    "《公园》",
    "，",
    "”",
    "The",
    " model",
    " ",
    "  ",
    "12",
    "\n",
    "iPhone 15",
    "Ａ",
    "、",
    "……",
]
TEXTS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map("".join).filter(str.strip)


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (list("他1998年在NBA打球"), "他1998年在NBA打球"),
        (list("见iPhone15"), "见iPhone15"),
        (["New", "York", "市"], "New York市"),
        (["iPhone", "15", "在", "Ｎｅｗ", "York"], "iPhone 15在Ｎｅｗ York"),
        (["plan", "B", "5G", "网络"], "planB5G网络"),
        (["12", "3", "%"], "123%"),
        (["don't", "'s", "", "x"], "don't'sx"),
    ],
)
def test_a_blank_stands_between_latin_words_of_several_characters_only(tokens: list[str], text: str) -> None:
    joined, places = join_tokens(tokens)
    assert joined == text
    assert [joined[start:end] for start, end in places] == tokens


@pytest.mark.parametrize(
    "tags", ["O B-PER I-PER O B-PER", "O B-PER E-PER O S-PER", "O I-PER I-PER O I-PER", "O B-PER M-PER O S-PER"]
)
def test_every_scheme_of_tags_gives_the_same_spans(tags: str) -> None:
    assert spans_of_tags(list("在北京和沪"), tags.split()) == ("在北京和沪", [Span(1, 3, "PER"), Span(4, 5, "PER")])


@pytest.mark.parametrize(
    ("tags", "message"), [(["O"], "2 tokens but 1 labels"), (["O", 3], "tag 3 is not O or a type")]
)
def test_wrong_tags_are_refused(tags: list[object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spans_of_tags(["北", "京"], tags)


def is_border(text: str, place: int) -> bool:
    """Return whether a token may end at `place`: not within a Latin word, a number or a run of one mark."""
    before, after = fold_width(text[place - 1 : place]), fold_width(text[place : place + 1])
    return before != after and not all(one.isascii() and one.isalnum() for one in (before, after) if one)


@st.composite
def texts_with_entities(draw: st.DrawFn) -> tuple[str, list[Span]]:
    """A text with entities that begin and end between any two characters that a token may part."""
    text = draw(TEXTS)
    borders = [place for place in range(len(text) + 1) if place in (0, len(text)) or is_border(text, place)]
    chosen = draw(st.lists(st.sampled_from(borders), max_size=6, unique=True).map(sorted))
    pairs = zip(chosen[::2], chosen[1::2], strict=False)
    kept = [(start, end) for start, end in pairs if text[start:end] == text[start:end].strip()]
    return text, [Span(start, end, draw(st.sampled_from(KINDS))) for start, end in kept]


@pytest.fixture(scope="module")
def tagging(tokenizer: PreTrainedTokenizerFast) -> EntityTagging:
    return EntityTagging(tokenizer, KINDS)


@given(texts_with_entities())
def test_any_span_between_characters_comes_back_from_its_own_tags(
    tagging: EntityTagging, row: tuple[str, list[Span]]
) -> None:
    encoded = tagging.encode(*row)
    labels = [max(label, 0) for label in encoded["labels"]]
    assert tagging.spans(encoded["offset_mapping"], labels) == row[1]
    assert encoded["labels"][0] == encoded["labels"][-1] == -100


def test_han_characters_are_tokens_with_the_ids_that_they_have_alone(tokenizer: PreTrainedTokenizerFast) -> None:
    text = "我们在北京大学12 The model𠮷"
    assert "北京大学" in tokenizer.tokenize(text)
    split = split_han(tokenizer)
    assert split.tokenize(text)[:7] == list("我们在北京大学")
    assert split.tokenize("12 The model") == tokenizer.tokenize("12 The model")
    assert split.decode(split(text, add_special_tokens=False)["input_ids"]) == text
    assert split.get_vocab() == tokenizer.get_vocab()
    assert split_han(split) is split
    assert "北京大学" in tokenizer.tokenize(text)  # the one given is left as it was


def test_a_tokenizer_that_splits_characters_itself_is_left_alone() -> None:
    backend = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    assert split_han(tokenizer) is tokenizer


@pytest.fixture(scope="module")
def pipeline(tagging: EntityTagging, tmp_path_factory: pytest.TempPathFactory) -> TokenClassificationPipeline:
    """Transformers' pipeline on a folder, as a user has it after `save_pretrained`."""
    folder: Path = tmp_path_factory.mktemp("tagger")
    tagging.tokenizer.save_pretrained(folder)
    config = BertConfig(hidden_size=8, num_attention_heads=1, num_hidden_layers=1, intermediate_size=8, vocab_size=8)
    config.id2label, config.label2id = tagging.id2label, tagging.label2id
    model = BertForTokenClassification(config)
    return TokenClassificationPipeline(model=model, tokenizer=AutoTokenizer.from_pretrained(folder))


def answer_with(pipeline: TokenClassificationPipeline, logits: torch.Tensor) -> None:
    """Give the pipeline's model logits that it answers with."""
    pipeline.model.forward = lambda **_: TokenClassifierOutput(logits=logits)


@given(texts_with_entities(), st.integers(0, 2**31))
def test_the_pipeline_of_transformers_finds_the_same_spans(
    tagging: EntityTagging, pipeline: TokenClassificationPipeline, row: tuple[str, list[Span]], seed: int
) -> None:
    text, entities = row
    encoded = tagging.encode(text, entities)
    right = torch.eye(len(tagging.tags))[[max(label, 0) for label in encoded["labels"]]][None]
    noise = torch.rand(right.shape, generator=torch.Generator().manual_seed(seed))
    for logits in (9 * right, noise):
        answer_with(pipeline, logits)
        found = pipeline(text, aggregation_strategy="simple")
        spans = [Span(one["start"], one["end"], one["entity_group"]) for one in found]
        spans = [Span(start, start + len(text[start:end].rstrip()), kind) for start, end, kind in spans if end > start]
        expected = tagging.spans(encoded["offset_mapping"], logits[0].argmax(-1).tolist())
        assert [span for span in spans if span.end > span.start] == expected
        if logits is not noise:
            assert expected == entities


def test_a_row_for_a_trainer_holds_what_the_collator_of_transformers_reads(tagging: EntityTagging) -> None:
    row = tagging.encode("在北京", [Span(1, 3, "place")], truncation=True, max_length=4)
    assert row["labels"] == [-100, 0, 1, -100]
    assert json.dumps(row)  # plain lists
    with pytest.raises(ValueError, match="entity type 'person' is not one of place, thing"):
        tagging.encode("在北京", [Span(1, 3, "person")])


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("strategy", ["first", "max", "average"])
def test_other_strategies_need_the_characters_as_words(
    tagging: EntityTagging, pipeline: TokenClassificationPipeline, strategy: str
) -> None:
    text = "我在北京大学读书"
    labels = tagging.encode(text, [Span(2, 6, "place")])["labels"]
    answer_with(pipeline, 9 * torch.eye(len(tagging.tags))[[max(label, 0) for label in labels]][None])
    (fused,) = pipeline(text, aggregation_strategy=strategy) or [None]  # blanks alone part words there
    assert fused is None or (fused["start"], fused["end"]) == (0, len(text))
    [[found]] = pipeline([list(text)], is_split_into_words=True, aggregation_strategy=strategy)
    assert (found["start"] // 2, (found["end"] + 1) // 2, found["entity_group"]) == (2, 6, "place")


def test_the_saved_tokenizer_of_a_tagger_makes_the_same_tokens(tagging: EntityTagging, tmp_path: Path) -> None:
    text = "我在北京大学读iPhone 15的书"
    tagging.tokenizer(text, truncation=True, max_length=4)  # a setting of a call, which does not travel
    again = load_tokenizer(save_tokenizer(tagging.tokenizer, tmp_path))
    assert again(text)["input_ids"] == tagging.tokenizer(text)["input_ids"]
    assert again.tokenize(text)[:6] == list("我在北京大学")
