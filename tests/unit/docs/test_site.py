"""The site: links that are rewritten, the pages made from the code, and what the two parts of it hold."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from chinese_modernbert.cli import imported
from chinese_modernbert.commands import COMMANDS
from chinese_modernbert.runtime.options import own_names

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, ModuleType]]:
    """The modules of docs/site, which is no package: its program runs from its own folder."""
    sys.path.insert(0, str(ROOT / "docs" / "site"))
    try:
        yield {name: import_module(name) for name in ("links", "made_pages", "assemble", "navigation")}
    finally:
        sys.path.remove(str(ROOT / "docs" / "site"))


PLACED = {
    "docs/masking.md": "en/masking.md",
    "docs/how_to/ner.md": "en/how_to/ner.md",
    "docs/zh/index.md": "zh/index.md",
    "benchmarks/README.md": "en/records/index.md",
    "SECURITY.md": "en/project/security.md",
}


@pytest.mark.parametrize(
    ("source", "written", "expected"),
    [
        ("docs/masking.md", "[a](how_to/ner.md#borders)", "[a](how_to/ner.md#borders)"),
        ("docs/how_to/ner.md", "[a](../masking.md)", "[a](../masking.md)"),
        ("docs/masking.md", "[`a[0]`](../benchmarks/README.md)", "[`a[0]`](records/index.md)"),
        (
            "SECURITY.md",
            "[a](docs/masking.md) and [b](benchmarks/README.md)",
            "[a](../masking.md) and [b](../records/index.md)",
        ),
        ("docs/zh/index.md", "[a](../masking.md#rates)", '<a href="../masking.html#rates">a</a>'),
        ("docs/how_to/ner.md", "[a](../zh/index.md)", '<a href="../zh/index.html">a</a>'),
        ("docs/masking.md", "[presets](../trainers/masking/presets.py)", "presets"),
        ("docs/masking.md", "[a](https://example.org/b) [c](#here)", "[a](https://example.org/b) [c](#here)"),
        ("docs/masking.md", "```\n[a](nowhere.md)\n```", "```\n[a](nowhere.md)\n```"),
    ],
)
def test_a_link_leads_to_the_same_page_from_its_new_place(
    source: str, written: str, expected: str, modules: dict[str, ModuleType]
) -> None:
    assert modules["links"].rewrite_links(written, source, PLACED[source], PLACED, ROOT) == expected


def test_a_link_that_leads_nowhere_is_named_with_its_line(modules: dict[str, ModuleType]) -> None:
    with pytest.raises(ValueError, match=r"docs/masking\.md:2 links to nowhere\.md"):
        modules["links"].rewrite_links("\n[a](nowhere.md)", "docs/masking.md", "en/masking.md", PLACED, ROOT)


def test_a_line_break_between_chinese_characters_is_no_blank(modules: dict[str, ModuleType]) -> None:
    page = "先用词，再用\n向量。\n\n- 一条\n- 二条\n  续行\n\n```text\n甲\n乙\n```\n用 BERT\n训练，\n测量\n| 表 |\n"
    joined = "先用词，再用向量。\n\n- 一条\n- 二条续行\n\n```text\n甲\n乙\n```\n用 BERT\n训练，测量\n| 表 |\n"
    assert modules["links"].join_chinese_lines(page) == joined


def test_the_repository_has_a_page_for_every_public_name(modules: dict[str, ModuleType]) -> None:
    pages = dict(modules["made_pages"].interface_pages(ROOT))
    paths = [path for page in pages.values() for path in re.findall(r"^::: (\S+)$", page, flags=re.MULTILINE)]
    assert len(paths) == len(set(paths)) > 150
    objects = {id(getattr(import_module(module), name)) for module, _, name in (path.rpartition(".") for path in paths)}
    packages = re.findall(r"^## `(\S+)`$", pages["reference/python/index.md"], flags=re.MULTILINE)
    assert "chinese_modernbert" in packages and "chinese_modernbert.trainers.masking" in packages
    for package in packages:
        module = import_module(package)
        missing = [
            name for name in module.__all__ if name != "__version__" and id(getattr(module, name)) not in objects
        ]
        assert not missing, f"{package}: {missing}"


def test_a_definition_stands_in_the_room_that_defines_it(modules: dict[str, ModuleType]) -> None:
    pages = dict(modules["made_pages"].interface_pages(ROOT))
    assert "::: chinese_modernbert.runtime.counter_random.CounterRandom" in pages["reference/python/runtime.md"]
    assert "CounterRandom" not in pages["reference/python/trainers_masking.md"]


@pytest.mark.parametrize("command", ["clue", "mask", "pretrain plot"])
def test_the_page_of_a_command_holds_every_option_of_its_own(command: str, modules: dict[str, ModuleType]) -> None:
    page = dict(modules["made_pages"].command_pages())[f"reference/commands/{command.replace(' ', '_')}.md"]
    shown = set(re.findall(r"^\| `--(?:\[no_\])?(\w+)", page, flags=re.MULTILINE))
    assert set(own_names(imported(COMMANDS[command].arguments))) | {"config"} <= shown


def test_the_navigation_takes_in_the_neighbours_of_an_index(tmp_path: Path, modules: dict[str, ModuleType]) -> None:
    for name in (
        "index.md",
        "a.md",
        "records/index.md",
        "records/1.md",
        "records/2.md",
        "ref/index.md",
        "ref/b.md",
        "ref/a.md",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    nav = [{"Start": "index.md"}, {"Records": "records/index.md"}, {"More": [{"Ref": "ref/index.md"}, "ref/a.md"]}]
    config = type("Config", (), {"nav": nav, "docs_dir": str(tmp_path)})()
    assert modules["navigation"].on_config(config).nav == [
        {"Start": "index.md"},
        {"Records": ["records/index.md", "records/2.md", "records/1.md"]},
        {"More": [{"Ref": ["ref/index.md", "ref/b.md"]}, "ref/a.md"]},
    ]


def test_both_parts_are_assembled_and_leave_the_machinery_out(tmp_path: Path, modules: dict[str, ModuleType]) -> None:
    modules["assemble"].assemble(ROOT, tmp_path)
    files = {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file()}
    assert {"en/index.md", "zh/index.md", "en/records/index.md", "en/project/contributing.md", "zh/site.css"} <= files
    assert {Path(file).suffix for file in files} <= {".md", ".png", ".svg", ".css", ".js"}
    assert not [file for file in files if "make_masking" in file or "/site/" in file]


def test_what_the_pages_load_lies_in_both_parts_of_the_site(tmp_path: Path, modules: dict[str, ModuleType]) -> None:
    """The plugin for pages from the disk takes the shim of its search from elsewhere, unless a file is named."""
    modules["assemble"].assemble(ROOT, tmp_path)
    settings = yaml.load((ROOT / "mkdocs.yml").read_text("utf-8"), yaml.BaseLoader)
    loaded = [*settings["extra_css"], *settings["extra"]["polyfills"]]
    assert any("iframe-worker" in name for name in loaded), "the plugin looks for this name"
    assert [name for name in loaded for part in ("en", "zh") if not (tmp_path / part / name).is_file()] == []


CODE = re.compile(r"^```\w+\n.*?^```$", re.MULTILINE | re.DOTALL)


CHINESE = ROOT / "docs" / "zh"
TRANSLATED = sorted(CHINESE.glob("*/*.md"))


@pytest.mark.parametrize("page", TRANSLATED, ids=lambda page: page.relative_to(CHINESE).as_posix())
def test_a_chinese_page_has_the_code_of_the_english_one(page: Path) -> None:
    """The code of the English page is run by a test."""
    english = ROOT / "docs" / page.relative_to(CHINESE)
    assert CODE.findall(page.read_text(encoding="utf-8")) == CODE.findall(english.read_text(encoding="utf-8"))


TOPICS = sorted(page for page in CHINESE.glob("*.md") if page.name not in ("index.md", "glossary.md"))
NUMBER = re.compile(r"\d[\d,.]*\d|\d")


def tables_of(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if line.startswith("| "))


@pytest.mark.parametrize("page", TOPICS, ids=lambda page: page.name)
def test_a_chinese_topic_shows_no_code_and_no_figure_of_its_own(page: Path) -> None:
    """A topic in Chinese is shorter than the English one, whose code is run and whose figures have a record."""
    chinese = page.read_text(encoding="utf-8")
    pages = [ROOT / "docs" / page.name, ROOT / "docs" / "how_to" / "choose_masking.md"]
    english = "\n".join(one.read_text(encoding="utf-8") for one in pages)
    assert set(CODE.findall(chinese)) <= set(CODE.findall(english))
    assert set(NUMBER.findall(tables_of(chinese))) <= set(NUMBER.findall(english))


def test_the_chinese_models_page_has_every_figure_of_the_english_one() -> None:
    english, chinese = ((ROOT / "docs" / name).read_text("utf-8") for name in ("models.md", "zh/models.md"))
    missing = set(NUMBER.findall(tables_of(english))) - set(NUMBER.findall(chinese))
    assert missing == set()


# Chinese readers stay in Chinese: where a page leads to an English one that has a twin, it says so by its words.
def test_a_chinese_page_leads_to_a_chinese_one_where_there_is_such() -> None:
    link = re.compile(r"\[([^\]]+)\]\(([^)#\s]+\.md)(#[^)]*)?\)")
    english = ROOT / "docs"
    leaving = []
    for page in CHINESE.rglob("*.md"):
        for words, target, anchor in link.findall(page.read_text(encoding="utf-8")):
            reached = (page.parent / target).resolve()
            if reached.is_relative_to(english) and not reached.is_relative_to(CHINESE):
                twin = CHINESE / reached.relative_to(english)
                if twin.exists() and not anchor and words != "英文页":
                    leaving.append(f"{page.name}: {target}")
    assert leaving == []


def test_the_chinese_questions_lead_to_the_same_pages_in_chinese_where_there_are_such() -> None:
    link = re.compile(r"^- \[[^\]]+\]\((\S+)\)(（英文）)?", re.MULTILINE)
    english, chinese = (
        link.findall((ROOT / "docs" / f"{part}how_to/index.md").read_text("utf-8")) for part in ("", "zh/")
    )
    translated = {page.name for page in TRANSLATED}
    expected = [
        (page, "") if page in translated else (f"../../how_to/{page}", "（英文）")  # which says that it is English
        for page, _ in english
    ]
    assert chinese == expected and len(english) > 20


def test_both_glossaries_have_the_same_terms_and_places() -> None:
    rows = [
        [line.split(" | ") for line in (ROOT / "docs" / name).read_text("utf-8").split("\n") if line.startswith("| ")][
            2:
        ]
        for name in ("glossary.md", "zh/glossary.md")
    ]
    terms = [[(row[-3].removeprefix("| "), row[-1]) for row in one] for one in rows]
    assert terms[0] == terms[1] and len(terms[0]) > 25


def test_the_chinese_readme_has_the_code_of_the_english_one() -> None:
    """The code of the English one is run by a test; remarks in the code are in the language of the page."""
    english, chinese = (
        [re.sub(r" *# .*", "", block) for block in CODE.findall((ROOT / name).read_text(encoding="utf-8"))]
        for name in ("README.md", "README.zh-CN.md")
    )
    assert english == chinese and len(english) > 5


def test_every_guide_is_there_in_both_languages() -> None:
    english, chinese = (ROOT / "docs" / folder for folder in ("guides", "zh/guides"))
    assert {page.name for page in english.glob("*.md")} == {page.name for page in chinese.glob("*.md")}
