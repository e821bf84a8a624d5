"""What the documents name exists: files, folders, tests, make targets and recipes."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("README*.md"), ROOT / "CONTRIBUTING.md"])
FOLDERS = "|".join(
    sorted(path.name for path in ROOT.iterdir() if path.is_dir() and re.fullmatch(r"[a-z_]+", path.name))
)
# In backquotes or as the target of a link; what a command makes (outputs/, shards/, run/) is no folder of ours.
MENTION = re.compile(rf"(?:`|\]\((?:\.\./)*)((?:{FOLDERS})/[\w./-]*(?:::\w+)?)")
IGNORED = re.compile(r"^(outputs|build|dist)/")
BARE = re.compile(r"`(test_\w+)(\.py)?`")


def mentions(document: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(document.read_text(encoding="utf-8").split("\n"), 1):
        for match in MENTION.finditer(line):
            if not IGNORED.match(match[1]):
                yield number, match[1]


@functools.cache
def names_in(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_tests_that_a_document_names_exist(document: Path) -> None:
    missing = []
    for number, mention in mentions(document):
        path, _, name = mention.partition("::")
        file = ROOT / path.rstrip(".")
        if not file.exists() or (name and name not in names_in(file)):
            missing.append(f"{document.name}:{number} names {mention}")
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_within_the_repository_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if "://" not in target]
    assert [target for target in targets if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_tests_that_a_document_names_without_a_folder_exist(document: Path) -> None:
    files = list((ROOT / "tests").rglob("test_*.py"))
    known = {file.name for file in files} | set().union(*map(names_in, files))
    assert {"".join(match) for match in BARE.findall(document.read_text(encoding="utf-8"))} <= known


def code_that_trains() -> dict[str, str]:
    """Return the Python of pages, cards and scripts that train a model, by file."""
    cards = [*ROOT.glob("hub_release/card/examples/*.md"), *ROOT.glob("hub_release/models/*/README.md")]
    found = {}
    for file in [*DOCUMENTS, *cards, *ROOT.glob("examples/*.py")]:
        text = file.read_text(encoding="utf-8")
        blocks = re.findall(r"(?ms)^```python\n(.*?)^```", text) if file.suffix == ".md" else [text]
        code = re.sub(r"\{\{ \w*trust \}\}", "", "\n".join(blocks))
        if re.search(r"\.backward\(\)|\.train\(\)", code):
            found[file.relative_to(ROOT).as_posix()] = code
    return found


def test_what_trains_a_released_model_loads_it_in_float32() -> None:
    trained = []
    for file, code in code_that_trains().items():
        calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
        heads = [one for one in calls if re.fullmatch(r"AutoModelFor\w+\.from_pretrained", ast.unparse(one.func))]
        loads = heads or [one for one in calls if ast.unparse(one.func) == "SentenceTransformer"]
        if loads:  # what is loaded first is trained; a second one may read what was saved
            trained.append(file)
            given = {word.arg for word in min(loads, key=lambda one: one.lineno).keywords}
            assert given & {"dtype", "model_kwargs"}, f"{file}: a bfloat16 release would be trained as it is"
    assert len(trained) > 10, trained


def test_the_last_column_of_the_silent_failures_is_found() -> None:
    assert len(list(mentions(ROOT / "docs" / "why.md"))) > 60
