"""Slow, obvious word starts: build the overlap graph of words and tokens and colour its connected components."""

import re
from collections.abc import Sequence

ADDRESS = r"(?:(?:https?|ftp)://|www\.)[!-~]*[0-9A-Za-z/]"
MAIL = r"[0-9A-Za-z][0-9A-Za-z._%+-]{0,63}@[0-9A-Za-z-]{1,63}(?:\.[0-9A-Za-z-]{1,63})+"
LETTER = "[A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02b8\u1e00-\u1eff]"
MARK = "[\u0300-\u036f]"
NUMBER = rf"[0-9]+(?:[.,][0-9]+)*(?:{LETTER}|{MARK}|[0-9])*"
WORD = rf"{LETTER}(?:{LETTER}|{MARK}|[0-9])*(?:['\u2019]{LETTER}(?:{LETTER}|{MARK})*)*"


def word_spans(text: str, words: Sequence[str]) -> list[tuple[int, int]]:
    """Return the spans between the borders of words that lie in no address, number or Latin word."""
    runs = [match.span() for match in re.finditer("|".join((ADDRESS, MAIL, NUMBER, WORD)), text)]
    ends = {sum(map(len, words[:count])) for count in range(len(words) + 1)}
    borders = [place for place in sorted(ends) if not any(start < place < end for start, end in runs)]
    return list(zip(borders, borders[1:], strict=False))


def word_starts(text: str, words: Sequence[str], token_spans: Sequence[tuple[int, int]]) -> list[bool]:
    """Return for every token whether it is the first of its component in the graph of overlaps."""
    component = list(range(len(token_spans)))
    for word_start, word_end in word_spans(text, words):
        touching = [i for i, (start, end) in enumerate(token_spans) if start < word_end and end > word_start]
        merged = {component[i] for i in touching}
        component = [min(merged) if c in merged else c for c in component]
    # Byte pieces of one character cover the same span, so a word that covers one covers all of them.
    return [i == component.index(c) for i, c in enumerate(component)]
