"""A hook of MkDocs: pages that are made, or added by the day, join the navigation behind the first of their folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    """Put behind each `folder/index.md` of the navigation its neighbours that it does not name, in their order."""
    named = set(_pages(config.nav))
    config.nav = _filled(config.nav, Path(config.docs_dir), named)
    return config


def _pages(entry: Any) -> list[str]:
    """Return the pages that a part of the navigation names."""
    if isinstance(entry, str):
        return [entry]
    inside = entry.values() if isinstance(entry, dict) else entry
    return [page for one in inside for page in _pages(one)]


def _filled(entry: Any, root: Path, named: set[str]) -> Any:
    if isinstance(entry, dict):
        return {title: _filled(inside, root, named) for title, inside in entry.items()}
    if isinstance(entry, list):
        return [_filled(inside, root, named) for inside in entry]
    folder = (root / entry).parent
    if Path(entry).name != "index.md" or folder == root:
        return entry
    others = [page.relative_to(root).as_posix() for page in sorted(folder.glob("*.md"))]
    others = [page for page in others if page not in named]
    if folder.name == "records":  # the newest first
        others.reverse()
    return [entry, *others] if others else entry
