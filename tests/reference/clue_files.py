"""Small files in the official layout of every CLUE task, with made-up rows whose label a model can learn."""

import json
import random
import zipfile
from pathlib import Path
from typing import Any

from chinese_modernbert.evaluation.clue.tasks import TASKS

SUBJECTS = ["北京", "公园", "上海", "会议", "首都", "天气", "散步", "读书"]


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _text(rng: random.Random) -> str:
    return "".join(rng.choices(SUBJECTS, k=4))


def _classification(name: str, rng: random.Random, rows: int, is_labelled: bool) -> str:
    task, found = TASKS[name], []
    for i in range(rows):
        number = rng.randrange(len(task.labels))
        row: dict[str, Any] = {"id": i}
        if name == "csl":
            row |= {"keyword": [SUBJECTS[number], SUBJECTS[2 + number]], "abst": f"第{i}届{_text(rng)}"}
        else:
            row |= {field: f"{SUBJECTS[number % 8]}{i}{_text(rng)}" for field in task.fields}
        found.append(row | ({"label": task.labels[number]} if is_labelled else {}))
    return _lines(found)


def _wsc(rng: random.Random, rows: int, is_labelled: bool) -> str:
    found = []
    for i in range(rows):
        text = f"第{i}届会议在上海举行，他{_text(rng)}。"
        start = text.index("会议")
        target = {"span1_index": start, "span1_text": "会议", "span2_index": text.index("他"), "span2_text": "他"}
        label = {"label": rng.choice(["true", "false"])} if is_labelled else {}
        found.append({"text": text, "target": target, "id": i} | label)
    return _lines(found)


def _c3(rng: random.Random, rows: int, is_labelled: bool) -> str:
    found = []
    for i in range(rows):
        choices = rng.sample(SUBJECTS, 2 + i % 3)
        question: dict[str, Any] = {"question": f"他们说了什么{i}?", "choice": choices}
        question |= {"answer": choices[0]} if is_labelled else {"id": i}
        found.append([[f"男：{_text(rng)}", f"女：{choices[0]}{i}"], [question], f"d-{i}"])
    return json.dumps(found, ensure_ascii=False)


def _chid(rng: random.Random, rows: int, start: int) -> tuple[str, str]:
    passages, answers = [], {}
    for i in range(start, start + rows):
        tags = [f"#idiom{2 * i:06d}#", f"#idiom{2 * i + 1:06d}#"]
        candidates = rng.sample(["天气很好", "读书写字", "公园散步", "会议举行", "首都北京"], 4)
        passages.append({"content": [f"{_text(rng)}{tags[0]}，他喜欢{tags[1]}{i}。"], "candidates": candidates})
        answers |= {tags[0]: 0, tags[1]: 1}
    return _lines(passages), json.dumps(answers)


def _squad(rng: random.Random, rows: int, is_labelled: bool) -> str:
    paragraphs = []
    for i in range(rows):
        answer = rng.choice(SUBJECTS)
        context = f"第{i}届：{_text(rng)}。他喜欢{answer}{i}。{_text(rng)}。"
        start = context.index(f"喜欢{answer}") + 2
        answers = (
            [{"text": answer, "answer_start": start}]
            if is_labelled
            else [{"text": "FAKE_ANSWER_1", "answer_start": -1}]
        )
        question = {"id": f"Q_{i}", "question": "他喜欢什么？", "answers": answers}
        paragraphs.append({"paragraphs": [{"context": context, "qas": [question]}]})
    return json.dumps({"version": "v1.0", "data": paragraphs}, ensure_ascii=False)


def _cluener(rng: random.Random, rows: int, is_labelled: bool) -> str:
    found = []
    for i in range(rows):
        text = f"他在北京读书{i}{_text(rng)}"
        row: dict[str, Any] = {"text": text} | ({} if is_labelled else {"id": i})
        found.append(row | ({"label": {"address": {"北京": [[2, 3]]}}} if is_labelled else {}))
    return _lines(found)


def task_files(name: str, rows: int = 32, dev_rows: int = 12, seed: int = 0) -> dict[str, str]:
    """Return file name -> content of one task: `rows` training rows, `dev_rows` of dev, 5 of each test file."""
    rng, files = random.Random(seed), {}
    if name == "chid":
        files["train.json"], files["train_answer.json"] = _chid(rng, rows, 0)
        files["dev.json"], files["dev_answer.json"] = _chid(rng, dev_rows, 1_000)
        files["test1.1.json"] = _chid(rng, 5, 2_000)[0]
        return files
    makers = {"wsc": _wsc, "c3": _c3, "squad": _squad, "cluener": _cluener}
    for split, names in TASKS[name].files.items():
        size = {"train": rows, "dev": dev_rows}.get(split, 5)
        is_labelled = split in ("train", "dev", "labelled_test", "trial")
        for file in names:
            maker = makers.get(TASKS[name].reader)
            if maker is None:
                files[file] = _classification(name, rng, size, is_labelled)
            else:
                files[file] = maker(rng, size, is_labelled)
    return files


def write_task(folder: Path, name: str, as_zip: bool = True, **sizes: int) -> Path:
    """Write `<name>_public.zip`, or a folder of the task's name, and return it."""
    files = task_files(name, **sizes)
    if as_zip:
        path = folder / f"{name}_public.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file, content in files.items():
                archive.writestr(file, content)
        return path
    path = folder / name
    path.mkdir(parents=True)
    for file, content in files.items():
        (path / file).write_text(content, encoding="utf-8")
    return path
