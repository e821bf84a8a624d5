"""Whatever stands in the place of a value of a task's file, its reader gives examples or names it."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chinese_modernbert.evaluation.clue.files import TaskFiles, read_task
from chinese_modernbert.evaluation.clue.forms import Layout, parse_json, read_rows
from chinese_modernbert.evaluation.clue.readers import READERS
from chinese_modernbert.evaluation.clue.tasks import TASKS
from reference.clue_files import task_files, write_task
from reference.odd_json import odd_versions

NAMES = ["ocnli", "csl", "cluewsc2020", "c3", "chid", "cmrc2018", "cluener"]
LISTED = {"text": "他在北京", "label": [{"start": 2, "end": 4, "label": "address"}, [2, 4, "address"]]}
TAGGED = {"text": ["他", "在"], "label": ["O", "B-address"]}


def samples() -> Iterator[tuple[str, list[Any]]]:
    for name in NAMES:
        contents = [text for file, text in task_files(name, rows=1).items() if file in TASKS[name].files["train"]]
        yield name, [json.loads(text) for text in contents]
    yield "cluener", [LISTED]
    yield "cluener", [TAGGED]


@pytest.mark.parametrize(("name", "contents"), samples())
def test_a_value_of_another_kind_is_read_or_named_with_its_file(name: str, contents: list[Any]) -> None:
    task = TASKS[name]
    n_refused = 0
    for number, content in enumerate(contents):
        for version, what in odd_versions(content):
            files = [*contents[:number], version, *contents[number + 1 :]]
            try:
                parsed = [parse_json(json.dumps(one), f"file {i}") for i, one in enumerate(files)]
                for example in READERS[task.reader](parsed, task):
                    assert isinstance(example.identity, str | int), what
                    assert all(isinstance(text, str) for text in (*example.texts, *example.choices)), what
                    hash(example)
            except ValueError as error:
                assert "file" in str(error), what
                n_refused += 1
    assert n_refused


def test_a_lone_surrogate_is_named_with_its_line_in_every_form(tmp_path: Path) -> None:
    row = '{"text": "一", "choices": ["二", "\\ud800"]}'
    with pytest.raises(ValueError, match=r"file:2 holds the lone surrogate U\+D800"):
        parse_json(f'{{"text": "一"}}\n{row}\n', "file")
    with pytest.raises(ValueError, match=r"file:1 holds the lone surrogate"):
        parse_json(f"[{row}]", "file")
    (tmp_path / "a.jsonl").write_text(f"{row}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"a.jsonl:1 holds the lone surrogate"):
        list(read_rows(tmp_path / "a.jsonl", Layout()))


@pytest.mark.parametrize("damage", ["cut", "not a zip", "flipped", "other method", "encrypted"])
def test_a_damaged_archive_is_named(tmp_path: Path, damage: str) -> None:
    path = write_task(tmp_path, "ocnli")
    if damage in ("flipped", "other method"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file, content in task_files("ocnli").items():
                archive.writestr(file, content)
    content = bytearray(path.read_bytes())
    central = content.rindex(b"PK\x01\x02")
    if damage == "cut":
        del content[len(content) // 2 :]
    elif damage == "not a zip":
        content = bytearray(b"<html>404</html>")
    elif damage == "flipped":
        for place in range(200, central, 50):
            content[place] ^= 0x55
    else:
        for mark, method, flags in ((b"PK\x01\x02", 10, 8), (b"PK\x03\x04", 8, 6)):
            place = -1
            while (place := content.find(mark, place + 1)) >= 0:
                content[place + (method if damage == "other method" else flags)] = 99 if damage == "other method" else 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"ocnli_public.zip is not a zip that can be read \(.*\); fetch it again"):
        read_task(TASKS["ocnli"], tmp_path)


def test_a_member_is_read_up_to_the_limit_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "ocnli_public.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train.50k.json", b" " * 40_000_000)
    monkeypatch.setenv("CHINESE_MODERNBERT_LONGEST_TEXT_MB", "1")
    with pytest.raises(ValueError, match="train.50k.json is a file of more than 32 MB"):
        TaskFiles(tmp_path, TASKS["ocnli"]).read("train.50k.json")
