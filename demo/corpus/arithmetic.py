"""The rows of the arithmetic table, which are computed rather than written down."""

from .numerals import chinese_numeral
from .templates import Row


def arithmetic_rows() -> list[Row]:
    """Make one row for each pair of numbers from 1 to 9, with their sum, difference and product.

    Returns:
        81 rows with the fields `name`, `left`, `right`, `total`, `product` and `parity` (of the sum); rows whose
        left number is the larger one also hold `difference` and `larger`.
    """
    rows: list[Row] = []
    for left in range(1, 10):
        for right in range(1, 10):
            row: Row = {"name": f"{chinese_numeral(left)}和{chinese_numeral(right)}", "left": left, "right": right}
            row |= {"total": left + right, "product": left * right}
            row["parity"] = "偶数" if (left + right) % 2 == 0 else "奇数"
            if left > right:
                row |= {"difference": left - right, "larger": left}
            rows.append(row)
    return rows
