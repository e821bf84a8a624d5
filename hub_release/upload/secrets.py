"""What looks like a secret: keys by the marks that their makers give them, passwords by the words around them.

The list is ours. Of the kept libraries detect-secrets 1.5 (2024) reads lines of text, and does not know the keys of the
Hub, Anthropic, Google and Weights & Biases; and a search that only an installed extra makes would often be none.
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path

# Marks that a key begins with, and what follows; lengths are lower bounds. Source: what their makers publish of them.
KEYS: tuple[tuple[str, tuple[bytes, ...], bytes], ...] = (
    ("a token of the Hub", (b"hf_", b"api_org_"), rb"[A-Za-z0-9]{30,}"),
    ("a token of GitHub", (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"), rb"\w{30,}"),
    ("a token of GitLab", (b"glpat-", b"gldt-", b"glft-", b"glrt-", b"glcbt-", b"glptt-", b"gloas-"), rb"[\w-]{20,}"),
    ("a key of OpenAI or Anthropic", (b"sk-",), rb"[\w-]{32,}"),
    ("a key of Google", (b"AIza",), rb"[\w-]{35}"),
    ("a key of Google", (b"GOCSPX-", b"ya29."), rb"[\w-]{20,}"),
    ("a token of Slack", (b"xoxa-", b"xoxb-", b"xoxe-", b"xoxp-", b"xoxr-", b"xoxs-", b"xapp-"), rb"[A-Za-z0-9-]{10,}"),
    ("a token of Slack", (b"hooks.slack.com/services/",), rb"T\w+/B\w+/\w+"),
    ("a token of npm", (b"npm_",), rb"[A-Za-z0-9]{36}"),
    ("a token of PyPI", (b"pypi-",), rb"[\w-]{60,}"),
    ("a key of Weights & Biases", (b"wandb_v1_",), rb"\w{30,}"),
    ("a key of Stripe", (b"sk_live_", b"rk_live_"), rb"[A-Za-z0-9]{24,}"),
    ("a key of Azure", (b"AccountKey=",), rb"[A-Za-z0-9+/]{80,}"),
    ("an access key of AWS", (b"AKIA", b"ASIA", b"ABIA", b"ACCA"), rb"[0-9A-Z]{16}(?![A-Za-z0-9])"),
    ("a web token", (b"eyJ",), rb"[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
    ("a private key", (b"-----BEGIN ",), rb"[A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?-----"),
)
_IS = rb"[\"']?\s{0,3}[:=]\s{0,3}[\"']?"
# Without a mark of their own: looked for in text alone, behind a word that says what they are.
NAMED: tuple[tuple[str, bytes], ...] = (
    ("a key of Weights & Biases", rb"(?i:wandb)[\w.]{0,20}" + _IS + rb"[0-9a-f]{40}\b"),
    ("a secret key of AWS", rb"(?i:aws|secret)[\w.-]{0,20}" + _IS + rb"[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])"),
    (
        "a password",
        rb"(?i:password|passwd|api_?key|secret_?key|(?:access|auth)_token|client_secret)"
        + _IS
        + rb"(?=[A-Za-z+/_=-]{0,99}[0-9])[A-Za-z0-9+/_=-]{12,}(?=[\"'\s,}]|\Z)",
    ),
)
# The mark comes first in a pattern, since that is what makes the search of gigabytes quick.
_KEYS = [
    (kind, re.compile(re.escape(mark) + rb"(?<![A-Za-z0-9]" + re.escape(mark) + b")" + rest))
    for kind, marks, rest in KEYS
    for mark in marks
]
_KEYS.append(("a password in an address", re.compile(rb"://[^\s/:@{}$<>\"']{1,64}:[^\s/:@{}$<>\"']{3,128}@\w")))
_NAMED = [(kind, re.compile(pattern)) for kind, pattern in NAMED]
_NUMBERS = (".safetensors", ".onnx", ".png")


def find_secret(path: Path) -> str:
    """Return which kind of secret a file seems to hold, in text of UTF-16 too; empty where none."""
    if path.stat().st_size == 0:
        return ""  # cannot be mapped
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if path.suffix in _NUMBERS:
            return _first_kind(_KEYS, content)
        return _first_kind(_KEYS + _NAMED, content[:].replace(b"\0", b""))


def _first_kind(patterns: list[tuple[str, re.Pattern[bytes]]], content: bytes | mmap.mmap) -> str:
    """Return the kind of the first pattern that is found."""
    return next((kind for kind, pattern in patterns if pattern.search(content)), "")
