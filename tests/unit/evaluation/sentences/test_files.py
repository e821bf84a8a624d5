"""Reading sentence sets: every kind becomes pairs and triplets as its meaning says, and wrong rows are named."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chinese_modernbert.evaluation.sentences.files import (
    FIELDS_OF_KIND,
    SENTENCE_SETS,
    ScoredPair,
    SentenceSet,
    Triplet,
    find_set,
    read_rows,
    triplets_from_pairs,
)

Write = Callable[..., SentenceSet]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write rows of JSON and return the set that describes them."""

    def make(kind: Any, fields: str, rows: list[dict], **more: Any) -> SentenceSet:
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "rows.jsonl").write_text(lines, encoding="utf-8")
        return SentenceSet("mine", "mine", kind, tuple(fields.split()), {"train": "rows.jsonl"}, **more)

    return make


def test_scores_are_scaled_and_rows_without_gold_are_counted(write: Write, tmp_path: Path) -> None:
    rows = [{"a": "甲", "b": "乙", "s": "5"}, {"a": "甲", "b": "丙", "s": 1}, {"a": "丁", "b": "戊", "s": "-"}]
    found = read_rows(write("scores", "a b s", rows, highest=5.0), "train", tmp_path)
    assert found.pairs == [ScoredPair("甲", "乙", 1.0), ScoredPair("甲", "丙", 0.2)]
    assert found.triplets == [Triplet("甲", "乙", ("丙",))]
    assert found.dropped == {"no gold label": 1}


def test_a_pair_labelled_0_gives_negatives_and_never_a_positive() -> None:
    pairs = [
        ScoredPair("甲", "乙", 0),
        ScoredPair("丙", "甲", 0),
        ScoredPair("甲", "丁", 1),
        ScoredPair("戊", "己", 0.5),
    ]
    assert triplets_from_pairs(pairs) == [Triplet("甲", "丁", ("乙", "丙"))]


def test_a_positive_of_any_row_is_a_negative_of_none(
    write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [
        {"q": "甲", "p": "乙", "n": ["丙", "丁"]},
        {"q": "甲", "p": ["丙", "戊"], "n": ["戊", "丁"]},
        {"q": "己", "p": "庚", "n": ["丙"]},
    ]
    found = read_rows(write("triplets", "q p n", rows), "train", tmp_path)
    expected = [("甲", "乙", ("丁",)), ("甲", "丙", ("丁",)), ("甲", "戊", ("丁",)), ("己", "庚", ("丙",))]
    assert found.triplets == [Triplet(*one) for one in expected]
    assert "rows.jsonl:1: a negative is a positive of the same text too, as in 2 rows of mine" in caplog.text


def test_triples_take_one_negative_a_list_or_none(write: Write, tmp_path: Path) -> None:
    rows = [{"q": "甲", "p": ["乙", "甲"], "n": ["丙", "乙"]}, {"q": "丁", "p": "戊", "n": "己"}]
    found = read_rows(write("triplets", "q p n", rows), "train", tmp_path)
    assert found.triplets == [Triplet("甲", "乙", ("丙",)), Triplet("丁", "戊", ("己",))]
    assert found.dropped == {"the positive is the anchor": 1}
    rows = [{"q": "甲", "p": "乙"}]
    assert read_rows(write("triplets", "q p", rows), "train", tmp_path).triplets == [Triplet("甲", "乙")]


@pytest.mark.parametrize("name", ["negative", "negative_1", "negatives"])
def test_negatives_that_would_not_be_read_are_refused(name: str, tmp_path: Path) -> None:
    rows = [{"anchor": "甲", "positive": "乙"}, {"anchor": "丙", "positive": "丁", name: "戊"}]
    file = tmp_path / "own.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"own.jsonl:2: field '{name}' would not be read; give negative in every row"):
        read_rows(find_set(str(file)), "train", "")


def test_inference_joins_what_follows_and_what_contradicts_by_premise(write: Write, tmp_path: Path) -> None:
    labels = [
        ("甲", "乙", "entailment"),
        ("甲", "丙", "contradiction"),
        ("甲", "丁", "neutral"),
        ("戊", "己", "contradiction"),
    ]
    rows = [{"s": s, "t": t, "l": label} for s, t, label in labels]
    found = read_rows(write("inference", "s t l", rows), "train", tmp_path)
    assert found.triplets == [Triplet("甲", "乙", ("丙",))]
    assert found.dropped == {"label neutral": 1, "premise without an entailment": 1}


def test_a_choice_takes_the_closer_text_as_positive(write: Write, tmp_path: Path) -> None:
    rows = [{"x": "甲", "y": "乙", "z": "丙", "l": 2}]
    found = read_rows(write("choice", "x y z l", rows), "train", tmp_path)
    assert found.triplets == [Triplet("甲", "丙", ("乙",))]


def test_a_passage_without_an_answer_answers_nothing(write: Write, tmp_path: Path) -> None:
    rows = [
        {"q": "甲", "p": "乙", "a": {"text": ["乙"], "answer_start": [-1]}},
        {"q": "甲", "p": "丙", "a": {"text": [""], "answer_start": [-1]}},
        {"q": "丁", "p": "戊", "a": []},
        {"q": "丁", "p": "己", "a": [" "]},
        {"q": "丁", "p": "己", "a": ["己"]},
    ]
    found = read_rows(write("answers", "q p a", rows), "train", tmp_path)
    expected = [("甲", "乙", 1.0), ("甲", "丙", 0.0), ("丁", "戊", 0.0), ("丁", "己", 1.0)]
    assert found.pairs == [ScoredPair(*one) for one in expected]
    assert found.triplets == [Triplet("甲", "乙", ("丙",)), Triplet("丁", "己", ("戊",))]
    for wrong in (None, "乙", {"texts": []}, [1]):
        rows[1]["a"] = wrong
        with pytest.raises(ValueError, match=r"rows.jsonl:2: field 'a' holds no list of answers"):
            read_rows(write("answers", "q p a", rows), "train", tmp_path)


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        ("scores", {"a": "甲", "s": 1}, r"rows.jsonl:1: field 'b' is missing \(fields: a, s\)"),
        ("scores", {"a": "甲", "b": " ", "s": 1}, "rows.jsonl:1: field 'b' is empty"),
        ("scores", {"a": "甲", "b": 3, "s": 1}, "field 'b' is int, expected text"),
        ("scores", {"a": "甲", "b": "乙", "s": 2}, "s=2 is outside 0 to 1"),
        ("scores", {"a": "甲", "b": "乙", "s": "much"}, "is 'much', expected a number"),
        ("scores", {"a": "甲", "b": "\ud800", "s": 1}, "surrogate"),
        ("inference", {"a": "甲", "b": "乙", "s": "yes"}, "none of entailment, neutral, contradiction"),
        ("choice", {"a": "甲", "b": "乙", "s": "丙", "l": 3}, "l is 3, expected 1 or 2"),
    ],
)
def test_a_wrong_row_is_named_by_file_and_line(
    write: Write, tmp_path: Path, kind: str, row: dict, message: str
) -> None:
    fields = "a b s l" if kind == "choice" else "a b s"
    one = write(kind, fields, [row])
    with pytest.raises(ValueError, match=message):
        read_rows(one, "train", tmp_path)


def test_a_set_without_rows_or_file_is_refused(write: Write, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gives no pair"):
        read_rows(write("scores", "a b s", []), "train", tmp_path)
    with pytest.raises(FileNotFoundError, match="has no split 'dev'; it has train"):
        read_rows(write("scores", "a b s", []), "dev", tmp_path)
    with pytest.raises(FileNotFoundError, match="is missing: the train split of stsb"):
        read_rows(SENTENCE_SETS["stsb"], "train", tmp_path)


def test_the_table_names_each_field_of_its_kind() -> None:
    for one in SENTENCE_SETS.values():
        assert len(one.fields) in (FIELDS_OF_KIND[one.kind], 3 if one.kind == "triplets" else 0), one.name


def test_a_file_of_ones_own_is_read_by_its_fields(write: Write, tmp_path: Path) -> None:
    write("scores", "", [{"sentence1": "甲", "sentence2": "乙", "score": 0.5}])
    one = find_set(str(tmp_path / "rows.jsonl"))
    assert read_rows(one, "train", "").pairs == [ScoredPair("甲", "乙", 0.5)]
    write("triplets", "", [{"anchor": "甲", "positive": "乙", "negative": ["丙"]}])
    assert read_rows(find_set(str(tmp_path / "rows.jsonl")), "train", "").triplets == [Triplet("甲", "乙", ("丙",))]
    for name, text in (("t.csv", 'sentence1,sentence2,label\n"甲,",乙,0.5\n'), ("t.tsv", "anchor\tpositive\n甲\t乙\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_rows(find_set(str(tmp_path / "t.csv")), "train", "").pairs == [ScoredPair("甲,", "乙", 0.5)]
    assert read_rows(find_set(str(tmp_path / "t.tsv")), "train", "").triplets == [Triplet("甲", "乙")]
    write("triplets", "", [{"left": "甲"}])
    with pytest.raises(ValueError, match="has the fields left; give anchor and positive"):
        find_set(str(tmp_path / "rows.jsonl"))
    with pytest.raises(ValueError, match="neither a file nor one of stsb, lcqmc"):
        find_set("sts")


def test_afqmc_is_read_from_the_archive_of_clue_beside_the_data(tmp_path: Path) -> None:
    rows = [
        {"sentence1": "花呗怎么开", "sentence2": "怎么开花呗", "label": "1"},
        {"sentence1": "甲", "sentence2": "乙", "label": 0},
    ]
    (tmp_path / "clue").mkdir()
    (tmp_path / "sts").mkdir()
    with zipfile.ZipFile(tmp_path / "clue" / "afqmc_public.zip", "w") as archive:
        archive.writestr("train.json", "".join(json.dumps(row) + "\n" for row in rows))
        rows[1]["label"] = 2
        archive.writestr("dev.json", "".join(json.dumps(row) + "\n" for row in rows))
    found = read_rows(SENTENCE_SETS["afqmc"], "train", tmp_path / "sts")
    assert found.pairs == [ScoredPair("花呗怎么开", "怎么开花呗", 1.0), ScoredPair("甲", "乙", 0.0)]
    with pytest.raises(ValueError, match=r"afqmc_public.zip/dev.json:2: label=2 is outside 0 to 1"):
        read_rows(SENTENCE_SETS["afqmc"], "dev", tmp_path / "sts")
    with pytest.raises(FileNotFoundError, match="no data of afqmc"):
        read_rows(SENTENCE_SETS["afqmc"], "train", tmp_path / "nowhere" / "sts")


def test_the_real_afqmc_has_the_rows_that_clue_says(real_data: Path) -> None:
    assert len(read_rows(SENTENCE_SETS["afqmc"], "train", real_data / "sts").pairs) > 30_000


def test_the_real_ocnli_gives_what_follows_from_a_premise_and_what_contradicts_it(real_data: Path) -> None:
    with zipfile.ZipFile(real_data / "clue" / "ocnli_public.zip") as archive:
        rows = [json.loads(line) for line in archive.read("train.50k.json").decode().split("\n") if line]
    follows = {(row["sentence1"], row["sentence2"]) for row in rows if row["label"] == "entailment"}
    contradicts = {(row["sentence1"], row["sentence2"]) for row in rows if row["label"] == "contradiction"}
    found = read_rows(SENTENCE_SETS["ocnli"], "train", real_data / "sts").triplets
    assert {(one.anchor, one.positive) for one in found} == {pair for pair in follows if len(set(pair)) == 2}
    anchors = {one.anchor for one in found}
    assert {(one.anchor, text) for one in found for text in one.negatives} == {
        pair for pair in contradicts if pair[0] in anchors
    }


def test_paws_x_is_read_from_its_tables(tmp_path: Path) -> None:
    folder = tmp_path / "x-final" / "zh"
    folder.mkdir(parents=True)
    head = "id\tsentence1\tsentence2\tlabel\n"
    (folder / "dev_2k.tsv").write_text(f'{head}1\t他说"好\t他说好\t1\n2\tNS\t乙\t0\n3\t甲\t乙\t0\n', encoding="utf-8")
    found = read_rows(SENTENCE_SETS["pawsx"], "dev", tmp_path)
    assert found.pairs == [ScoredPair('他说"好', "他说好", 1.0), ScoredPair("甲", "乙", 0.0)]
    assert found.dropped == {"not translated": 1}
    (folder / "test_2k.tsv").write_text(f"{head}1\t甲\t乙\t1\n2\t甲\t1\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"test_2k.tsv:3 has 3 cells, the first line names 4: id, sentence1"):
        read_rows(SENTENCE_SETS["pawsx"], "test", tmp_path)


def test_a_text_of_a_hundred_thousand_characters_is_read_whole(write: Write, tmp_path: Path) -> None:
    long = "长" * 100_000
    found = read_rows(write("scores", "a b s", [{"a": long, "b": "短", "s": 1}]), "train", tmp_path)
    assert found.pairs[0].first == long
