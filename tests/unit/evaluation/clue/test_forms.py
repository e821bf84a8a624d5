"""Files of one's own: every form gives the rows of the same content as JSON lines, or an error with file and line."""

import csv
import gzip
import json
from pathlib import Path

import pytest

from chinese_modernbert.evaluation.clue.files import read_task
from chinese_modernbert.evaluation.clue.forms import FORMS, Layout, form_of, read_rows
from chinese_modernbert.evaluation.clue.own_tasks import read_own_task
from chinese_modernbert.evaluation.clue.readers import Example
from chinese_modernbert.tokenization.entities import Span

ROWS = [('今天，"天气"很好', "正"), ("他说：a,b", "负"), ("𠮷野家 ", "正")]
HEADER = ("text", "label")


def write(file: Path, content: str) -> Path:
    data = content.encode("utf-8")
    file.write_bytes(gzip.compress(data) if file.suffix == ".gz" else data)
    return file


def content_of(form: str) -> str:
    """Return `ROWS` as another program writes them: the json and csv modules, or tabs by hand."""
    if form == ".jsonl":
        return "".join(json.dumps(dict(zip(HEADER, row, strict=True)), ensure_ascii=False) + "\n" for row in ROWS)
    if form == ".json":
        return json.dumps([dict(zip(HEADER, row, strict=True)) for row in ROWS], ensure_ascii=False, indent=1)
    if form == ".csv":
        lines: list[str] = []
        writer = csv.writer(type("Lines", (), {"write": staticmethod(lines.append)}))
        writer.writerows([HEADER, *ROWS])
        return "".join(lines)
    named = [HEADER, *ROWS] if form == ".tsv" else ROWS
    return "".join("\t".join(row) + "\n" for row in named)


@pytest.mark.parametrize("compression", ["", ".gz"])
@pytest.mark.parametrize("form", [".jsonl", ".json", ".csv", ".tsv", ".txt"])
def test_every_form_gives_the_same_rows(form: str, compression: str, tmp_path: Path) -> None:
    file = write(tmp_path / f"rows{form}{compression}", "\ufeff" + content_of(form))
    found = list(read_rows(file, Layout()))
    assert [tuple(row.values.values()) for row in found] == ROWS
    assert all(tuple(row.values) == HEADER for row in found)
    if form != ".json":
        first = 2 if form in (".csv", ".tsv") else 1
        assert [row.location for row in found] == [f"{file}:{number}" for number in range(first, first + 3)]


def test_a_long_cell_and_a_line_feed_within_quotes_are_kept(tmp_path: Path) -> None:
    long = "长" * 200_000
    file = write(tmp_path / "rows.csv", f'text,label\n{long},a\n"一\n二",b\n')
    assert [row.values["text"] for row in read_rows(file, Layout())] == [long, "一\n二"]


def test_names_of_the_columns_may_be_given_and_the_label_may_be_missing_from_all_rows(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.csv", "1,甲,乙\n2,丙,丁\n")
    (first, _) = read_rows(file, Layout(columns=("id", "text", "label")))
    assert first.values == {"id": "1", "text": "甲", "label": "乙"}
    (only,) = read_rows(write(tmp_path / "test.txt", "甲\n"), Layout())
    assert only.values == {"text": "甲"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.csv", 'text,label\n"一,二\n', r"rows\.csv:2: not CSV"),
        ("rows.csv", "text,label\n一\n", r"rows\.csv:2 has 1 cells, the first line names 2: text, label"),
        ("rows.csv", "text,text\n一,二\n", r"rows\.csv:1: a column is named twice"),
        ("rows.tsv", "text\tlabel\n一\t二\t三\n", r"rows\.tsv:2 has 3 cells"),
        ("rows.txt", "一\t正\n二\n", r"rows\.txt:2 has 1 cells, the columns are 2: text, label"),
        ("rows.txt", "一\n二\t正\n", r"rows\.txt:2 has 2 cells, the columns are 1: text"),
        ("rows.conll", "北 B-x\n京\n", r"rows\.conll:2: expected a token and its tag, got '京'"),
        ("rows.jsonl", '{"text": 1\n', r"rows\.jsonl:1 is not valid JSON"),
        ("rows.xml", "", r"rows\.xml has an unknown suffix; readable are \.jsonl"),
    ],
)
def test_what_is_not_of_the_form_is_named_by_its_line(name: str, content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        list(read_rows(write(tmp_path / name, content), Layout()))


def test_quotes_in_a_file_of_tabs_are_text_and_it_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write(tmp_path / "rows.tsv", 'text\tlabel\n"好"\t正\n"未完\t负\n')
    assert [row.values["text"] for row in read_rows(file, Layout())] == ['"好"', '"未完']
    assert f"1 rows of {file} have a cell within quotes, the first is {file}:2" in caplog.text


def test_every_form_is_known_with_and_without_compression() -> None:
    assert {form_of(f"a{form}{more}") for form in FORMS for more in ("", ".gz", ".zst")} == set(FORMS)


CONLL = "-DOCSTART- -X- O\n\n北\tB-LOC\n京\tI-LOC\n \tO\n好\tO\n\n\n张 NN S-PER\n  O\n来 VV O\n"
TAGGED = [("北京 好", (Span(0, 2, "LOC"),)), ("张 来", (Span(0, 1, "PER"),))]


def entities(folder: Path, name: str, content: str, **keys: object) -> list[Example]:
    write(folder / name, content)
    task = {"kind": "entities", "train": name, "dev": name, **keys}
    (folder / "own.yaml").write_text(json.dumps(task), encoding="utf-8")
    return read_task(read_own_task(folder / "own.yaml"), "").splits["dev"]


@pytest.mark.parametrize("name", ["rows.conll", "rows.bio", "rows.txt", "rows.bmes.gz"])
def test_lines_of_tokens_and_tags_are_texts_with_entities(name: str, tmp_path: Path) -> None:
    found = entities(tmp_path, name, CONLL)
    assert [(example.texts[0], example.entities) for example in found] == TAGGED


@pytest.mark.parametrize(
    ("name", "content", "keys"),
    [
        ("rows.txt", "北 京 好\tB-LOC I-LOC O\n", {}),
        ("rows.txt", "北京好\tB-LOC I-LOC O\n", {}),
        ("rows.tsv", "text_a\tlabel\n北\x02京\x02好\tB-LOC\x02I-LOC\x02O\n", {"fields": ["text_a"]}),
        ("rows.csv", 'text,label\n北京好,"[{""start"": 0, ""end"": 2, ""label"": ""LOC""}]"\n', {}),
        (
            "rows.jsonl",
            '{"tokens": ["北", "京", "好"], "ner_tags": ["B-LOC", "I-LOC", "O"]}',
            {"label_field": "ner_tags"},
        ),
        (
            "rows.jsonl",
            '{"tokens": ["北", "京", "好"], "ner_tags": [1, 2, 0]}',
            {"label_field": "ner_tags", "labels": {"0": "O", "1": "B-LOC", "2": "I-LOC"}},
        ),
        ("rows.jsonl", '{"words": ["北", "京", "好"], "label": ["B-LOC", "I-LOC", "O"]}', {"fields": ["words"]}),
        ("rows.jsonl", '{"text": "北京好", "entities": [[0, 2, "LOC"]]}', {"label_field": "entities"}),
        ("rows.jsonl", '{"text": "北京好", "label": [{"start": 0, "end": 2, "label": "LOC", "text": "北京"}]}', {}),
        ("rows.jsonl", '{"text": "北京好", "label": {"place": {"北京": [[0, 1]]}}}', {"labels": {"place": "LOC"}}),
    ],
)
def test_entities_are_read_from_the_forms_in_which_others_write_them(
    name: str, content: str, keys: dict[str, object], tmp_path: Path
) -> None:
    (found,) = entities(tmp_path, name, content, **keys)
    assert (found.texts[0], found.entities) == ("北京好", (Span(0, 2, "LOC"),))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "北京", "label": [{"start": 0, "end": 3, "label": "LOC"}]}, r"rows\.jsonl:1: \[0, 3\) is no part of"),
        ({"text": "北京", "label": [{"start": 0, "label": "LOC"}]}, r"rows\.jsonl:1: entity .* is not start, end and"),
        ({"text": "北京", "label": [{"start": 0, "end": 1, "label": "L", "text": "京"}]}, r"'京' is not at \[0, 0\]"),
        ({"tokens": ["北"], "label": [3]}, r"tag 3 is not O .* \{0: O, 1: B-PER"),
        ({"tokens": ["北"], "label": []}, r"rows\.jsonl:1: 1 tokens but 0 labels"),
    ],
)
def test_entities_that_are_nowhere_are_named_by_their_line(
    row: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        entities(tmp_path, "rows.jsonl", json.dumps(row))


def labels(folder: Path, kind: str, content: str, name: str = "rows.tsv", **keys: object) -> list[object]:
    write(folder / name, content)
    (folder / "own.yaml").write_text(json.dumps({"kind": kind, "train": name, "dev": name, **keys}), encoding="utf-8")
    return [example.label for example in read_task(read_own_task(folder / "own.yaml"), "").splits["train"]]


def test_several_labels_are_a_list_or_a_cell_with_separators(tmp_path: Path) -> None:
    assert labels(tmp_path, "multi_label", "text\tlabel\n甲\ta, b\n乙\t\n丙\tb\n") == [(0, 1), (), (1,)]
    rows = '{"text": "甲", "label": ["b", "a", "b"]}\n{"text": "乙", "label": []}\n'
    assert labels(tmp_path, "multi_label", rows, "rows.jsonl") == [(0, 1), ()]
    changed = {"separator": "|", "labels": {"0": "x", "1": "y", "2": "x"}}
    assert labels(tmp_path, "multi_label", "text\tlabel\n甲\t0|2\n乙\t1|0\n", **changed) == [(0,), (0, 1)]


def test_a_number_is_read_and_anything_else_refused(tmp_path: Path) -> None:
    assert labels(tmp_path, "regression", "text\tlabel\n甲\t3\n乙\t-2.5e-1\n") == [3.0, -0.25]
    for wrong in ("高", "nan", "inf"):
        with pytest.raises(ValueError, match=rf"rows\.tsv:3: label '{wrong}' of own is not a number"):
            labels(tmp_path, "regression", f"text\tlabel\n甲\t3\n乙\t{wrong}\n")
    with pytest.raises(ValueError, match="train of own has 1 rows without a label, first 1"):
        labels(tmp_path, "regression", "text\tlabel\n甲\t3\n乙\t\n")


def test_labels_get_the_names_that_the_task_gives_them(tmp_path: Path) -> None:
    named = {"labels": {"1": "good", "0": "bad"}}
    assert labels(tmp_path, "classification", "甲\t0\n乙\t1\n丙\t 1\n", "rows.txt", **named) == [1, 0, 0]
    with pytest.raises(ValueError, match=r"rows\.txt:2: label '2' of own is not one of good, bad"):
        labels(tmp_path, "classification", "甲\t0\n乙\t2\n", "rows.txt", **named)
