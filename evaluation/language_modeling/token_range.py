"""How many tokens a word may have, as commands read it."""

import re


def read_token_range(given: str) -> tuple[int, int] | None:
    """Return the fewest and the most tokens of a word: `2` and `1..3` say so; None for an empty text.

    Raises:
        ValueError: For anything else, no tokens, or fewer at most than at least.
    """
    if not given:
        return None
    match = re.fullmatch(r"([0-9]{1,3})(?:\.\.([0-9]{1,3}))?", given)
    fewest, most = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= fewest <= most:
        raise ValueError(f"tokens={given!r} is no number of tokens; give one as 2, or the fewest and the most as 1..3")
    return fewest, most
