"""What the stages share: their options, and a result file that is whole after every row."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from chinese_modernbert.runtime.environment import describe_environment
from chinese_modernbert.runtime.files import write_text_atomically


def options(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the words that `run.py` gives every stage."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--size", default="base")
    parser.add_argument("--device", default="")
    parser.add_argument("--seconds", type=float, default=60.0)
    return parser


def device_of(args: argparse.Namespace) -> str:
    """Return the device that was named, else the GPU if there is one."""
    return args.device or ("cuda" if torch.cuda.is_available() else "cpu")


class Results:
    """Rows of one stage, written after each."""

    def __init__(self, args: argparse.Namespace, name: str) -> None:
        self.file = args.output / f"{name}.json"
        self.values: dict[str, Any] = {"stage": name, "environment": describe_environment(), "rows": []}
        self.write()

    def add(self, **row: Any) -> None:
        """Add a row and write the file."""
        self.values["rows"].append(row)
        print(json.dumps(row), flush=True)
        self.write()

    def write(self) -> None:
        write_text_atomically(self.file, json.dumps(self.values, indent=1) + "\n")
