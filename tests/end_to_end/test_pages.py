"""A reader types what a page shows, from its first block to its last, and it works."""

from __future__ import annotations

import csv
import json
import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from chinese_modernbert.cli import main
from chinese_modernbert.demo.corpus import generate_demo_corpus
from reference.page_blocks import ROOT, PageError, blocks_of, run_block

FOLDERS = ("how_to", "guides")
PAGES = [page for name in FOLDERS for page in sorted((ROOT / "docs" / name).glob("*.md"))]
TOPICS = [page for page in sorted((ROOT / "docs").glob("*.md")) if "```" in page.read_text(encoding="utf-8")]
# Blocks of README.zh-CN.md are those of README.md; tests/unit/docs/test_site.py compares them.
README = ROOT / "README.md"

# The release under the names that pages have for it: any release, that of `make demo`, and the model that is shipped.
RELEASES = ("my-model", "hub_release/models/mini", "hub_release/models/mini-sentences")
# What commands made of the texts; a page that needs it says so, another makes it under the same name.
MADE = ("shards", "run")
BEGINS = re.compile(r"^<!-- begins with: (.*?) -->$", re.MULTILINE)
WORDS = (("的面很好吃", "好评"), ("等了一个小时", "差评"))
RUN = "--config pretrain_smoke --data shards --output_dir run --max_steps 3 --tokens_per_micro_batch 512"


@pytest.fixture(scope="session")
def prepared(page_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which every page begins.

    It holds `checkpoint` and its release under the names of `RELEASES`; `texts`, their `shards` and a short `run` on
    them; the repository's `examples/data`; the task `mine.yaml` of `train.csv` and `dev.csv`, with `new.csv` to be
    answered; `pairs.jsonl` and `scored.jsonl`.
    """
    folder = shutil.copytree(page_model, tmp_path_factory.mktemp("pages") / "desk")
    for name in RELEASES[1:]:
        shutil.copytree(folder / RELEASES[0], folder / name)
    write_data(folder)
    shutil.copytree(ROOT / "examples" / "data", folder / "examples" / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["prepare", "--corpus", "texts", "--output_dir", "shards", "--prepare_workers", "0"]) == 0
        assert main(["pretrain", *RUN.split(), "--warmup_steps", "1", "--logging_steps", "1"]) == 0
    return folder


def write_data(folder: Path) -> None:
    """Write three text files of the demo corpus, reviews with their labels, pairs and scored pairs."""
    documents = generate_demo_corpus().documents
    (folder / "texts").mkdir()
    for number in range(3):
        part = documents[40 * number : 40 * number + 40]
        (folder / "texts" / f"{number}.txt").write_text("\n\n".join(part) + "\n", encoding="utf-8")
    reviews = [(f"第{number}家店{word}", label) for number in range(20) for word, label in WORDS]
    (folder / "mine.yaml").write_text("kind: classification\ntrain: train.csv\ndev: dev.csv\n", encoding="utf-8")
    for name, rows in (("train.csv", reviews[10:]), ("dev.csv", reviews[:10]), ("new.csv", reviews[:2])):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    pairs = [{"anchor": document[:12], "positive": document[12:40]} for document in documents[120:150]]
    scored = [
        {"sentence1": one[:12], "sentence2": two[:12], "score": (number % 3) / 2}
        for number, (one, two) in enumerate(pairwise(documents[150:160]))
    ]
    for name, rows in (("pairs.jsonl", pairs), ("scored.jsonl", scored)):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / name).write_text(lines, encoding="utf-8")


@pytest.fixture
def desk(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of that folder without what commands made of its texts, the working directory of one page."""
    folder = shutil.copytree(prepared, tmp_path / "desk", ignore=shutil.ignore_patterns(*MADE))
    monkeypatch.chdir(folder)
    monkeypatch.delenv("CHINESE_MODERNBERT_DATA", raising=False)
    return folder


def run_page(text: str, page: str, folder: Path, prepared: Path | None = None) -> None:
    """Run all blocks of a page, with what its comment `<!-- begins with: ... -->` names."""
    for names in BEGINS.findall(text):
        for name in names.split():
            assert prepared and name in MADE, f"{page} begins with '{name}', which is none of {', '.join(MADE)}"
            shutil.copytree(prepared / name, folder / name)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks_of(text, page):
        run_block(block, namespace, folder)


@pytest.mark.parametrize("page", [*PAGES, *TOPICS, README], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_block_of_a_page_runs(page: Path, desk: Path, prepared: Path) -> None:
    run_page(page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix(), desk, prepared)


BROKEN = {
    "python": ("```python\ncount = 1\n```\n\n```python\ncounts + 1\n```", NameError, "counts"),
    "an option": ("```bash\nchinese-modernbert mask --txet 北京\n```", PageError, "page:2 .* ends with 2"),
    "a path": ("```bash\nchinese-modernbert verify missing\n```", PageError, "page:2 .* ends with"),
    "a shell line": ("```bash\nls texts\n```", PageError, "page:2 'ls texts' is not run"),
    "an extra": ('```bash\npip install "chinese-modernbert[evla]"\n```', PageError, "no extra evla"),
    "another package": ("```bash\npip install gradio\n```", PageError, "'gradio' is not looked at"),
    "yaml": ("```yaml\nkind: [a\n```", Exception, "flow sequence"),
    "a language": ("```ruby\nputs 1\n```", PageError, "'ruby' is not run"),
    "no reason": ("<!-- not run: -->\n```bash\nls\n```", PageError, "page:1 'not run:' is none of"),
    "a misspelled mark": ("<!-- not-run: slow -->\n```bash\nls\n```", PageError, "page:1 'not-run: slow' is none of"),
    "idle options": (
        "<!-- test: pretrain --max_steps 2 -->\n```bash\nchinese-modernbert mask\n```",
        PageError,
        "options for pretrain belong to no line",
    ),
    "a file without a name": (
        "Rows:\n\n<!-- file: rows.csv -->\n```csv\na\n```",
        PageError,
        "page:3 the line of text above does not name the file `rows.csv`",
    ),
    "no end": ("text\n```python\n1", PageError, "page:2 the block has no end"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_block_is_found(kind: str, tmp_path: Path) -> None:
    text, error, message = BROKEN[kind]
    with pytest.raises(error, match=message):
        run_page(text, "page", tmp_path)


def test_blocks_are_read_with_what_stands_above_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = """
- <!-- a remark in a list, above no block -->

Rows, `rows.csv`:

<!-- file: rows.csv -->
```csv
text,label
```

<!-- not run: it needs a GPU -->
```bash
torchrun x
```

- in a list:

    ```python
    from pathlib import Path

    assert Path("rows.csv").stat().st_size == 11
    ```

<!-- test: mask --step 900 -->
```bash
chinese-modernbert mask \\
    --step 5 --text 北京  # a remark
```
"""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        run_page(page, "page", tmp_path)
    assert "step 900 of 1000" in capsys.readouterr().out
