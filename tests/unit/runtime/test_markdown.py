"""Markdown tables: what a reader of Markdown sees is what was given."""

import pytest

from chinese_modernbert.runtime.markdown import markdown_table


def test_cells_stay_in_their_columns_whatever_they_hold() -> None:
    lines = markdown_table(("text", "score"), [("a|b", 0.5), ("two\nlines", 1)])
    assert lines == ["| text | score |", "| --- | --- |", "| a\\|b | 0.5 |", "| two lines | 1 |"]


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="1 cells does not fit a table of 2 columns"):
        markdown_table(("a", "b"), [("x",)])
