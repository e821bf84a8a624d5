"""Pre-training on two processes and on two torchrun agents: nothing twice, nothing lost, nothing written by two."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any

import psutil
import pytest
import torch
from accelerate import PartialState
from safetensors.torch import load_file

from chinese_modernbert.runtime.folder_lock import LOCK
from chinese_modernbert.runtime.options import load_recipe
from chinese_modernbert.runtime.recipes import RECIPES_FOLDER
from chinese_modernbert.tokenization import TokenizerArguments, run_tokenizer_training
from chinese_modernbert.trainers.data.prepare import PrepareArguments, run_prepare
from chinese_modernbert.trainers.pretraining.arguments import PretrainingArguments
from chinese_modernbert.trainers.pretraining.checkpoints import last_checkpoint
from chinese_modernbert.trainers.pretraining.log import read_training_log
from chinese_modernbert.trainers.pretraining.run import (
    _recipe_text,
    build_trainer,
    check_pretraining,
    run_pretraining,
)
from reference import processes
from reference.processes import held_at, held_port, wait_until
from reference.torchrun import finish, start, workers_of

REFERENCE = Path(__file__).parents[1] / "reference"
TEXTS = [f"第{i}条：老虎住在森林里，共有{i * 37 % 101}只，也会游泳。北京有{i}条大街。" for i in range(240)]
STEPS = 12
SAME = ("loss", "grad_norm", "learning_rate", "mask_rate_target")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a tokenizer and shards for training and evaluation."""
    folder = tmp_path_factory.mktemp("data")
    for name, part in (("train", TEXTS[:200]), ("eval", TEXTS[200:])):
        lines = [json.dumps({"text": text}, ensure_ascii=False) for text in part]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    corpus, tokenizer = [str(folder / "train.jsonl")], str(folder / "tokenizer")
    run_tokenizer_training(TokenizerArguments(corpus=corpus, output_dir=tokenizer, vocab_size=384))
    for name in ("train", "eval"):
        source = [str(folder / f"{name}.jsonl")]
        run_prepare(PrepareArguments(source, tokenizer, str(folder / f"{name}-shards"), prepare_workers=0))
    return folder


def settings(data: Path, output: Path, **changes: Any) -> dict[str, Any]:
    """Return the fields of a run with dropout, so that the generators of both processes matter."""
    return {
        "data": str(data / "train-shards"),
        "eval_data": str(data / "eval-shards"),
        "tokenizer": str(data / "tokenizer"),
        "output_dir": str(output),
        "model": "tiny",
        "model_overrides": {
            "num_hidden_layers": 2,
            "hidden_size": 64,
            "intermediate_size": 96,
            "embedding_dropout": 0.02,
        },
        "stages": [{"context_length": 64, "share": 0.5}, {"context_length": 128, "share": 0.5}],
        **{"tokens_per_micro_batch": 256, "max_steps": STEPS, "warmup_steps": 2, "learning_rate": 5e-3},
        **{"logging_steps": 1, "save_steps": 4, "save_total_limit": 5, "seed": 3, "use_cpu": True},
        **{"eval_strategy": "steps", "eval_steps": 6, "disable_tqdm": True, "maximum_single_token_share": None},
        **changes,
    }


def arguments_of(fields: dict[str, Any]) -> PretrainingArguments:
    return load_recipe([PretrainingArguments], None, fields)[0]


def command(fields: dict[str, Any], folder: Path) -> list[str]:
    """Return the words of the command with a recipe, as the documentation gives them."""
    (folder / "recipe.yaml").write_text(json.dumps(fields), encoding="utf-8")
    return ["-m", "chinese_modernbert.cli", "pretrain", "--config", str(folder / "recipe.yaml")]


def training_lines(output: Path) -> list[dict[str, float]]:
    return [{key: line[key] for key in SAME} for line in read_training_log(output) if "loss" in line]


def taken(folder: Path, rank: int) -> list[list[int]]:
    """Return (step, micro-batches) of a process, in the order in which it took them."""
    return [[int(word) for word in line.split()] for line in (folder / f"taken-{rank}.txt").read_text().splitlines()]


def wait_for_steps(run: Path, steps: int, process: Popen[str]) -> None:
    """Wait until a run has logged so many steps."""
    log = run / "training_log.jsonl"
    wait_until(lambda: log.exists() and log.read_text().count('"loss"') >= steps, process)


def assert_same_weights(first: Path, second: Path) -> None:
    left, right = (load_file(folder / "model.safetensors") for folder in (first, second))
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.fixture(scope="module")
def straight(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run of the command on two processes that nothing disturbed."""
    folder = tmp_path_factory.mktemp("straight")
    assert finish(start(command(settings(data, folder / "run"), folder), folder)) == [0], (
        folder / "err-0.txt"
    ).read_text()
    return folder


def test_two_processes_finish_write_once_and_speak_once(straight: Path) -> None:
    run, out, errors = (straight / name for name in ("run", "out-0.txt", "err-0.txt"))
    written = {path.name for path in run.iterdir()}
    assert written == {*(f"checkpoint-{n}" for n in (4, 8, 12)), "final", "pretraining.json", "training_log.jsonl"}
    assert out.read_text().count("checkpoint: ") == 1
    assert errors.read_text().count("final checkpoint in") == 1
    assert [line["step"] for line in read_training_log(run) if "loss" in line] == list(range(1, STEPS + 1))
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= {path.name for path in (run / "checkpoint-4").iterdir()}
    assert not list(straight.rglob("*.partial"))


def test_evaluation_on_two_processes_equals_evaluation_on_one(data: Path, straight: Path, tmp_path: Path) -> None:
    logged = [line for line in read_training_log(straight / "run") if "eval_loss" in line][-1]
    fields = settings(data, tmp_path, model=str(straight / "run" / "final"))
    arguments = arguments_of({**fields, "model_overrides": None})
    scores = build_trainer(arguments, check_pretraining(arguments)).evaluate()
    names = [name for name in scores if name.startswith("eval_") and "runtime" not in name]
    assert "eval_masked_tokens" in names
    assert {name: logged[name] for name in names} == pytest.approx({name: scores[name] for name in names}, rel=1e-4)


def test_two_agents_killed_in_the_middle_continue_bit_for_bit_once_their_workers_are_gone(
    data: Path, straight: Path, tmp_path: Path
) -> None:
    fields = settings(data, tmp_path / "run", resume="auto")
    words = [str(REFERENCE / "recorded_pretraining.py"), json.dumps(fields), str(tmp_path)]
    agents = start(words, tmp_path, agents=2, environment=held_at(7))
    wait_for_steps(tmp_path / "run", 6, agents[0])
    workers = [worker for agent in agents for worker in workers_of(agent)]
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)  # or they might end by themselves before the next start
    for agent in agents:
        agent.kill()
        agent.wait()
    owners = json.loads((tmp_path / "run" / LOCK).read_text())
    assert sorted(pid for _, pid, *_ in owners) == sorted(workers)
    kept = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert 0 not in finish(start(words, tmp_path, agents=2))
    assert f"run is in use by process {owners[0][1]} on" in (tmp_path / "err-0.txt").read_text()
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == kept
    assert finish(agents) == [-signal.SIGKILL] * 2  # and now their workers are gone
    began = last_checkpoint(tmp_path / "run")
    assert began is not None
    for record in tmp_path.glob("taken-*.txt"):
        record.unlink()
    assert finish(start(words, tmp_path, agents=2)) == [0, 0], (tmp_path / "err-0.txt").read_text()
    assert_same_weights(straight / "run" / "final", tmp_path / "run" / "final")
    assert training_lines(tmp_path / "run") == training_lines(straight / "run")
    first, second = taken(tmp_path, 0), taken(tmp_path, 1)
    steps = range(int(began.name.rpartition("-")[2]), STEPS)
    assert first == [[step, 2 * step] for step in steps]
    assert second == [[step, 2 * step + 1] for step in steps]


def test_another_number_of_processes_continues_while_the_step_stays_as_large(
    data: Path, straight: Path, tmp_path: Path
) -> None:
    checkpoint = str(straight / "run" / "checkpoint-4")
    run_pretraining(arguments_of(settings(data, tmp_path, resume=checkpoint, gradient_accumulation_steps=2)))
    # Dropout falls on other tokens, so losses are close, not equal; the clocks are equal.
    for found, wanted in zip(training_lines(tmp_path), training_lines(straight / "run")[4:], strict=True):
        assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-2)
        assert found == pytest.approx(wanted, rel=1e-1)


def test_a_step_of_another_size_is_refused_by_every_process_and_nobody_hangs(
    data: Path, straight: Path, tmp_path: Path
) -> None:
    fields = settings(data, straight / "run", resume="auto", gradient_accumulation_steps=2)
    assert finish(start(command(fields, tmp_path), tmp_path)) == [1]
    message = "cannot go on exactly under other settings: micro_batches_per_step was 2, is 4"
    lines = [line for line in (tmp_path / "err-0.txt").read_text().split("\n") if line.startswith("chinese-modernbert")]
    assert len(lines) == 2
    assert all(message in line for line in lines)
    assert (straight / "run" / "final").is_dir()


def test_what_one_process_finds_is_said_by_all(tmp_path: Path) -> None:
    words = [str(REFERENCE / "disagreeing_processes.py"), str(tmp_path)]
    assert finish(start(words, tmp_path)) == [0], (tmp_path / "err-0.txt").read_text()
    zero, one = ((tmp_path / f"said-{rank}.txt").read_text().split("\n") for rank in (0, 1))
    assert zero[0] == "RuntimeError: process 1 cannot start: shards: no manifest"
    assert one[0] == "FileNotFoundError: shards: no manifest"
    assert zero[1] == one[1]
    assert zero[1].startswith("ValueError: processes 0 and 1 do not see the same shards;")
    assert (zero[2:], one[2:]) == (["True", "0"], ["True", "1"])
    assert not (tmp_path / "written-1").exists()


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Yield the environment of a job of two nodes with one process each; srun and scontrol are stand-ins."""
    (tmp_path / "bin").mkdir()
    for name in ("srun", "scontrol"):
        (tmp_path / "bin" / name).symlink_to(REFERENCE / f"stand_in_{name}")
    path = f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    job = {"SLURM_JOB_ID": "17", "SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "node[1-2]", "PROCESSES_PER_NODE": "1"}
    own = {"PATH": path, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path), "REQUEUED": str(tmp_path / "requeued")}
    with held_port() as port:
        yield {**job, **own, "MEETING_PORT": str(port)}


def test_a_signal_ahead_of_the_time_limit_saves_queues_again_and_goes_on_bit_for_bit(
    data: Path, straight: Path, tmp_path: Path, slurm: dict[str, str]
) -> None:
    # One step more between checkpoints than the run has: what is there afterwards was saved because of the signal.
    recipe = command(settings(data, tmp_path / "run", save_steps=STEPS + 1), tmp_path)[3:]
    script = ["bash", str(RECIPES_FOLDER / "pretrain.sbatch"), *recipe]
    with (tmp_path / "job.txt").open("w") as output:
        job = processes.start(script, {**slurm, **held_at(4)}, stdout=output, stderr=output)
        wait_for_steps(tmp_path / "run", 3, job)
        job.send_signal(signal.SIGUSR1)
        assert finish([job]) == [0], (tmp_path / "job.txt").read_text()
        assert (tmp_path / "requeued").read_text() == "17\n"
        assert last_checkpoint(tmp_path / "run") is not None
        assert not (tmp_path / "run" / "final").exists()
        assert finish([processes.start(script, slurm, stdout=output, stderr=output)]) == [0]
    assert (tmp_path / "requeued").read_text() == "17\n"
    assert_same_weights(straight / "run" / "final", tmp_path / "run" / "final")


def test_a_node_that_fails_takes_the_other_with_it_and_the_job_is_not_queued_again(
    data: Path, tmp_path: Path, slurm: dict[str, str]
) -> None:
    recipe = command(settings(data, tmp_path / "run"), tmp_path)[3:]
    script = ["bash", str(RECIPES_FOLDER / "pretrain.sbatch"), *recipe]
    with (tmp_path / "job.txt").open("w") as output:
        job = processes.start(script, {**slurm, **held_at(4)}, stdout=output, stderr=output)
        wait_for_steps(tmp_path / "run", 3, job)
        started = psutil.Process(job.pid).children(recursive=True)
        words = {one: processes.command_line(one) for one in started}  # some have ended by now
        workers = [one for one in started if "pretrain" in words[one] and "--rdzv_backend" not in words[one]]
        workers[0].kill()
        assert job.wait(timeout=processes.PATIENCE_SECONDS) == 1, (tmp_path / "job.txt").read_text()
    assert [one for one in started if one.is_running() and processes.command_line(one)] == []
    assert not (tmp_path / "requeued").exists()


def test_writing_the_recipe_leaves_the_device_of_the_run_alone(data: Path, tmp_path: Path) -> None:
    arguments = arguments_of(settings(data, tmp_path))
    state = PartialState()
    try:
        state.device = torch.device("meta")
        assert "use_cpu" not in _recipe_text(arguments)
        assert PartialState().device == torch.device("meta")
    finally:
        state.device = torch.device("cpu")
