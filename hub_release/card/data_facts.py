"""What the shards of a run tell for the model card: how much text, and from which sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...runtime.markdown import markdown_table

SOURCE_TITLES = ("Source", "Documents", "Share of the tokens")
SOURCES_SHOWN = 40


@dataclass(frozen=True)
class DataFacts:
    """What a run was trained on; all empty where it was not recorded.

    Attributes:
        documents: in all shards
        tokens: in all shards
        sources: name, documents and tokens of each, the largest first
    """

    documents: int = 0
    tokens: int = 0
    sources: tuple[tuple[str, int, int], ...] = ()

    def table(self) -> str:
        """Return the sources as Markdown; the smallest make one row where there are more than `SOURCES_SHOWN`."""
        rows = list(self.sources)
        if len(rows) > SOURCES_SHOWN:
            rest = rows[SOURCES_SHOWN - 1 :]
            together = (f"{len(rest)} more", sum(row[1] for row in rest), sum(row[2] for row in rest))
            rows[SOURCES_SHOWN - 1 :] = [together]
        cells = [(name, f"{documents:,}", f"{tokens / self.tokens:.1%}") for name, documents, tokens in rows]
        return "\n".join(markdown_table(SOURCE_TITLES, cells))


def read_data(provenance: Mapping[str, Any]) -> DataFacts:
    """Return what the provenance file tells of the shards.

    Args:
        provenance: what the file holds, by part
    """
    data = provenance.get("data")
    if not isinstance(data, dict) or not data.get("tokens") or not isinstance(data.get("sources"), dict):
        return DataFacts()
    sources = [(name, int(one["documents"]), int(one["tokens"])) for name, one in data["sources"].items()]
    sources.sort(key=lambda row: (-row[2], row[0]))
    return DataFacts(int(data["documents"]), int(data["tokens"]), tuple(sources))
