"""One dialect of docstrings, messages and names, where it can be checked by machine."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The folders of the library.
ROOMS = ("runtime", "modeling", "tokenization", "evaluation", "trainers", "hub_release", "demo")
BRITISH = re.compile(
    r"colour|favour|neighbour|behaviour|centre|catalogue|grey|"
    r"(?:normal|util|initial|token|optim|minim|maxim|real|serial|standard|quant|regular|organ)is(?:e|ed|er|ing|ation)(?![a-z])"
)
BANNED = re.compile(
    r"(?:^|_)(?:stranger|strangers|fate|fates|readings?|roads?|wanted|figures|utili[sz]ation|teraflops_per_second)(?:_|$)"
)
SECTION = re.compile(r"^(\s*)(Args|Attributes|Raises|Returns|Yields):$")
ENTRY = re.compile(r"^(\*{0,2}[\w.]+(?:, \*{0,2}[\w.]+)*): (.+)$")
# Capitals that begin a name, not a sentence: [MASK], RoPE, SHA-256, a name of a person or a class.
NAME = re.compile(
    r"[A-Z][a-z]*[A-Z0-9]|[A-Z]\b|None\b|True\b|False\b|Han\b|Latin\b|Hub\b|Python\b|Transformers\b|Trainer\b"
)


def library() -> list[Path]:
    return sorted(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))


def docstrings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or ""


def entries(docstring: str) -> Iterator[tuple[str, str]]:
    """Yield (section, text of an entry in one line without its name)."""
    section, indent, text = "", 0, ""
    for line in [*docstring.split("\n"), "end"]:
        depth = len(line) - len(line.lstrip())
        begins = SECTION.match(line)
        if begins or (line.strip() and depth <= indent + 4):
            if text:
                yield section, text
            text = ""
        if begins:
            section, indent = begins[2], len(begins[1])
        elif line.strip() and depth <= indent:
            section = ""
        elif section in ("Args", "Attributes", "Raises") and depth == indent + 4:
            found = ENTRY.match(line.strip())
            text = found[2] if found else ""
        elif text and line.strip():
            text += " " + line.strip()


def faults_of_docstrings(source: str) -> list[str]:
    faults = []
    for docstring in docstrings(ast.parse(source)):
        for section, text in entries(docstring):
            is_sentences = re.search(r"[.?] (?=[A-Z`])", text) is not None
            if section == "Raises":
                if not text[0].isupper() or text[-1] not in ".:":
                    faults.append(f"Raises: {text}")
            elif text[0].isupper() and not NAME.match(text):
                faults.append(f"begins with a capital: {text}")
            elif text.endswith(".") and not text.endswith("...") and not is_sentences:
                faults.append(f"a fragment ends with a full stop: {text}")
    return faults


def faults_of_messages(source: str) -> list[str]:
    """Return the texts of errors that end with a full stop."""
    texts = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            text: ast.expr = node.exc.args[0]
            if isinstance(text, ast.JoinedStr) and text.values:
                text = text.values[-1]
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                texts.append(text.value)
    return [text for text in texts if text.endswith(".") and not text.endswith("...")]


def faults_of_names(source: str) -> list[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        names |= {
            value for field in ("id", "attr", "name", "arg") if isinstance(value := getattr(node, field, None), str)
        }
    return sorted(name for name in names if BRITISH.search(name.lower()) or BANNED.search(name.lower()))


@pytest.mark.parametrize("file", library(), ids=lambda file: str(file.relative_to(ROOT)))
def test_docstrings_messages_and_names_keep_to_the_dialect(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    assert not faults_of_docstrings(source)
    assert not faults_of_messages(source)
    assert not faults_of_names(source)


FAULTY = '''
def normalise(colour):
    """Do it.

    Args:
        colour: What it is painted in.
        size: how large, in pixels.
        rows: how many
            there are. A row is a line.

    Raises:
        ValueError: if it is wrong
    """
    fate = wanted_rows = 0
    raise ValueError(f"{colour} is no color.")
'''


def test_every_kind_of_fault_is_seen() -> None:
    assert [fault.partition(":")[0] for fault in faults_of_docstrings(FAULTY)] == [
        "begins with a capital",
        "a fragment ends with a full stop",
        "Raises",
    ]
    assert faults_of_messages(FAULTY) == [" is no color."]
    assert faults_of_names(FAULTY) == ["colour", "fate", "normalise", "wanted_rows"]


def test_the_glossary_names_files_that_exist() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    paths = re.findall(r"`([a-z_]+/[a-z_/]*(?:\.py)?)`", page)
    assert len(paths) > 15
    assert [path for path in paths if not (ROOT / path).exists()] == []
