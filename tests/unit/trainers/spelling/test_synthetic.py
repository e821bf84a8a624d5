"""Synthetic pairs: what they hold, what is left out, and that nothing but text and seed decides about a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chinese_modernbert.cli import main
from chinese_modernbert.evaluation.spelling import read_confusion, read_spelling_pairs
from chinese_modernbert.trainers.spelling.synthetic import SyntheticArguments

SUBJECTS, VERBS, PLACES = "我们他们老师学生医生朋友", "去过看见喜欢离开", "公园学校商店医院车站银行"
SENTENCES = [
    f"{SUBJECTS[i : i + 2]}{number}号{VERBS[j : j + 2]}{PLACES[k : k + 2]}的样子很好。"
    for number, (i, j, k) in enumerate(
        (i, j, k) for i in range(0, 12, 2) for j in range(0, 8, 2) for k in range(0, 12, 2)
    )
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, part in (("a", SENTENCES[:70]), ("b", SENTENCES[70:])):
        rows = [json.dumps({"text": "".join(part[n : n + 3])}, ensure_ascii=False) for n in range(0, len(part), 3)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows), encoding="utf-8")
    (tmp_path / "sound.txt").write_text("样\t洋\n号\t好\n园\t圆\n", encoding="utf-8")
    (tmp_path / "shape.json").write_text('{"我": ["找"], "车": ["东"], "们": ["门"]}', encoding="utf-8")
    return tmp_path


def pairs(folder: Path, *words: str, corpus: tuple[str, ...] = ("a", "b")) -> list[tuple[str, str]]:
    files = [str(folder / f"{name}.jsonl") for name in corpus]
    confusion = ["--confusion", str(folder / "sound.txt"), str(folder / "shape.json")]
    output = ["--output_file", str(folder / "out" / "pairs.jsonl"), "--overwrite"]
    assert main(["spell", "pairs", "--corpus", *files, *confusion, *output, *words]) == 0
    return [(one.source, one.target) for one in read_spelling_pairs(folder / "out" / "pairs.jsonl")]


def test_targets_are_the_sentences_and_sources_differ_where_a_set_allows(folder: Path) -> None:
    found = pairs(folder, "--rate", "0.5", "--clean_share", "0.25")
    assert [target for _, target in found] == SENTENCES
    allowed = read_confusion([folder / "sound.txt", folder / "shape.json"])
    assert all(allowed.allows(a, b) for pair in found for a, b in zip(*pair, strict=True))
    with_errors = sum(source != target for source, target in found) / len(found)
    # Three or more characters of each sentence are known: 0.75 * (1 - 0.5^3) or more, of 144.
    assert 0.55 < with_errors < 0.78


def test_nothing_but_seed_and_text_decides(folder: Path) -> None:
    found = pairs(folder, "--rate", "0.5")
    assert sorted(pairs(folder, "--rate", "0.5", corpus=("b", "a"))) == sorted(found)
    assert pairs(folder, "--rate", "0.5", "--seed", "1") != found
    half = pairs(folder, "--rate", "0.5", "--sample_share", "0.5")
    assert set(half) < set(found) and 50 < len(half) < 95
    assert all(source == target for source, target in pairs(folder, "--rate", "0.5", "--clean_share", "0.999999"))


def test_shares_decide_which_kind_of_error_is_made(folder: Path) -> None:
    found = pairs(folder, "--rate", "1", "--clean_share", "0", "--shares", "1", "0")
    changed = {a + b for pair in found for a, b in zip(*pair, strict=True) if a != b}
    assert changed == {"洋样", "好号", "号好", "圆园"}


def test_sentences_like_those_of_named_files_are_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # One as its target has it, one as its source, one but for width and marks, in a pair of unequal length.
    rows = [("x" * len(SENTENCES[3]), SENTENCES[3]), (SENTENCES[9], "y" * len(SENTENCES[9]))]
    wide = SENTENCES[11].replace("11", "１１").replace("。", "！！")
    rows.append((wide, "z"))
    text = "".join(json.dumps({"source": one, "target": other}) + "\n" for one, other in rows)
    (folder / "test.jsonl").write_text(text, encoding="utf-8")
    capsys.readouterr()
    found = pairs(folder, "--leave_out", str(folder / "test.jsonl"), "--leakage_similarity", "1")
    assert [target for _, target in found] == [one for n, one in enumerate(SENTENCES) if n not in (3, 9, 11)]
    assert "3 of the files left out" in capsys.readouterr().out
    # At a lower similarity those that differ by a number are alike too.
    pytest.importorskip("rensa")
    near = pairs(folder, "--leave_out", str(folder / "test.jsonl"), "--leakage_similarity", "0.6")
    assert set(near) < set(found)


def test_sentences_that_are_unfit_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"好的。{SENTENCES[0]}This is a line of English text.\n{SENTENCES[1].rstrip('。')}{SENTENCES[2]}"
    (folder / "c.jsonl").write_text(json.dumps({"text": text}), encoding="utf-8")
    found = pairs(folder, "--longest", "20", corpus=("c",))
    said = capsys.readouterr().out
    assert "2 too short" in said and "2 with little Han" in said  # what is cut off behind 20 characters is short
    assert all(8 <= len(source) <= 20 for source, _ in found) and found[0][1] == SENTENCES[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corpus": []}, "no corpus is given"),
        ({"confusion": []}, "no confusion is given"),
        ({"shortest": 9, "longest": 8}, "shortest=9 is more than longest=8"),
        ({"output_file": "pairs.csv"}, r"must end in \.jsonl"),
    ],
)
def test_options_that_cannot_act_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SyntheticArguments(**{"corpus": ["a.txt"], "confusion": ["b.txt"], **changes})


def test_a_corpus_without_a_fit_sentence_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "c.jsonl").write_text('{"text": "短。"}', encoding="utf-8")
    words = ["--confusion", str(folder / "sound.txt"), "--output_file", str(folder / "none.jsonl")]
    assert main(["spell", "pairs", str(folder / "c.jsonl"), *words]) == 2
    assert "no sentence of the corpus gives a pair: 1 too short" in capsys.readouterr().err
    assert not (folder / "none.jsonl").exists()
    assert main(["spell", "pairs", str(folder / "a.jsonl"), *words, "--shares", "1", "2"]) == 2
    assert "2 shares for 1 confusion sets" in capsys.readouterr().err


def test_files_that_are_missing_or_make_no_error_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "latin.txt").write_text("a\tb\n", encoding="utf-8")
    good = ["--confusion", str(folder / "sound.txt")]
    for words, message in (
        (["--confusion", str(folder / "none.txt")], "no confusion set at"),
        (["--confusion", str(folder / "sound.txt"), str(folder / "latin.txt")], "confusion set 2 names no two Han"),
        ([*good, "--leave_out", str(folder / "none.jsonl")], "no pairs at"),
    ):
        output = ["--output_file", str(folder / "none.out.jsonl")]
        assert main(["spell", "pairs", str(folder / "a.jsonl"), *output, *words]) == 2
        assert message in (error := capsys.readouterr().err) and "Traceback" not in error
        assert not (folder / "none.out.jsonl").exists()
