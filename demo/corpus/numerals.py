"""Chinese numerals."""

DIGITS = "零一二三四五六七八九"


def chinese_numeral(number: int) -> str:
    """Write a whole number from 0 to 999 in Chinese characters.

    Args:
        number: the number

    Returns:
        The numeral, for example ``二十六`` for 26 and ``一百零五`` for 105.

    Raises:
        ValueError: If the number lies outside 0 to 999.
    """
    if not 0 <= number <= 999:
        raise ValueError(f"number={number} cannot be written; give a whole number from 0 to 999")
    hundreds, rest = divmod(number, 100)
    tens, ones = divmod(rest, 10)
    if hundreds == 0 and tens == 0:
        return DIGITS[ones]
    if hundreds == 0 and tens == 1:
        return "十" + (DIGITS[ones] if ones else "")
    text = f"{DIGITS[hundreds]}百" if hundreds else ""
    text += f"{DIGITS[tens]}十" if tens else ("零" if ones else "")
    return text + (DIGITS[ones] if ones else "")
