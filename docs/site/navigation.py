"""A hook of MkDocs: pages that are made, or added by the day, join the navigation behind the first of their folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    """Replace each `folder/index.md` of the navigation by that page and, in order of their names, its neighbours."""
    config.nav = [_filled(entry, Path(config.docs_dir)) for entry in config.nav or []]
    return config


def _filled(entry: Any, root: Path) -> Any:
    if isinstance(entry, dict):
        return {title: _filled(inside, root) for title, inside in entry.items()}
    if isinstance(entry, list):
        return [_filled(inside, root) for inside in entry]
    page = root / entry
    if page.name != "index.md" or page.parent == root:
        return entry
    # The newest record first.
    others = sorted((one for one in page.parent.glob("*.md") if one != page), reverse=page.parent.name == "records")
    return [entry, *(one.relative_to(root).as_posix() for one in others)]
