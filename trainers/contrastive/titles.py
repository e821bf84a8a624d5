"""Pairs for search from plain documents: a title and the text below it, which nobody had to label."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...evaluation.sentences.rows import Triplet
from ...runtime.files import open_atomically
from ...tokenization import read_documents
from ..leakage import comparable, find_leaks

# Characters of a title, without blanks; of a body, and of its lines on average, which are shorter in dialogues and
# lists. Source: our defaults.
SHORTEST_TITLE, LONGEST_TITLE = 4, 64
SHORTEST_BODY, LONGEST_BODY = 50, 1_000
LINE = 20
SENTENCE_ENDS = tuple("，、；：…,;:.．")
SENTENCE_END = "。"
SPEAKER = re.compile(r"^\w{1,4}[：:]")


@dataclass
class TitlePairs:
    """Titles with their bodies, by source.

    Attributes:
        pairs: source -> triplets without negatives: title, body
        dropped: source -> why -> documents that give no pair
    """

    pairs: dict[str, list[Triplet]] = field(default_factory=dict)
    dropped: dict[str, Counter[str]] = field(default_factory=dict)

    def drop(self, source: str, reason: str) -> None:
        """Count a document that gives no pair."""
        self.dropped.setdefault(source, Counter())[reason] += 1

    def write(self, file: Path) -> int:
        """Write all pairs as JSON lines of `anchor` and `positive`, which a stage reads; return how many."""
        rows = [one for found in self.pairs.values() for one in found]
        with open_atomically(file) as stream:
            for one in rows:
                row = {"anchor": one.anchor, "positive": one.positive}
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
        return len(rows)


def title_pairs(
    files: Sequence[str | Path],
    sources: Iterable[str] = (),
    evaluation: Mapping[str, Iterable[str]] | None = None,
    similarity: float = 0.9,
) -> TitlePairs:
    """Return the title and body of every document whose first line reads like a title.

    A title has 4 to 64 characters, holds no sentence, does not end as a clause does and names no speaker; its body is
    at least twice as long and has 50 characters or more in lines of 20 or more, of which the first 1,000 are kept. A
    title at the head of its own body is cut off there; where it stands in the body again, the pair would teach to find
    equal words, and is left out. So are titles of several documents, bodies that come twice, and what an evaluation
    set holds.

    Args:
        files: see `read_documents`; the field `source` tells where a document is from
        sources: those that are read; all by default
        evaluation: texts by set that no pair may hold, exactly or nearly; see `find_leaks`
        similarity: see `find_leaks`

    Raises:
        ValueError: If no document gives a pair.
    """
    found, chosen = TitlePairs(), set(sources)
    rows: list[tuple[str, Triplet]] = []
    for document in read_documents(files, source_field="source"):
        source = document.source
        if chosen and source not in chosen:
            continue
        title, body, problem = _parted(document.text)
        if problem:
            found.drop(source, problem)
        else:
            rows.append((source, Triplet(title, body)))
    if not rows:
        raise ValueError(f"no document of {', '.join(map(str, files)) or 'no file'} begins with a title")
    titles = Counter(comparable(one.anchor) for _, one in rows)
    bodies = Counter(comparable(one.positive) for _, one in rows)
    texts = [text for _, one in rows for text in (one.anchor, one.positive)]
    leaking = find_leaks({"titles": texts}, evaluation, similarity).texts if evaluation else set()
    for source, one in rows:
        if titles[comparable(one.anchor)] > 1:
            found.drop(source, "title of several documents")
        elif bodies[comparable(one.positive)] > 1:
            found.drop(source, "body that comes twice")
        elif {one.anchor, one.positive} & leaking:
            found.drop(source, "holds a text of the evaluation")
        else:
            found.pairs.setdefault(source, []).append(one)
    return found


def _parted(text: str) -> tuple[str, str, str]:
    """Return title and body of a document, and why they are none, an empty text where they are."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) < 2:
        return "", "", "one line"
    title, lines = lines[0], lines[1:]
    key = comparable(title)
    if not SHORTEST_TITLE <= len(key) or len(title) > LONGEST_TITLE:
        return "", "", "first line too short or too long"
    if title.endswith(SENTENCE_ENDS) or SENTENCE_END in title or SPEAKER.match(title):
        return "", "", "first line is no title"
    if lines[0].startswith(title):
        lines[0] = lines[0].removeprefix(title).lstrip(" ：:。,，")
    body = "\n".join(line for line in lines if line)
    if len(body) < max(SHORTEST_BODY, 2 * len(title)) or len(body) < LINE * len(lines):
        return "", "", "body too short, or in short lines"
    if key in comparable(body):
        return "", "", "title stands in the body"
    return title, body[:LONGEST_BODY], ""
