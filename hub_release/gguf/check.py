"""What a GGUF file gives in llama.cpp's own programs, against the release in the libraries tokenizers and torch."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import ModernBertModel

from ..verification.isolated_process import last_line, run_captured
from .tokenizer import prepare_text

# Both scripts, Latin, long numbers, spaces, line breaks, backslashes, characters without an entry, a mask.
TEXTS = (
    "今天天气很好，我们去公园散步。",
    "第３届会议于 2024 年 5 月 17 日在北京举行，共 1,280 人参加。",
    "ModernBERT 支持 8192 个词元的长文本！",
    "臺灣與香港使用繁體字。😀",
    "1300元，1998年12月31日，13800138000，12345678901234567890",
    "  a\n\n b\tc  the\r\nend \n",
    r"$10 \times 10$，\\@某某 C:\new",
    "鑨砝苤侷矇🍺👩🏽‍🚀é e\u0301 한국어 かなカナー العربية",
    "：“你好，《ModernBERT》？”——“Ｇｏｏｄ！”　１２３４５……",
    "今天天气很[MASK]。",
)
LONG_TOKENS = 400  # over several windows of 128
# Lowest cosine of a text's mean hidden state against torch. Source: our choice, from benchmarks/2026-11-26-gguf.md.
BARS = {"f32": 0.9999, "f16": 0.9999, "q8_0": 0.99}
SHOWN_DECIMALS = 7
# llama-embedding may end before the thread that prints has written the last numbers; then it is asked again.
ATTEMPTS = 20
TIME_LIMIT_SECONDS = 600.0
NO_SEPARATOR = "<no separator of texts>"


class Binaries(NamedTuple):
    """Programs of a built checkout."""

    tokenize: Path
    embedding: Path


def find_binaries(checkout: Path) -> Binaries | None:
    """Return the programs of `build/bin`, or None where one is missing."""
    ending = ".exe" if sys.platform == "win32" else ""
    found = Binaries(*(checkout / "build" / "bin" / f"llama-{name}{ending}" for name in Binaries._fields))
    return found if all(path.is_file() for path in found) else None


def check_gguf(
    model: Path, release: Path, encoder: Path, binaries: Binaries, outtype: str
) -> tuple[list[str], list[str]]:
    """Compare tokens and sentence embeddings of a file with the release.

    Args:
        model: the GGUF file
        release: the folder that it was made of
        encoder: the plain encoder that the converter read
        binaries: programs of llama.cpp
        outtype: type of the weights, for the bar

    Returns:
        Faults and facts, a line each.
    """
    tokenizer = Tokenizer.from_file(str(release / "tokenizer.json"))
    faults, as_given = [], 0
    for text in TEXTS:
        expected = tokenizer.encode(text).ids
        as_given += tokens_of(binaries, model, text) == expected
        got = tokens_of(binaries, model, prepare_text(tokenizer, text))
        if got != expected:
            faults.append(f"tokens differ: {_first_difference(tokenizer, text, expected, got)}")
    facts = [f"tokens: {len(TEXTS) - len(faults)} of {len(TEXTS)} texts as in the release, {as_given} unprepared"]
    if not faults:
        cosines, longest = _cosines(model, tokenizer, encoder, binaries)
        facts.append(f"embeddings: lowest cosine against torch {min(cosines):.7f}, up to {longest} tokens")
        if min(cosines) < BARS[outtype]:
            faults.append(f"embeddings differ: cosine {min(cosines):.7f}, the bar of {outtype} is {BARS[outtype]}")
    return faults, facts


def tokens_of(binaries: Binaries, model: Path, text: str) -> list[int]:
    """Return the ids that llama-tokenize makes of a text, special tokens included."""
    output = _run([str(binaries.tokenize), "-m", str(model), "--ids", "--log-disable"], text)
    listed = re.search(r"\[([0-9, ]*)\]\s*$", output)
    if listed is None:
        raise RuntimeError(f"{binaries.tokenize} printed no ids for {text!r}; build the checkout again")
    return [int(number) for number in listed[1].split(",") if number.strip()]


def embedding_of(
    binaries: Binaries, model: Path, text: str, rows: int, width: int, pooling: str = "mean"
) -> NDArray[np.float64]:
    """Return what llama-embedding gives for a text, without scaling.

    Args:
        binaries: programs of llama.cpp
        model: the GGUF file
        text: prepared as llama.cpp needs it
        rows: how many vectors are expected: 1, or with pooling `none` one for each token
        width: size of a vector
        pooling: `mean` or `none`

    Returns:
        float64 of shape `(rows, width)`.

    Raises:
        RuntimeError: Where the program does not give that many numbers.
    """
    options = ["--pooling", pooling, "--embd-normalize", "-1", "--embd-output-format", "array"]
    options += ["--embd-separator", NO_SEPARATOR, "-c", "0"]  # 0: as many tokens as the model takes
    numbers: list[str] = []
    for _ in range(ATTEMPTS):
        output = _run([str(binaries.embedding), "-m", str(model), *options], f"{text}\n")  # takes one line break off
        numbers = re.findall(rf"-?[0-9]+\.[0-9]{{{SHOWN_DECIMALS}}}(?![0-9])", output)
        if len(numbers) == rows * width:
            return np.array(numbers, dtype=np.float64).reshape(rows, width)
    raise RuntimeError(f"{binaries.embedding} gave {len(numbers)} numbers, {rows * width} are needed; try again")


def _cosines(model: Path, tokenizer: Tokenizer, encoder: Path, binaries: Binaries) -> tuple[list[float], int]:
    """Return the cosine of every text's mean hidden state against torch, and the longest text in tokens."""
    reference = ModernBertModel.from_pretrained(encoder, attn_implementation="eager").float().eval()
    texts = [*TEXTS, "字", _long_text(tokenizer, min(LONG_TOKENS, reference.config.max_position_embeddings - 2))]
    cosines, longest = [], 0
    for text in texts:
        ids = tokenizer.encode(text).ids
        with torch.no_grad():
            expected = reference(torch.tensor([ids])).last_hidden_state[0].mean(0).double().numpy()
        (got,) = embedding_of(binaries, model, prepare_text(tokenizer, text), 1, len(expected))
        cosines.append(float(got @ expected / np.linalg.norm(got) / np.linalg.norm(expected)))
        longest = max(longest, len(ids))
    return cosines, longest


def _long_text(tokenizer: Tokenizer, tokens: int) -> str:
    """Return plain sentences strung together, cut where they have at most `tokens` ids."""
    text = "".join(TEXTS[:4]) * (1 + tokens // 8)
    ends = [end for _, end in tokenizer.encode(text, add_special_tokens=False).offsets]
    return text[: ends[min(tokens, len(ends)) - 1]]


def _first_difference(tokenizer: Tokenizer, text: str, expected: Sequence[int], got: Sequence[int]) -> str:
    """Say where two rows of ids part."""
    index = next((i for i, pair in enumerate(zip(expected, got, strict=False)) if pair[0] != pair[1]), len(expected))
    names = [[tokenizer.id_to_token(token) for token in row[index : index + 3]] for row in (expected, got)]
    return f"in {text!r} at token {index}, release {names[0]}, llama.cpp {names[1]}"


def _run(command: list[str], text: str) -> str:
    """Run one of the programs on a text, which stays as it is, and return its output."""
    with tempfile.TemporaryDirectory(prefix="gguf_check_") as folder:
        file = Path(folder) / "text.txt"
        file.write_bytes(text.encode())
        process = run_captured([*command, "--no-escape", "-f", str(file)], TIME_LIMIT_SECONDS)
    if process.returncode:
        raise RuntimeError(f"{Path(command[0]).name} ended with {process.returncode}: {last_line(process)}")
    return process.stdout
