"""Long texts by pieces that end where sentences do, so that each word to change is read with what is around it.

A blank of a text of 100,000 characters sees no more of it than a model reads, and each reading takes as long as that.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...modeling.filling_chinese_modernbert import WordFiller

# Characters of a piece at most. Our default.
LONGEST_PIECE = 256
# Tokens of a character that is spelled in bytes.
TOKENS_OF_A_CHARACTER = 4
_ENDS = ("。", "！", "？", "\n")


def cut_pieces(words: Sequence[str], filler: WordFiller) -> list[list[str]]:
    """Return the pieces of a text, given as its words; a short text is one piece.

    A piece is so short that the model reads all of it, whatever its tokens are, but for a word that is longer.

    Args:
        words: they join to the text
        filler: its model decides how much is read
    """
    context = min(int(filler.model.config.max_position_embeddings), int(filler.tokenizer.model_max_length))
    longest = max(1, min(LONGEST_PIECE, (context - 2) // TOKENS_OF_A_CHARACTER))
    pieces: list[list[str]] = []
    start = border = 0
    length = 0
    for number, word in enumerate(words):
        while number > start and length + len(word) > longest:
            end = border if border > start else number
            pieces.append(list(words[start:end]))
            length -= sum(map(len, pieces[-1]))
            start = end
        length += len(word)
        border = number + 1 if word.endswith(_ENDS) else border
    return [*pieces, list(words[start:])]
