"""Pairs for a tiny corrector, of the characters that its tokenizer knows."""

import json
from pathlib import Path

CLEAN = ("今天天气很好。", "我们去公园散步。", "北京是中国的首都。", "他喜欢读书写字。", "第三届会议在上海举行。")
WRONG = {"气": "天", "园": "国", "京": "今", "书": "上", "议": "举"}


def made_pairs(count: int, start: int = 0) -> list[tuple[str, str]]:
    """Return pairs of two sentences and a number, every second one with an error, always the same for a character."""
    pairs = []
    for number in range(start, start + count):
        target = f"{CLEAN[number % 5]}{CLEAN[number // 5 % 5]}{number}"
        wrong = next(one for one in WRONG if one in target)
        pairs.append((target.replace(wrong, WRONG[wrong], 1) if number % 2 else target, target))
    return pairs


def write_pairs(file: Path, count: int, start: int = 0, **more: str) -> str:
    """Write pairs and one more row, and return the name of the file."""
    rows = [{"source": source, "target": target} for source, target in made_pairs(count, start)]
    lines = [json.dumps(row, ensure_ascii=False) for row in (*rows, *([more] if more else []))]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(file)
