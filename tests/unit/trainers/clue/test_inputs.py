from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer, BertTokenizerFast, PreTrainedTokenizerBase

from chinese_modernbert.evaluation.clue.readers import CHOICE_BLANK, Example
from chinese_modernbert.evaluation.clue.tasks import TASKS
from chinese_modernbert.tokenization.entities import Span
from chinese_modernbert.trainers.clue import about
from chinese_modernbert.trainers.clue.about import lost_entities
from chinese_modernbert.trainers.clue.inputs import MultipleChoiceInputs, SequenceClassificationInputs, SpanInputs
from chinese_modernbert.trainers.clue.span_inputs import QuestionAnsweringInputs, TokenClassificationInputs
from reference.tiny_checkpoint import write_tiny_checkpoint

CONTEXT = "第三届会议在上海举行，北京是中国的首都。" * 6


@pytest.fixture(scope="module", params=["bpe", "wordpiece"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    folder = tmp_path_factory.mktemp("model")
    if request.param == "bpe":
        return AutoTokenizer.from_pretrained(write_tiny_checkpoint(folder))
    characters = sorted(set(CONTEXT + "甲乙丙丁他喜欢什么？男女：读书天气很好散步"))
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters]), "utf-8")
    return BertTokenizerFast(str(folder / "vocab.txt"))


def covered(feature: dict, mask: str) -> list[int]:
    return [token for token, inside in zip(feature["input_ids"], feature[mask], strict=True) if inside]


def test_labels_come_first_in_a_batch_and_test_rows_have_none(tokenizer: PreTrainedTokenizerBase) -> None:
    inputs = SequenceClassificationInputs(tokenizer, TASKS["afqmc"])
    batch = inputs.collate(inputs.encode([Example(0, ("北京", "上海"), 1), Example(1, ("天气很好", "散步"), 0)]))
    assert next(iter(batch)) == "labels" and batch["labels"].tolist() == [1, 0]
    assert "labels" not in inputs.collate(inputs.encode([Example(0, ("北京", "上海"))]))


def test_of_a_pair_the_longer_text_is_cut(tokenizer: PreTrainedTokenizerBase) -> None:
    (feature,) = SequenceClassificationInputs(tokenizer, TASKS["csl"], max_length=24).encode(
        [Example(0, ("北京", CONTEXT), 1)]
    )
    assert len(feature["input_ids"]) == 24
    text = tokenizer.decode(feature["input_ids"]).replace(" ", "")
    assert "北京" in text.split("[SEP]")[0]


def test_rows_that_are_cut_are_told_exactly(tokenizer: PreTrainedTokenizerBase) -> None:
    pair = Example(0, ("北京", CONTEXT), 1)
    length = len(tokenizer(*pair.texts)["input_ids"])
    for most, wanted in ((length, set()), (length - 1, {1})):
        inputs = SequenceClassificationInputs(tokenizer, TASKS["csl"], max_length=most)
        assert inputs.cut_numbers([Example(1, ("北", "京"), 0), pair]) == wanted
    question = Example(0, (CONTEXT, "什么？"), 1, choices=("甲", "乙"))
    assert MultipleChoiceInputs(tokenizer, TASKS["c3"], max_length=48).cut_numbers([question]) == {0}
    blank = Example(0, (f"{CONTEXT}{CHOICE_BLANK}{CONTEXT}",), 0, choices=("天气很好", "读书散步"))
    assert MultipleChoiceInputs(tokenizer, TASKS["chid"], max_length=64).cut_numbers([blank]) == {0}
    assert MultipleChoiceInputs(tokenizer, TASKS["chid"], max_length=512).cut_numbers([blank]) == set()
    answers = QuestionAnsweringInputs(tokenizer, TASKS["cmrc2018"], max_length=48)
    questions = [Example(0, ("什么？", CONTEXT)), Example(1, (CONTEXT, CONTEXT))]
    assert answers.cut_numbers(questions) == {1}  # windows cut nothing
    assert SequenceClassificationInputs(tokenizer, TASKS["csl"]).cut_numbers([]) == set()


@pytest.mark.parametrize("padding", [0, 100])
def test_the_marked_tokens_are_those_of_the_spans_even_in_a_long_text(
    padding: int, tokenizer: PreTrainedTokenizerBase
) -> None:
    text = "天气" * padding + "北京会议，他散步。"
    spans = (Span(text.index("会议"), text.index("会议") + 2), Span(text.index("他"), text.index("他") + 1))
    (feature,) = SpanInputs(tokenizer, TASKS["cluewsc2020"], max_length=32).encode(
        [Example(0, (text,), 1, spans=spans)]
    )
    assert "会议" in tokenizer.decode(covered(feature, "first_span")).replace(" ", "")
    assert "他" in tokenizer.decode(covered(feature, "second_span"))
    assert len(feature["first_span"]) == len(feature["input_ids"]) <= 32


def test_spans_that_cannot_both_be_seen_are_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    text = f"北京{'天气' * 100}他"
    spans = (Span(0, 2), Span(len(text) - 1, len(text)))
    with pytest.raises(ValueError, match="has no token within max_length=32"):
        SpanInputs(tokenizer, TASKS["cluewsc2020"], max_length=32).encode([Example(7, (text,), 1, spans=spans)])


def test_a_question_has_as_many_rows_as_choices(tokenizer: PreTrainedTokenizerBase) -> None:
    inputs = MultipleChoiceInputs(tokenizer, TASKS["c3"])
    examples = [
        Example(0, ("男：北京", "什么？"), 1, choices=("甲", "乙")),
        Example(1, ("女：上海", "什么？"), 0, choices=("甲", "乙", "丙")),
    ]
    batch = inputs.collate(inputs.encode(examples))
    assert batch["choice_counts"].tolist() == [2, 3]
    assert len(batch["input_ids"]) == 5


def test_the_blank_is_seen_in_a_passage_that_is_too_long(tokenizer: PreTrainedTokenizerBase) -> None:
    text = f"{CONTEXT}{CHOICE_BLANK}{CONTEXT}"
    inputs = MultipleChoiceInputs(tokenizer, TASKS["chid"], max_length=64)
    (feature,) = inputs.encode([Example(0, (text,), 0, choices=("天气很好", "读书散步"))])
    assert all(row["input_ids"].count(tokenizer.mask_token_id) == 4 for row in feature["rows"])
    assert all(len(row["input_ids"]) <= 64 for row in feature["rows"])


def test_blanks_of_one_row_take_different_idioms(tokenizer: PreTrainedTokenizerBase) -> None:
    inputs = MultipleChoiceInputs(tokenizer, TASKS["chid"])
    examples = [Example(i, (f"北{CHOICE_BLANK}",), 0, group="a", choices=("甲", "乙", "丙")) for i in range(2)]
    logits = np.array([[3.0, 2.0, 0.0], [3.0, 0.0, 0.0]])
    assert inputs.decode(logits, [], examples).values == [1, 0]
    apart = [examples[0], Example(1, examples[1].texts, 0, group="b", choices=examples[1].choices)]
    assert inputs.decode(logits, [], apart).values == [0, 0]


def test_padding_beyond_the_choices_is_never_chosen(tokenizer: PreTrainedTokenizerBase) -> None:
    inputs = MultipleChoiceInputs(tokenizer, TASKS["c3"])
    examples = [Example(0, ("北", "京"), 1, choices=("甲", "乙"))]
    found = inputs.decode(np.array([[-300.0, -200.0, -100.0, -100.0]]), [], examples)
    assert found.values == [1] and found.gold_log_probability[0] == pytest.approx(0.0)


def perfect_logits(feature: dict) -> np.ndarray:
    logits = np.zeros((len(feature["offsets"]), 2))
    logits[feature["labels"][0], 0] = logits[feature["labels"][1], 1] = 9.0
    return logits


@pytest.mark.parametrize("place", [0, 1, 5])
def test_an_answer_in_any_window_comes_back_exactly(place: int, tokenizer: PreTrainedTokenizerBase) -> None:
    answer = "上海"
    start = [i for i in range(len(CONTEXT)) if CONTEXT.startswith(answer, i)][place]
    example = Example(0, ("他喜欢什么？", CONTEXT), answers=((answer, start),))
    inputs = QuestionAnsweringInputs(tokenizer, TASKS["cmrc2018"], max_length=48)
    features = inputs.encode([example])
    assert len(features) > 1 and any(feature["labels"] != [0, 0] for feature in features)
    length = max(len(feature["offsets"]) for feature in features)
    logits = np.full((len(features), length, 2), -100.0)
    for row, feature in zip(logits, features, strict=True):
        row[: len(feature["offsets"])] = perfect_logits(feature)
    found = inputs.decode(logits, features, [example])
    assert answer in found.values[0] and len(found.values[0]) <= len(answer) + 2  # a token may reach over the border
    for feature in (feature for feature in features if feature["labels"] != [0, 0]):
        first, last = (feature["offsets"][label] for label in feature["labels"])
        assert first[0] <= start and start + len(answer) <= last[1]


def test_an_answer_never_lies_in_the_question_and_never_ends_before_it_starts(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    inputs = QuestionAnsweringInputs(tokenizer, TASKS["cmrc2018"], max_length=48)
    example = Example(0, ("上海北京什么？", "第三届会议"), answers=(("会议", 3),))
    features = inputs.encode([example])
    logits = np.zeros((1, len(features[0]["offsets"]), 2))
    logits[0, 1:3] = 50.0
    logits[0, -2, 0], logits[0, -3, 1] = 9.0, 9.0
    found = inputs.decode(logits, features, [example]).values[0]
    assert found and found in example.texts[1]


def test_a_question_that_is_too_long_leaves_room_for_the_passage(tokenizer: PreTrainedTokenizerBase) -> None:
    inputs = QuestionAnsweringInputs(tokenizer, TASKS["cmrc2018"], max_length=48)
    features = inputs.encode([Example(0, (CONTEXT, "第三届会议在上海举行"), answers=(("上海", 6),))])
    assert all(sum(place is not None for place in feature["offsets"]) for feature in features)


def test_entities_come_back_from_their_own_tags(tokenizer: PreTrainedTokenizerBase) -> None:
    inputs = TokenClassificationInputs(tokenizer, TASKS["cluener"])
    text = "他喜欢北京上海读书。"
    example = Example(0, (text,), entities=(Span(3, 5, "address"), Span(5, 7, "address"), Span(7, 9, "book")))
    (feature,) = inputs.encode([example])
    logits = np.full((1, len(feature["labels"]) + 3, len(inputs.tagging.tags)), -100.0)
    for i, label in enumerate(feature["labels"]):
        logits[0, i] = np.eye(len(inputs.tagging.tags))[max(label, 0)] * 9.0
    found = inputs.decode(logits, [feature], [example]).values[0]
    assert found == ["3:5:address", "5:7:address", "7:9:book"]


def test_every_byte_of_a_character_is_tagged_and_the_first_decides(tmp_path: Path) -> None:
    inputs = TokenClassificationInputs(AutoTokenizer.from_pretrained(write_tiny_checkpoint(tmp_path)), TASKS["cluener"])
    (feature,) = inputs.encode([Example(0, ("龘龘",), entities=(Span(0, 1, "name"),))])
    tags = [inputs.tagging.tags[label] for label in feature["labels"][1:-1]]
    assert len(tags) == 6
    assert tags == ["B-name", "I-name", "I-name", "O", "O", "O"]
    wrong = [0, *(inputs.tagging.label2id[tag] for tag in ("B-name", "O", "B-book", "O", "I-name", "O")), 0]
    assert inputs.tagging.spans(feature["offsets"], wrong) == [Span(0, 1, "name")]


def test_a_limit_shortens_the_tasks_length_but_refuses_ones_own(tokenizer: PreTrainedTokenizerBase) -> None:
    assert SequenceClassificationInputs(tokenizer, TASKS["iflytek"], 0, 512).max_length == 512
    with pytest.raises(ValueError, match="max_length=1024 is over the 512 tokens"):
        SequenceClassificationInputs(tokenizer, TASKS["iflytek"], 1_024, 512)


def test_entities_that_no_tags_give_are_counted(tokenizer: PreTrainedTokenizerBase, monkeypatch) -> None:
    task = replace(TASKS["cluener"], labels=("x",))
    monkeypatch.setattr(about, "EXAMPLES_AT_ONCE", 2)
    found = [
        ("北京读书", (Span(0, 2, "x"),)),
        ("北京Apple", (Span(0, 2, "x"), Span(3, 5, "x"))),
        (CONTEXT, (Span(60, 62, "x"),)),
    ]
    examples = [Example(i, (text,), entities=spans) for i, (text, spans) in enumerate(found)]
    # The last entity is beyond the length; "pp" lies within a token where letters are no tokens of their own.
    lost = 1 + isinstance(tokenizer, BertTokenizerFast)
    assert lost_entities(TokenClassificationInputs(tokenizer, task, max_length=32), examples) == [lost, 4]
    assert lost_entities(SequenceClassificationInputs(tokenizer, TASKS["tnews"]), examples) == [0, 0]
