"""The page holds every character of every text once, and nothing of it runs."""

from html.parser import HTMLParser

import numpy as np

from chinese_modernbert.evaluation.explanations.explained import ExplainedText
from chinese_modernbert.evaluation.explanations.page import explanations_page
from chinese_modernbert.evaluation.explanations.units import WordUnit

HOSTILE = '<script>alert("x")</script>&amp;'


class Reader(HTMLParser):
    """Collects tags, texts of the lines of words, and the style of each span there."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.lines: list[str] = []
        self.styles: list[tuple[str, str]] = []
        self._open: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "span":
            self._open.append(dict(attrs))
            if dict(attrs).get("class") == "t":
                self.lines.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "span":
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if any(one.get("class") == "t" for one in self._open):
            self.lines[-1] += data
            self.styles.append((data, str(self._open[-1].get("style"))))


def explained(text: str, words: list[tuple[int, int]], weights: list[float], label: str = "好") -> ExplainedText:
    units = [WordUnit(text[start:end], 0, start, end, ()) for start, end in words]
    return ExplainedText("7", (text, "另一句"), units, label, 0.5, label, None, {"leave_one_out": np.array(weights)})


def read(*texts: ExplainedText) -> Reader:
    reader = Reader()
    reader.feed(explanations_page(HOSTILE, [HOSTILE], texts))
    return reader


def test_texts_and_labels_are_shown_and_never_run() -> None:
    found = read(explained(f"好{HOSTILE}坏", [(0, 1), (1, 9), (9, len(HOSTILE) + 2)], [1, 0, -1], label=HOSTILE))
    assert "script" not in found.tags
    assert found.lines == [f"好{HOSTILE}坏 ┊ 另一句"]


def test_a_text_is_whole_with_blanks_between_words_and_what_was_cut() -> None:
    text = " 好 GPT4  坏\n尾巴"
    found = read(explained(text, [(1, 2), (3, 7), (9, 10)], [0.5, -2.0, 0.0]))
    assert found.lines == [f"{text} ┊ 另一句"]


def test_the_strongest_word_is_darkest_and_colors_tell_the_sign() -> None:
    styles = dict(read(explained("甲乙丙", [(0, 1), (1, 2), (2, 3)], [1.0, -4.0, 2.0])).styles)
    assert styles["甲"] == "background:rgba(0,114,178,0.19)"
    assert styles["乙"] == "background:rgba(213,94,0,0.75)"
    assert styles["丙"] == "background:rgba(0,114,178,0.38)"
