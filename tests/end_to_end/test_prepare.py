"""`prepare` in several processes, and killed in the middle."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader

from chinese_modernbert.tokenization import load_tokenizer, tokenizer_hash
from chinese_modernbert.trainers.data.arguments import PrepareArguments
from chinese_modernbert.trainers.data.datatrove_steps import MergeShards, PrepareShards
from chinese_modernbert.trainers.data.prepare import run_prepare, start_without_interrupts
from chinese_modernbert.trainers.data.shards import TokenShards
from reference.processes import start, wait_until

MASK = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def finished(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("shard-*.json")}


def documents(shards: TokenShards) -> list[tuple[str, list[int], list[bool]]]:
    rows = []
    for index in range(len(shards)):
        document = shards[index]
        source = shards.source_names[shards.source_of[index]]
        rows.append((source, document.input_ids.tolist(), document.word_starts.tolist()))
    return rows


def test_two_processes_write_the_same_bytes_as_one(arguments: PrepareArguments, tmp_path: Path) -> None:
    arguments.near_duplicate_similarity = 0.6
    alone = contents(run_prepare(arguments))
    assert json.loads(alone["manifest.json"])["dropped"]["near_duplicate"] > 0
    arguments.prepare_workers, arguments.output_dir = 2, str(tmp_path / "pool")
    assert contents(run_prepare(arguments)) == alone


@pytest.fixture
def heard_interrupts() -> Iterator[None]:
    """Let this process and what it starts hear Ctrl-C, which a shell switches off for what runs in the background."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.mark.usefixtures("heard_interrupts")
def test_ctrl_c_reaches_the_command_and_not_its_workers(many: PrepareArguments, tmp_path: Path) -> None:
    words = [f"--{name}={getattr(many, name)}" for name in ("tokenizer", "output_dir", "shard_characters")]
    command = ["-m", "chinese_modernbert.cli", "prepare", "--corpus", *many.corpus, *words, "--prepare_workers=2"]
    log = tmp_path / "log"
    with log.open("w") as stream:
        process = start([sys.executable, *command], stderr=stream)
        wait_until(lambda: len(psutil.Process(process.pid).children()) >= 3, process)  # the workers are still starting
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait() == 130
    assert "prepare was interrupted" in log.read_text() and "Traceback" not in log.read_text()


@pytest.mark.usefixtures("heard_interrupts")
def test_ctrl_c_while_a_worker_starts_is_lost_on_the_worker_alone() -> None:
    with start_without_interrupts():
        worker = subprocess.run([sys.executable, "-c", MASK], stdout=subprocess.PIPE, check=True)
    held_back = []
    with pytest.raises(KeyboardInterrupt), start_without_interrupts():
        os.kill(os.getpid(), signal.SIGINT)
        held_back.append(True)
    assert worker.stdout == b"True\n" and held_back


def test_a_killed_run_goes_on_where_it_was_and_leaves_no_worker_behind(many: PrepareArguments, tmp_path: Path) -> None:
    whole = contents(run_prepare(dataclasses.replace(many, output_dir=str(tmp_path / "whole"))))
    folder = Path(many.output_dir)
    words = [f"--{name}={getattr(many, name)}" for name in ("tokenizer", "output_dir", "shard_characters")]
    command = ["-m", "chinese_modernbert.cli", "prepare", "--corpus", *many.corpus, *words, "--prepare_workers=1"]
    process = start([sys.executable, *command], stderr=subprocess.DEVNULL)
    wait_until(lambda: len(finished(folder)) >= 5, process)
    workers = psutil.Process(process.pid).children()
    process.kill()
    assert process.wait() == -signal.SIGKILL
    wait_until(lambda: not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers))
    kept = finished(folder)
    assert workers and 5 <= len(kept) < len([name for name in whole if name.endswith("ids.bin")])
    assert not (folder / "manifest.json").exists()
    assert contents(run_prepare(many)) == whole
    assert finished(folder).items() >= kept.items()


def test_two_tasks_of_a_pipeline_give_the_documents_of_the_plain_run(
    arguments: PrepareArguments, corpus: Path, tmp_path: Path
) -> None:
    plain = TokenShards(run_prepare(arguments))
    for_tasks = dataclasses.replace(arguments, corpus=[], output_dir=str(tmp_path / "pipeline"))
    logs = str(tmp_path / "logs")
    steps = [JsonlReader(str(corpus), glob_pattern="*.jsonl"), PrepareShards(for_tasks)]
    shards = LocalPipelineExecutor(steps, tasks=2, workers=2, logging_dir=f"{logs}/shards")
    LocalPipelineExecutor([MergeShards(for_tasks)], tasks=1, logging_dir=f"{logs}/merge", depends=shards).run()
    tokenizer = load_tokenizer(for_tasks.tokenizer)
    merged = TokenShards(for_tasks.output_dir, tokenizer_hash(tokenizer))
    # Each task reads one of the two files, so even the order is that of the plain run.
    assert documents(merged) == documents(plain)
    assert np.array_equal(merged.token_counts(), plain.token_counts())
    names = [entry["name"] for entry in merged.manifest["shards"]]
    assert len(set(names)) == len(names) and {name[:11] for name in names} == {"shard-00000", "shard-00001"}
    for key in ("documents", "documents_read", "tokens", "words", "sources", "dropped", "dtype", "vocab_size"):
        assert merged.manifest[key] == plain.manifest[key]
    assert merged.manifest.keys() == plain.manifest.keys()
