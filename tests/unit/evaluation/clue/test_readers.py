import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chinese_modernbert.evaluation.clue.files import read_task
from chinese_modernbert.evaluation.clue.forms import parse_json
from chinese_modernbert.evaluation.clue.labels import observed_labels
from chinese_modernbert.evaluation.clue.readers import CHOICE_BLANK, READERS
from chinese_modernbert.evaluation.clue.rows import ParsedFile, Row
from chinese_modernbert.evaluation.clue.tasks import TASKS, Task
from chinese_modernbert.tokenization.entities import Span
from reference.clue_files import task_files


def read(task: Task, *files: Any) -> list:
    documents = [parse_json(json.dumps(content, ensure_ascii=False), "file") for content in files]
    return list(READERS[task.reader](documents, task))


def lines(task: Task, *rows: dict[str, Any]) -> list:
    document = ParsedFile("file", [Row(f"file:{i}", row) for i, row in enumerate(rows, start=1)], None)
    return list(READERS[task.reader]([document], task))


def test_a_pair_keeps_its_order_its_label_and_its_number() -> None:
    (one,) = lines(TASKS["ocnli"], {"sentence1": "甲", "sentence2": "乙", "label": "contradiction", "id": 7})
    assert (one.identity, one.texts, one.label, one.group) == (7, ("甲", "乙"), 2, "甲")


def test_rows_without_agreement_are_passed_by() -> None:
    assert lines(TASKS["ocnli"], {"sentence1": "甲", "sentence2": "乙", "label": "-"}) == []


def test_keywords_come_before_the_abstract_and_the_abstract_is_the_group() -> None:
    (one,) = lines(TASKS["csl"], {"keyword": ["甲", "乙"], "abst": "丙", "label": "1", "id": 3})
    assert (one.texts, one.group) == (("甲；乙", "丙"), "丙")


def test_a_span_that_is_not_at_its_offset_is_named_with_its_line() -> None:
    target = {"span1_index": 0, "span1_text": "甲", "span2_index": 1, "span2_text": "丙"}
    with pytest.raises(ValueError, match=r"file:1: span2_text '丙' is not at span2_index=1"):
        lines(TASKS["cluewsc2020"], {"text": "甲乙", "target": target, "label": "true"})


def test_dialogue_turns_stay_apart_and_the_answer_is_a_number() -> None:
    question = {"question": "谁?", "choice": ["甲", "乙", "丙"], "answer": "乙"}
    (one,) = read(TASKS["c3"], [[["男：一", "女：二"], [question], "1"]])
    assert one.texts == ("男：一\n女：二", "谁?")
    assert (one.choices, one.label, one.group) == (("甲", "乙", "丙"), 1, one.texts[0])


def test_an_answer_that_is_no_choice_is_refused() -> None:
    with pytest.raises(ValueError, match="none of the choices"):
        read(TASKS["c3"], [[["男：一"], [{"question": "谁?", "choice": ["甲", "乙"], "answer": "丁"}], "1"]])


def test_every_blank_is_a_question_of_its_own() -> None:
    row = {"content": ["一#idiom000001#二#idiom000002#三"], "candidates": ["甲", "乙"]}
    found = read(TASKS["chid"], [row], {"#idiom000001#": 1, "#idiom000002#": 0})
    assert [one.texts[0] for one in found] == [f"一{CHOICE_BLANK}二……三", f"一……二{CHOICE_BLANK}三"]
    assert [one.label for one in found] == [1, 0]
    assert found[0].group == found[1].group


def test_the_offset_of_an_answer_is_that_of_the_occurrence_nearest_to_the_one_stated() -> None:
    context = "日本和日本人"
    qas = [
        {
            "id": "1",
            "question": "?",
            "answers": [{"text": "日本", "answer_start": 4}, {"text": "美国", "answer_start": 0}],
        }
    ]
    (one,) = read(TASKS["cmrc2018"], {"data": [{"paragraphs": [{"context": context, "qas": qas}]}]})
    assert one.answers == (("日本", 3), ("美国", -1))


def test_placeholder_answers_are_no_gold() -> None:
    qas = [{"id": "1", "question": "?", "answers": [{"text": "FAKE_ANSWER_1", "answer_start": -1}]}]
    (one,) = read(TASKS["cmrc2018"], {"data": [{"paragraphs": [{"context": "文", "qas": qas}]}]})
    assert not one.has_gold


def test_mentions_and_tags_give_the_same_entities() -> None:
    task = TASKS["cluener"]
    (mentions,) = lines(
        task, {"text": "他在北京abc读书", "label": {"address": {"北京": [[2, 3]]}, "book": {"abc": [[4, 6]]}}}
    )
    tags = ["O", "O", "B-address", "I-address", "B-book", "O", "O"]
    (tokens,) = lines(task, {"tokens": ["他", "在", "北", "京", "abc", "读", "书"], "labels": tags})
    assert mentions.texts == tokens.texts
    assert mentions.entities == tokens.entities == (Span(2, 4, "address"), Span(4, 7, "book"))


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-name I-name I-name O", [(0, 3)]),
        ("B-name M-name E-name O", [(0, 3)]),
        ("B-name I-name E-name S-name", [(0, 3), (3, 4)]),
        ("S-name S-name B-name E-name", [(0, 1), (1, 2), (2, 4)]),
        ("B-name E-name B-name E-name", [(0, 2), (2, 4)]),
        ("B-name E-name I-name O", [(0, 2), (2, 3)]),  # what is closed stays closed
        ("B-name O I-name I-name", [(0, 1), (2, 4)]),
        ("I-name I-name O O", [(0, 2)]),  # an I without a B begins one, as seqeval does by default
    ],
)
def test_bio_bmes_and_bioes_tags_give_whole_entities(tags: str, expected: list[tuple[int, int]]) -> None:
    (one,) = lines(TASKS["cluener"], {"tokens": list("甲乙丙丁"), "labels": tags.split()})
    assert one.entities == tuple(Span(start, end, "name") for start, end in expected)


@pytest.mark.parametrize(
    "tags", [[1, 2, 2, 0], ["B_PER", "I_PER", "O", "O"], ["B-", "O", "O", "O"], ["U-PER"] + ["O"] * 3]
)
def test_tags_of_another_kind_are_refused_with_their_line(tags: list[Any]) -> None:
    document = ParsedFile("file", [Row("file:1", {"tokens": list("甲乙丙丁"), "labels": tags})], None)
    task = replace(TASKS["cluener"], labels=("PER",))
    for read_tags in (observed_labels, lambda *given: list(READERS["cluener"](*given))):
        with pytest.raises(ValueError, match=f"file:1: tag {tags[0]!r} is not O or a type after B-, I-, M-, E- or S-"):
            read_tags([document], task)


def test_latin_words_of_a_token_file_keep_a_space_between_them() -> None:
    (one,) = lines(TASKS["cluener"], {"tokens": ["New", "York", "市"], "labels": ["B-address", "I-address", "O"]})
    assert one.texts == ("New York市",)
    assert one.entities == (Span(0, 8, "address"),)


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("afqmc", {"sentence1": "甲", "label": "0"}, "file:1: the row has no field 'sentence2'"),
        ("afqmc", {"sentence1": "甲", "sentence2": 3, "label": "0"}, "field 'sentence2' is int, expected str"),
        ("afqmc", {"sentence1": "甲", "sentence2": "乙", "label": "2"}, "label '2' of afqmc is not one of 0, 1"),
        ("cluener", {"text": "甲乙", "label": {"address": {"丙": [[0, 0]]}}}, "'丙' is not at"),
        ("cluener", {"text": "甲", "label": {"planet": {"甲": [[0, 0]]}}}, "entity type 'planet'"),
        ("cluener", {"tokens": ["甲"], "labels": []}, "1 tokens but 0 labels"),
    ],
)
def test_a_wrong_row_is_named_by_file_and_line(name: str, row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lines(TASKS[name], row)


@pytest.mark.parametrize("name", TASKS)
def test_every_layout_is_read_from_a_folder(name: str, tmp_path: Path) -> None:
    for file, content in task_files(name).items():
        (tmp_path / file).write_text(content, encoding="utf-8")
    found = read_task(TASKS[name], tmp_path)
    assert all(example.has_gold for example in found.splits["train"])
    assert not any(example.has_gold for example in found.splits["test"]) or name == "drcd"
    assert len({example.identity for example in found.splits["test"]}) == len(found.splits["test"])
