"""Links of Markdown files that are read in the repository and on the site, where they lie elsewhere."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

ENGLISH, CHINESE = "en", "zh"
# Link or picture; the text may hold one pair of brackets, the target no blank.
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)")
FENCE = re.compile(r"\s*(```|~~~)")
BLOCK = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
HAN = r"\u4e00-\u9fff\uff01-\uff5e\u3001-\u3011\u201c\u201d"
BROKEN_LINE = re.compile(rf"(?<=[{HAN}])\n *(?=[{HAN}])")


def rewrite_links(text: str, source: str, target: str, placed: Mapping[str, str], root: Path) -> str:
    """Return a page with links that lead to the same pages from its place on the site.

    A link to a file of the repository that is not on the site becomes its text: the repository's address is not known.

    Args:
        text: Markdown
        source: path of the file from the root of the repository
        target: path of the page, below `en` or `zh`
        placed: for each file of the repository that is on the site, its path there
        root: the repository

    Raises:
        ValueError: With the line, for a link to a file that is not there.
    """

    def moved(found: re.Match[str], number: int) -> str:
        mark, words, address = found.groups()
        path, _, anchor = address.partition("#")
        if "://" in address or address.startswith("mailto:") or not path:
            return found[0]
        named = posixpath.normpath(PurePosixPath(source).parent / path)
        if named in placed:
            way = _way(target, placed[named]) + (f"#{anchor}" if anchor else "")
            # MkDocs knows one part at a time, and would take a link to the other for a broken one.
            leaves = PurePosixPath(placed[named]).parts[0] != PurePosixPath(target).parts[0]
            return f'<a href="{way}">{words}</a>' if leaves else f"{mark}[{words}]({way})"
        if not (root / named).exists():
            raise ValueError(f"{source}:{number} links to {address}, which is not there; mend the link")
        return words

    lines, is_code = [], False
    for number, line in enumerate(text.split("\n"), start=1):
        is_code ^= FENCE.match(line) is not None
        lines.append(line if is_code else LINK.sub(lambda found, at=number: moved(found, at), line))
    return "\n".join(lines)


def join_chinese_lines(text: str) -> str:
    """Return a page without the line breaks between two Chinese characters, which a browser would show as a blank."""
    parts = BLOCK.split(text)
    parts[::2] = [BROKEN_LINE.sub("", part) for part in parts[::2]]
    return "".join(parts)


def _way(page: str, other: str) -> str:
    """Return the relative address of another page: its Markdown in the same part, what is built of it in the other."""
    part, other_part = PurePosixPath(page).parts[0], PurePosixPath(other).parts[0]
    if part == other_part:
        return posixpath.relpath(other, PurePosixPath(page).parent)
    return posixpath.relpath(_built(other), PurePosixPath(_built(page)).parent)


def _built(page: str) -> str:
    """Return where a page is on the site: the English part is its root."""
    name = page.removeprefix(f"{ENGLISH}/")
    return name.removesuffix(".md") + ".html" if name.endswith(".md") else name
