"""Width folding and simplification, one character to one character, so that offsets into the text stay exact.

Full-width ASCII letters and digits become their ASCII forms and the ideographic space becomes a plain one. Chinese
punctuation stays as it is, because it carries meaning. Rewriting of the paper's kind (URLs, HTML, white space) would
move every later offset, which is the top complaint about published Chinese tokenizers.
"""

import re
from functools import cache
from pathlib import Path

from tokenizers import normalizers

FULL_WIDTH_OFFSET = 0xFF01 - 0x21
"""Distance between a full-width form and its ASCII twin. Source: Unicode, block Halfwidth and Fullwidth Forms."""

IDEOGRAPHIC_SPACE = "\u3000"

FOLDED_CHARACTERS: dict[str, str] = {
    **{
        chr(code + FULL_WIDTH_OFFSET): chr(code)
        for first, last in (("0", "9"), ("A", "Z"), ("a", "z"))
        for code in range(ord(first), ord(last) + 1)
    },
    IDEOGRAPHIC_SPACE: " ",
}
"""Every character that is folded, with the character it becomes (63 pairs)."""

_TRANSLATION = str.maketrans(FOLDED_CHARACTERS)
_ANY_FOLDED = re.compile(f"[{''.join(FOLDED_CHARACTERS)}]")


def fold_width(text: str) -> str:
    """Return `text` with full-width ASCII letters and digits and the ideographic space folded; the length is kept."""
    return text.translate(_TRANSLATION) if _ANY_FOLDED.search(text) else text


def simplify(text: str) -> str:
    """Return `text` with traditional characters as simplified ones; the length is kept.

    For looking words up, never for encoding: the words of traditional text are those of its simplified twin. A
    character with several simplified forms takes the most frequent one.
    Source: OpenCC (Apache-2.0), TSCharacters; its first choice of each character is in `traditional_characters.txt`.
    """
    patterns, to_simplified = _simplification()
    return text.translate(to_simplified) if any(pattern.search(text) for pattern in patterns) else text


@cache
def _simplification() -> tuple[tuple[re.Pattern[str], ...], dict[int, int]]:
    content = Path(__file__).with_name("traditional_characters.txt").read_text(encoding="utf-8")
    traditional, simplified = content.split()
    # Two patterns: a class of characters up to U+FFFF alone is a hundred times as fast as one with others in it.
    frequent = "".join(character for character in traditional if character <= "\uffff")
    return (re.compile(f"[{frequent}]"), re.compile("[\U00020000-\U0003ffff]")), str.maketrans(traditional, simplified)


def width_normalizer() -> normalizers.Normalizer:
    """Return the same folding as a stock `tokenizers` normalizer.

    It is a list of one-character replacements because the stock character map works on grapheme clusters and would
    swallow a combining mark that follows a folded letter.
    """
    return normalizers.Sequence([normalizers.Replace(wide, narrow) for wide, narrow in FOLDED_CHARACTERS.items()])


def check_encodable(text: str, location: str = "the text") -> None:
    """Raise a ValueError with the position of the first lone surrogate in `text`, if there is one."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{location} holds the lone surrogate U+{ord(text[error.start]):04X} at character {error.start}, which "
            "is not Unicode text; repair the source or drop it with text.encode('utf-8', 'ignore').decode('utf-8')"
        ) from error
