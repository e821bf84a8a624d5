"""The scripts for copying in `examples/`: each in its own process on generated rows, its figure found again here."""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from transformers import pipeline

from chinese_modernbert.hub_release.builder import ReleaseArguments, build_release
from reference.processes import run
from reference.tiny_checkpoint import CHARACTERS, write_tiny_checkpoint

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = ("run_classification", "run_ner", "run_mlm", "train_embedding")
MOST_LINES = 120
# Where this package is not installed.
WITHOUT_US = "import runpy, sys; sys.modules['chinese_modernbert'] = None; sys.argv = sys.argv[1:]; "
WITHOUT_US += "runpy.run_path(sys.argv[0], run_name='__main__')"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scripts")
    checkpoint = write_tiny_checkpoint(folder / "checkpoint")
    return build_release(ReleaseArguments(str(checkpoint), str(folder / "release"), dtype="bfloat16"))


def texts(count: int) -> list[str]:
    """Return different texts without punctuation."""
    rng = random.Random(1)
    return [f"{''.join(rng.choices(CHARACTERS, k=12))}{'北京' if number % 2 else '公园'}" for number in range(count)]


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def run_script(
    name: str, release: Path, folder: Path, rows: Sequence[dict[str, Any]], words: str = "", alone: bool = False
) -> dict[str, float]:
    """Run a script on rows, a quarter of them for validation, and return what it wrote down of the evaluation."""
    train = write_rows(folder / "train.jsonl", rows[len(rows) // 4 :])
    validation = write_rows(folder / "validation.jsonl", rows[: len(rows) // 4])
    start = ["-c", WITHOUT_US, str(EXAMPLES / f"{name}.py")] if alone else [str(EXAMPLES / f"{name}.py")]
    files = f"--model {release} --train_file {train} --validation_file {validation} --output_dir {folder / 'out'}"
    options = f"--trust_remote_code --use_cpu --disable_tqdm true --learning_rate 1e-3 --save_strategy no {words}"
    environment = {"HF_HOME": str(folder / "hub"), "HF_HUB_OFFLINE": "1"}
    done = run([sys.executable, *start, *files.split(), *options.split()], environment, cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    saved = json.loads((folder / "out" / "config.json").read_text(encoding="utf-8"))
    assert saved["dtype"] == "float32", "small steps on bfloat16 weights are rounded away"
    return json.loads((folder / "out" / "eval_results.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_short(name: str) -> None:
    assert (EXAMPLES / f"{name}.py").read_text(encoding="utf-8").count("\n") < MOST_LINES


def test_classification_reports_the_accuracy_of_the_model_that_it_saves(release: Path, tmp_path: Path) -> None:
    rows = [{"text": text, "label": "city" if text.endswith("北京") else "park"} for text in texts(64)]
    found = run_script("run_classification", release, tmp_path, rows, "--num_train_epochs 2", alone=True)
    classify = pipeline("text-classification", str(tmp_path / "out"), trust_remote_code=True, device="cpu")
    right = [classify(row["text"])[0]["label"] == row["label"] for row in rows[:16]]
    assert found["eval_accuracy"] == pytest.approx(np.mean(right))
    assert found["eval_accuracy_of_the_most_frequent_label"] == 0.5


def test_pairs_with_numbers_for_labels_are_classified_too(release: Path, tmp_path: Path) -> None:
    one, other = texts(32), texts(32)[::-1]
    rows = [{"a": a, "b": b, "same": int(a[-1] == b[-1])} for a, b in zip(one, other, strict=True)]
    words = "--text_column a --pair_column b --label_column same --max_steps 2"
    run_script("run_classification", release, tmp_path, rows, words, alone=True)
    config = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))
    assert set(config["id2label"].values()) == {str(row["same"]) for row in rows[8:]}


def test_entities_are_those_that_a_pipeline_finds(release: Path, tmp_path: Path) -> None:
    rows = [
        {"tokens": list(text), "tags": ["O"] * 12 + (["B-city", "I-city"] if text.endswith("北京") else ["O"] * 2)}
        for text in texts(96)
    ]
    found = run_script("run_ner", release, tmp_path, rows, "--num_train_epochs 6 --learning_rate 3e-3")
    tagger = str(tmp_path / "out")
    find = pipeline("token-classification", tagger, aggregation_strategy="simple", trust_remote_code=True, device="cpu")
    right = given = expected = 0
    for row in rows[:24]:
        text = "".join(row["tokens"])
        spans = {(one["start"], one["end"]) for one in find(text)}
        gold = {(12, 14)} if text.endswith("北京") else set()
        right, given, expected = right + len(spans & gold), given + len(spans), expected + len(gold)
    assert right > 0
    assert found["eval_precision"] == pytest.approx(right / given)
    assert found["eval_recall"] == pytest.approx(right / expected)
    assert found["eval_f1"] == pytest.approx(2 * right / (given + expected))


def test_masking_follows_the_curriculum_and_long_texts_become_rows(release: Path, tmp_path: Path) -> None:
    rows = [{"text": "".join(texts(6))} for _ in range(32)]
    words = "--max_length 32 --max_steps 8 --logging_steps 1 --save_strategy steps --save_steps 8"
    found = run_script("run_mlm", release, tmp_path, rows, words)
    assert found["eval_perplexity"] == pytest.approx(math.exp(found["eval_loss"]))
    assert 0 < found["eval_perplexity"] < found["eval_perplexity_before"]
    state = json.loads((tmp_path / "out" / "checkpoint-8" / "trainer_state.json").read_text(encoding="utf-8"))
    rates = [line["mask_rate_target"] for line in state["log_history"] if "mask_rate_target" in line]
    assert len(rates) == 8 and rates[0] < max(rates) > rates[-1]
    answers = pipeline("fill-mask", str(tmp_path / "out"), trust_remote_code=True, device="cpu")("今天天气很[MASK]。")
    assert len(answers) == 5


def test_embeddings_find_as_often_as_the_script_says(release: Path, tmp_path: Path) -> None:
    rows = [{"anchor": text, "positive": f"{text[2:]}好", "negative": text[::-1]} for text in texts(64)]
    words = "--num_train_epochs 1 --per_device_train_batch_size 8 --negative_column negative"
    found = run_script("train_embedding", release, tmp_path, rows, words, alone=True)
    model = SentenceTransformer(str(tmp_path / "out"), trust_remote_code=True, device="cpu")
    assert model.max_seq_length == 128  # of the release, not of training
    anchors, positives = (model.encode([row[name] for row in rows[:16]]) for name in ("anchor", "positive"))
    anchors, positives = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (anchors, positives))
    nearest = (anchors @ positives.T).argmax(axis=1)
    assert found["eval_cosine_accuracy@1"] == pytest.approx((nearest == np.arange(16)).mean())
    assert {"eval_cosine_ndcg@10", "eval_cosine_ndcg@10_before"} <= found.keys()
