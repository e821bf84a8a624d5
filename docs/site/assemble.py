"""Put the pages of the site into a folder: the documents, the records, and a reference made from the code.

    python docs/site/assemble.py outputs/site_pages

`mkdocs build` makes the English part of the site of its folder `en` and the Chinese part of `zh`; see `make docs`.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from links import CHINESE, ENGLISH, join_chinese_lines, rewrite_links
from made_pages import command_pages, interface_pages

ROOT = Path(__file__).resolve().parents[2]
# Files beside this program that every part of the site has.
BESIDE = ("site.css", "iframe-worker.js")
# Documents outside docs/ and benchmarks/ that are pages too.
ELSEWHERE = {
    "CHANGELOG.md": "project/changelog.md",
    "CODE_OF_CONDUCT.md": "project/code_of_conduct.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "examples/README.md": "how_to/examples.md",
}


def placed_files(root: Path) -> dict[str, str]:
    """Return for each page and picture of the repository that is on the site its path there, below `en` or `zh`."""
    placed = {name: f"{ENGLISH}/{page}" for name, page in ELSEWHERE.items() if (root / name).is_file()}
    # Records begin with their date; other texts of that folder belong to its programs.
    records = [root / "benchmarks" / "README.md", *sorted((root / "benchmarks").glob("20*"))]
    for file in [*sorted((root / "docs").rglob("*")), *records]:
        if file.suffix in (".md", ".png", ".svg"):
            name = file.relative_to(root).as_posix()
            page = name.removeprefix("docs/").replace("benchmarks/", "records/").replace("README.md", "index.md")
            placed[name] = page if page.startswith(f"{CHINESE}/") else f"{ENGLISH}/{page}"
    return placed


def assemble(root: Path, output: Path) -> int:
    """Write the files of the site and return how many there are.

    Raises:
        ValueError: For a link to a file that is not there.
    """
    shutil.rmtree(output, ignore_errors=True)
    placed = placed_files(root)
    pages = {f"{ENGLISH}/{page}": text for page, text in [*interface_pages(root), *command_pages()]}
    for source, target in placed.items():
        if target.endswith(".md"):
            text = (root / source).read_text(encoding="utf-8")
            text = rewrite_links(text, source, target, placed, root)
            pages[target] = join_chinese_lines(text) if target.startswith(f"{CHINESE}/") else text
        else:
            (output / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / source, output / target)
    for page, text in pages.items():
        (output / page).parent.mkdir(parents=True, exist_ok=True)
        (output / page).write_text(text, encoding="utf-8")
    for part in (ENGLISH, CHINESE):
        for name in BESIDE:
            shutil.copyfile(Path(__file__).with_name(name), output / part / name)
    return len(pages)


if __name__ == "__main__":
    print(f"{assemble(ROOT, Path(sys.argv[1]))} pages")
