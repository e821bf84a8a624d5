"""The tables of facts: YAML files in this folder, each with rows and the templates that put them into words."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from .arithmetic import arithmetic_rows
from .templates import Row, Template, items, parse_template, render

FOLDER = Path(__file__).parent
HELD_OUT_FILE = FOLDER / "held_out.yaml"
PARAGRAPH_SENTENCES = range(3, 9)


@dataclass(frozen=True)
class FactTable:
    """Rows of one theme with their templates."""

    theme: str
    rows: tuple[Row, ...]
    sentences: tuple[Template, ...]
    groups: tuple[Template, ...]
    paragraphs: tuple[Template, ...]

    def make_sentences(self, rng: random.Random) -> Iterator[str]:
        """Yield the texts of all sentence and group templates, in table order, possibly with repetitions."""
        for template in self.sentences:
            for row in filter(template.fits, self.rows):
                for other in self._partners(template, row, rng):
                    yield from render(template.sentences[0][0], row, other)
        for template in self.groups:
            yield from self._make_group_sentences(template, rng)

    def make_paragraphs(self, rng: random.Random) -> Iterator[str]:
        """Yield paragraphs of 3 to 8 sentences; rows with too few facts for a template give none."""
        for template in self.paragraphs:
            for row in filter(template.fits, self.rows):
                for other in self._partners(template, row, rng):
                    texts = _choose_wordings(template, row, other, rng)
                    if len(texts) in PARAGRAPH_SENTENCES:
                        yield "".join(texts)

    def _partners(self, template: Template, row: Row, rng: random.Random) -> list[Row | None]:
        """Draw second rows for a template, or a single None when it names none."""
        if not template.needs_other:
            return [None]
        fitting = [other for other in self.rows if template.fits_pair(row, other)]
        return [*rng.sample(fitting, min(template.limit, len(fitting)))]

    def _make_group_sentences(self, template: Template, rng: random.Random) -> Iterator[str]:
        """Yield lists: 2 to 4 rows that share a value, and where asked a row that does not."""
        groups: dict[str | int, list[Row]] = {}
        for row in filter(template.fits, self.rows):
            for value in items(row[template.by]) if template.by in row else []:
                groups.setdefault(value, []).append(row)
        for value, members in groups.items():
            outsiders = [row for row in self.rows if template.by in row and value not in items(row[template.by])]
            for _ in range(template.limit if len(members) > 1 else 0):
                chosen = rng.sample(members, rng.randint(2, min(4, len(members))))
                group: Row = {"value": value, "names": [str(row["name"]) for row in chosen]}
                yield from render(template.sentences[0][0], group, rng.choice(outsiders) if outsiders else None)


def load_tables() -> tuple[FactTable, ...]:
    """Read all tables, in alphabetical order.

    Returns:
        The tables; arithmetic has computed rows.

    Raises:
        ValueError: If a file has unknown keys, or a row has no name or a name that is taken.
    """
    return tuple(load_table(path) for path in sorted(FOLDER.glob("*.yaml")) if path != HELD_OUT_FILE)


def load_table(path: Path) -> FactTable:
    """Read one table; see `load_tables`."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    known = {"rows", "sentences", "groups", "paragraphs"}
    if not isinstance(content, dict) or not set(content) <= known:
        raise ValueError(f"{path.name} is no table of facts; give a mapping with keys among {sorted(known)}")
    rows = content["rows"] if "rows" in content else arithmetic_rows()
    names = [row.get("name") for row in rows]
    repeated = sorted({str(name) for name in names if name is None or names.count(name) > 1})
    if repeated:
        raise ValueError(f"{path.name}: rows named {repeated}; give each row a name of its own")
    parts = {key: tuple(parse_template(entry, path.name) for entry in content.get(key, [])) for key in known - {"rows"}}
    return FactTable(theme=path.stem, rows=tuple(rows), **parts)


def _choose_wordings(template: Template, row: Row, other: Row | None, rng: random.Random) -> list[str]:
    """Take one wording for each sentence of a paragraph, leaving out sentences whose facts are missing."""
    choices = (
        [text for wording in wordings for text in render(wording, row, other)] for wordings in template.sentences
    )
    return [rng.choice(texts) for texts in choices if texts]
