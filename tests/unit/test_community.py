"""What a host and its readers expect at fixed places: forms for the tracker, the citation, the rules for people."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import chinese_modernbert

ROOT = Path(__file__).parents[2]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))
# Kinds of elements of a form, and what `attributes` of each must have. Source: GitHub's syntax for form schemas.
ELEMENTS = {
    "markdown": {"value"},
    "textarea": {"label"},
    "input": {"label"},
    "dropdown": {"label", "options"},
    "checkboxes": {"label", "options"},
}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_there_is_a_form_for_a_bug_a_question_and_an_idea() -> None:
    assert {form.stem for form in FORMS} == {"bug", "question", "feature"}
    assert (ROOT / ".github" / "PULL_REQUEST_TEMPLATE.md").is_file()


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_a_form_is_one_that_github_shows(form: Path) -> None:
    content = read(form)
    assert {"name", "description", "body"} <= content.keys() <= {"name", "description", "body", "labels", "title"}
    for element in content["body"]:
        assert ELEMENTS[element["type"]] <= element["attributes"].keys()
        assert element["type"] == "markdown" or re.fullmatch(r"[\w-]+", element["id"])
    fields = [element["id"] for element in content["body"] if "id" in element]
    assert len(set(fields)) == len(fields) > 0
    assert any(element.get("validations", {}).get("required") for element in content["body"])


def test_the_citation_is_complete_and_of_this_version() -> None:
    """Against the schema of the Citation File Format 1.2.0 it was checked by hand; here is what a change may break."""
    citation = read(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == chinese_modernbert.__version__
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= paper.keys() and "2510.12285" in paper["url"]


@pytest.mark.parametrize("name", ["CODE_OF_CONDUCT.md", "SECURITY.md", "CONTRIBUTING.md"])
def test_no_text_for_people_names_an_account(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"github\.com|gitlab\.com|huggingface\.co/\w|[\w.]+@[\w.]+\.\w+", text)
