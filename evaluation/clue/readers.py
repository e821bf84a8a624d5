"""From the rows of a file to examples, one reader for each layout of CLUE. A wrong row is named by file and line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...tokenization.entities import Span, spans_of_tags
from .labels import Label, entity_spans, is_without_gold, read_label, token_tags
from .rows import ParsedFile, Row
from .tasks import Task

DIALOGUE_SEPARATOR = "\n"
KEYWORD_SEPARATOR = "；"
CHOICE_BLANK = "{choice}"
PLACEHOLDER_ANSWER = "FAKE_ANSWER"
_IDIOM = re.compile(r"#idiom\d+#")


@dataclass(frozen=True)
class Example:
    """One row of any task.

    Attributes:
        identity: what the row is called in predictions: its id, or its number in the file
        texts: one or two texts, in the order in which a model reads them
        label: what is right, see `Label`; None where it is not given
        group: rows of one group (same text, passage or document) never lie on both sides of a split of ours
        spans: the two marked spans of a text
        entities: the entities of a text; None: not given
        choices: the choices of a question
        answers: (text, first character in the passage) of each accepted answer
    """

    identity: str | int
    texts: tuple[str, ...]
    label: Label | None = None
    group: str = ""
    spans: tuple[Span, ...] = ()
    entities: tuple[Span, ...] | None = None
    choices: tuple[str, ...] = ()
    answers: tuple[tuple[str, int], ...] = ()

    @property
    def has_gold(self) -> bool:
        """Whether the row has a gold label, answer or entities."""
        return self.label is not None or bool(self.answers) or self.entities is not None


Reader = Callable[[Sequence[ParsedFile], Task], Iterator[Example]]


def _identity(row: Row, number: int) -> str | int:
    name = next((name for name in ("id", "idx") if row.values.get(name) is not None), None)
    return number if name is None else row.get(name, (str, int))


def read_fields(files: Sequence[ParsedFile], task: Task) -> Iterator[Example]:
    """Read one or two texts and a label; rows labelled "-" are left out."""
    for number, row in enumerate(row for file in files for row in file.rows):
        if is_without_gold(row, task):
            continue
        texts = tuple(row.get(name) for name in task.fields)
        yield Example(_identity(row, number), texts, read_label(row, task), group=texts[0])


def read_csl(files: Sequence[ParsedFile], task: Task) -> Iterator[Example]:
    """Read keywords and abstract; an abstract occurs with true and with false keywords, so it is the group."""
    for number, row in enumerate(row for file in files for row in file.rows):
        keywords = row.get("keyword", (list, str))
        joined = keywords if isinstance(keywords, str) else KEYWORD_SEPARATOR.join(row.texts("keyword"))
        yield Example(_identity(row, number), (joined, row.get("abst")), read_label(row, task), group=row.get("abst"))


def read_wsc(files: Sequence[ParsedFile], task: Task) -> Iterator[Example]:
    """Read a text with two marked spans: a candidate and a pronoun.

    Raises:
        ValueError: If a span's text is not at its offset.
    """
    for number, row in enumerate(row for file in files for row in file.rows):
        target = Row(f"{row.location}, target", row.get("target", dict))
        text, spans = row.get("text"), []
        for name in ("span1", "span2"):
            start, written = target.get(f"{name}_index", int), target.get(f"{name}_text")
            if not written or text[start : start + len(written)] != written:
                raise ValueError(
                    f"{row.location}: {name}_text {written!r} is not at {name}_index={start}; the text there is "
                    f"{text[start : start + len(written)]!r}"
                )
            spans.append(Span(start, start + len(written)))
        yield Example(_identity(row, number), (text,), read_label(row, task), group=text, spans=tuple(spans))


def _choice(row: Row, texts: tuple[str, ...], number: int, group: str, label_field: str) -> Example:
    """Return a question with its choices; the answer is the text of one of them."""
    choices = row.texts("choice" if "choice" in row.values else "choices")
    if len(choices) < 2:
        raise ValueError(f"{row.location}: a question needs 2 choices or more, got {len(choices)}")
    label = None
    if label_field in row.values:
        answer = row.get(label_field, (str, int))
        if isinstance(answer, str) and answer not in choices and answer.isascii() and answer.isdigit():
            answer = int(answer)  # a cell of a table
        if isinstance(answer, str) and answer not in choices:
            raise ValueError(f"{row.location}: {label_field} {answer!r} is none of the choices")
        label = choices.index(answer) if isinstance(answer, str) else int(answer)
        if not 0 <= label < len(choices):
            raise ValueError(f"{row.location}: {label_field}={label} is no number of {len(choices)} choices, from 0 on")
    return Example(_identity(row, number), texts, label, group, choices=choices)


def read_c3(files: Sequence[ParsedFile], task: Task) -> Iterator[Example]:
    """Read passages or dialogues, each turn on its own line, with 2 to 4 choices per question."""
    number = 0
    for file in files:
        if not isinstance(file.content, list):
            raise ValueError(f"{file.location}: expected a list of [turns, questions, id]")
        for index, item in enumerate(file.content):
            location = f"{file.location}, item {index}"
            if not (isinstance(item, list) and len(item) >= 2):
                raise ValueError(f"{location}: expected [turns, questions, id]")
            both = Row(location, {"turns": item[0], "questions": item[1]})
            context = DIALOGUE_SEPARATOR.join(both.texts("turns"))
            for row in both.rows("questions"):
                yield _choice(row, (context, row.get("question")), number, context, task.label_field)
                number += 1


def read_choices(files: Sequence[ParsedFile], task: Task) -> Iterator[Example]:
    """Read rows of `context`, `question`, `choices` and a label (the choice's text, or its number from 0 on)."""
    for number, row in enumerate(row for file in files for row in file.rows):
        texts = tuple(row.get(name) for name in task.fields)
        yield _choice(row, texts, number, texts[0], task.label_field)


def read_chid(files: Sequence[ParsedFile], task: Task) -> Iterator[Example]:
    """Read passages with blanks; every blank is a question, its choices the row's idioms.

    The blank asked for becomes `CHOICE_BLANK`, the others an ellipsis. Blanks of one row share the row's group, since
    an idiom fills one of them only.
    """
    rows = [row for file in files for row in file.rows if "content" in row.values]
    answers: dict[str, Any] = {}
    for file in files:
        if isinstance(file.content, dict):
            answers.update(file.content)
    for number, row in enumerate(rows):
        candidates = row.texts("candidates")
        for passage in row.texts("content"):
            for blank in _IDIOM.finditer(passage):
                label = answers.get(blank[0])
                if answers and not (isinstance(label, int) and 0 <= label < len(candidates)):
                    raise ValueError(
                        f"{row.location}: {blank[0]} has the answer {label!r}, expected 0-{len(candidates) - 1}"
                    )
                before, after = (_IDIOM.sub("……", part) for part in (passage[: blank.start()], passage[blank.end() :]))
                text = f"{before}{CHOICE_BLANK}{after}"
                yield Example(blank[0], (text,), label, group=f"row {number}", choices=candidates)


def read_squad(files: Sequence[ParsedFile], task: Task) -> Iterator[Example]:
    """Read questions with a passage and accepted answers, in the layout of SQuAD. Placeholder answers are left out."""
    for file in files:
        if not isinstance(file.content, dict) or "data" not in file.content:
            raise ValueError(f"{file.location}: expected a mapping with 'data' (the layout of SQuAD)")
        for article in Row(file.location, file.content).rows("data"):
            for paragraph in article.rows("paragraphs"):
                context = paragraph.get("context")
                for question in paragraph.rows("qas"):
                    row = Row(f"{file.location}, question {question.values.get('id')}", question.values)
                    answers = _answers(row, context)
                    texts = (row.get("question"), context)
                    yield Example(row.get("id"), texts, group=context, answers=answers)


def _answers(row: Row, context: str) -> tuple[tuple[str, int], ...]:
    """Return (text, start) of a question's answers; start -1 where the text is nowhere in the passage.

    Some official offsets are wrong by a character, so the occurrence nearest to the stated offset is taken.
    """
    found = []
    for answer in row.rows("answers") if "answers" in row.values else ():
        text, stated = str(answer.get("text", (str, int))), answer.get("answer_start", int)
        if text.startswith(PLACEHOLDER_ANSWER) or not text:
            continue
        offsets = [match.start() for match in re.finditer(re.escape(text), context)]
        found.append((text, min(offsets, key=lambda offset: abs(offset - stated), default=-1)))
    return tuple(found)


def read_cluener(files: Sequence[ParsedFile], task: Task) -> Iterator[Example]:
    """Read texts with entities (`entity_spans`), or tokens with tags (`token_tags`).

    Tags are BIO, BMES or BIOES, one per token: M and E continue as I does, and S is an entity of one token.

    Raises:
        ValueError: If a mention is not at its offsets, or a tag is not one of the task's.
    """
    for number, row in enumerate(row for file in files for row in file.rows):
        tagged = token_tags(row, task)
        if tagged is not None:
            yield _tagged_tokens(row, number, task, *tagged)
            continue
        text, spans = row.get(task.fields[0]), None
        if row.values.get(task.label_field) is not None:
            found = entity_spans(row, task)
            for kind, _, _ in found:
                _check_entity_type(kind, row.location, task)
            spans = tuple(sorted(Span(start, end, kind) for kind, start, end in found))
        yield Example(_identity(row, number), (text,), group=text, entities=spans)


def _tagged_tokens(row: Row, number: int, task: Task, tokens: list[str], tags: list[str] | None) -> Example:
    """Return the text of tokens, and its entities where they have tags."""
    text, spans = spans_of_tags(tokens, ["O"] * len(tokens) if tags is None else tags)
    for span in spans:
        _check_entity_type(span.label, row.location, task)
    return Example(_identity(row, number), (text,), group=text, entities=None if tags is None else tuple(spans))


def _check_entity_type(kind: str, location: str, task: Task) -> None:
    if kind not in task.labels:
        raise ValueError(f"{location}: entity type {kind!r} of {task.name} is not one of {', '.join(task.labels)}")


READERS: dict[str, Reader] = {
    "fields": read_fields,
    "csl": read_csl,
    "wsc": read_wsc,
    "c3": read_c3,
    "choices": read_choices,
    "chid": read_chid,
    "squad": read_squad,
    "cluener": read_cluener,
}
