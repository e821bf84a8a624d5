"""Use an installation with one extra, in the folder at hand: what it is for works, what needs another extra says so."""

# ruff: noqa: TID251 (it is a user of the installed package)

import json
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from chinese_modernbert import ChineseModernBertConfig, ChineseModernBertForMaskedLM, load_tokenizer
from chinese_modernbert.cli import SHIPPED_TOKENIZER
from chinese_modernbert.commands import COMMANDS
from chinese_modernbert.runtime.lazy import EXTRAS

PROGRAM = Path(sys.executable).parent / "chinese-modernbert"
# Each line is a command that works with the extra alone; those of the core work with any.
USES = {
    "core": [
        "tokenizer train --corpus texts.txt --segmenter none --vocab_size 300 --output_dir tokenizer",
        "prepare --corpus texts.txt --segmenter none --prepare_workers 0 --output_dir plain-shards",
        "release --model model --output_dir release",
        "verify release",
        "mask --text 我们去公园散步。 --segmenter none",
    ],
    "segment": [
        "prepare --corpus texts.txt --prepare_workers 0 --output_dir shards",
        "mask --text 我们去公园散步。",
    ],
    "train": [
        "prepare --corpus texts.txt --prepare_workers 0 --output_dir shards",
        "pretrain --config pretrain_smoke --data shards --max_steps 12 --output_dir run --use_cpu",
        "pretrain plot run",
    ],
    "eval": [
        "clue --model model --task_file task.yaml --output_dir results --save_model --use_cpu --num_train_epochs 1",
        "minimal-pairs model --data pairs.jsonl --output_dir pairs --use_cpu",
        "tokenizer report --corpus texts.txt --output_dir report",
    ],
    "onnx": [
        "release --model model --output_dir release-onnx --onnx fp32,int8",
        "verify release-onnx",
    ],
}
USES["all"] = [line for extra in ("train", "eval", "onnx") for line in USES[extra]]


def write_inputs() -> None:
    """Write a tiny model with the shipped tokenizer, and invented texts, rows and pairs."""
    tokenizer = load_tokenizer(SHIPPED_TOKENIZER)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2, "num_hidden_layers": 2}
    config = ChineseModernBertConfig.preset("tiny", vocab_size=len(tokenizer), **sizes)
    ChineseModernBertForMaskedLM(config).save_pretrained("model")
    for file in SHIPPED_TOKENIZER.iterdir():
        shutil.copy(file, "model")
    lines = [f"我们第{number}次去公园散步，天气很好。" for number in range(300)]
    Path("texts.txt").write_text("\n\n".join(lines), encoding="utf-8")
    rows = [{"text": line, "label": str(number % 2)} for number, line in enumerate(lines[:60])]
    for name in ("train", "dev"):
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    Path("task.yaml").write_text("kind: classification\ntrain: train.jsonl\ndev: dev.jsonl\n", encoding="utf-8")
    pairs = [
        {"UID": "order", "phenomenon": "order", "sentence_good": f"{line}好。", "sentence_bad": f"好{line}。"}
        for line in lines[:4]
    ]
    Path("pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")


def call(line: str) -> tuple[int, str]:
    """Run a command; return its exit code and the end of what it wrote to standard error."""
    done = subprocess.run([str(PROGRAM), *line.split()], capture_output=True, text=True)
    return done.returncode, done.stderr.rstrip("\n").split("\n")[-1]


def main(extra: str) -> int:
    """Return 0 where everything works or names its extra."""
    optional = sorted({package for packages in EXTRAS.values() for package in packages})
    sys.stdout.write(f"   present: {', '.join(filter(find_spec, optional)) or 'no optional package'}\n")
    write_inputs()
    faults = 0
    for line in dict.fromkeys([*USES["core"], *USES.get(extra, [])]):
        begin = time.perf_counter()
        code, last = call(line)
        works = code == 0
        faults += not works
        result = f"{time.perf_counter() - begin:.0f} s" if works else f"exit code {code}: {last}"
        sys.stdout.write(f"   {'works' if works else 'FAILS'}: {' '.join(line.split()[:2])} ({result})\n")
    for name, command in COMMANDS.items():
        missing = [package for package in command.needs if find_spec(package) is None]
        if missing:
            code, last = call(f"{name} --output_dir out")
            says = code == 2 and f"missing for {name}: pip install 'chinese-modernbert[" in last
            faults += not says
            sys.stdout.write(f"   {'refused' if says else 'FAILS'}: {last}\n")
    return int(faults > 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
