"""The clue command on made-up rows: every kind of task, interruption, a second model, a task of one's own."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from transformers import pipeline

from chinese_modernbert.cli import main
from chinese_modernbert.trainers.clue import run as clue_finetuning
from reference.clue_files import write_task
from reference.tiny_bert import write_tiny_bert
from reference.tiny_checkpoint import write_tiny_checkpoint

QUIET = ["--use_cpu", "--disable_tqdm", "true", "--report_to", "none", "--folds", "4", "--max_length", "64"]
SHORT = [*QUIET, "--num_train_epochs", "1"]
KINDS = {
    "afqmc": "accuracy",
    "csl": "accuracy",
    "cluewsc2020": "accuracy",
    "c3": "accuracy",
    "chid": "accuracy",
    "cmrc2018": "average",
    "cluener": "f1",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    return {"ours": str(write_tiny_checkpoint(folder / "ours")), "bert": str(write_tiny_bert(folder / "bert"))}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name in KINDS:
        write_task(folder, name, rows=32, dev_rows=12)
    return folder


def report(folder: Path) -> dict[str, Any]:
    return {row["task"]: row for row in json.loads((folder / "report.json").read_text(encoding="utf-8"))["tasks"]}


def write_own_task(folder: Path, rows: list[dict[str, Any]], **keys: Any) -> Path:
    """Write `own.yaml` with these keys, a classification unless they say otherwise, and its rows as train and dev."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    for name in ("train", "dev"):
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    values = {"kind": "classification", "train": "train.jsonl", "dev": "dev.jsonl", **keys}
    (folder / "own.yaml").write_text(json.dumps(values), encoding="utf-8")
    return folder / "own.yaml"


def run(model: str, data: Path, output: Path, *words: str) -> int:
    """Run the command; an option among `words` that is given again replaces the one before."""
    options: dict[str, list[str]] = {"--model": [model], "--output_dir": [str(output)]}
    if "--task_file" not in words:
        options["--data"] = [str(data)]
    name = ""
    for word in words:
        if word.startswith("--"):
            options[name := word] = []
        else:
            options[name].append(word)
    return main(["clue", *(word for name, values in options.items() for word in (name, *values))])


def test_all_tasks_train_predict_and_report(
    models: dict[str, str], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(models["ours"], data, tmp_path, *SHORT) == 0
    assert capsys.readouterr().out.strip().endswith("report.md")
    found = report(tmp_path)
    assert {name: row["metric"] for name, row in found.items()} == KINDS
    assert all(0 <= row["dev"]["mean"] <= 100 for row in found.values())
    assert "labelled_test" in found["c3"]["scored"]
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "tnews was skipped" in text
    assert "- Recipe: official CLUE PyTorch recipe, but for tokens, epochs; 64 tokens, 1 epochs at most" in text
    written = {path.name for path in (tmp_path / "submissions").iterdir()}
    expected = {"afqmc_predict.json", "csl_predict.json", "cluewsc11_predict.json", "c311_predict.json"}
    assert written >= expected | {
        "c310_predict.json",
        "chid11_predict.json",
        "cmrc2018_predict.json",
        "cluener_predict.json",
    }
    assert not (tmp_path / "scratch").exists()


@pytest.mark.parametrize("name", ["cluewsc2020", "c3", "cmrc2018", "cluener"])
def test_an_encoder_of_another_family_takes_the_same_protocol(
    name: str, models: dict[str, str], data: Path, tmp_path: Path
) -> None:
    assert run(models["bert"], data, tmp_path, "--tasks", name, *SHORT) == 0
    assert report(tmp_path)[name]["dev_rows"] >= 12


def test_a_command_that_was_cut_off_goes_on_with_the_same_scores(
    models: dict[str, str], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--tasks", "afqmc,csl", "--seeds", "2", "--grid", "--learning_rates", "1e-4", "1e-3", *SHORT]
    assert run(models["ours"], data, tmp_path / "straight", *words) == 0
    train, trained = clue_finetuning.TaskRuns._train, []

    def cut_off(self: Any, key: Any) -> Any:
        if len(trained) == 2:
            raise RuntimeError("the power went out")
        trained.append(key)
        return train(self, key)

    monkeypatch.setattr(clue_finetuning.TaskRuns, "_train", cut_off)
    assert run(models["ours"], data, tmp_path / "cut", *words) == 2
    assert not (tmp_path / "cut" / "report.md").exists()
    monkeypatch.setattr(clue_finetuning.TaskRuns, "_train", lambda self, key: trained.append(key) or train(self, key))
    assert run(models["ours"], data, tmp_path / "cut", *words) == 0
    assert len(trained) == len(set(trained)) == 2 * 3  # two rates, then one more seed, for two tasks
    straight, cut = report(tmp_path / "straight"), report(tmp_path / "cut")
    for rows in (straight, cut):
        for row in rows.values():
            row.pop("seconds")
    assert cut == straight


def test_results_of_other_settings_are_not_mixed_in(
    models: dict[str, str], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--tasks", "afqmc", "--predict_test", "false", *SHORT]
    assert run(models["ours"], data, tmp_path, *words) == 0
    for name, change in {
        "weight_decay was 0.01, is 0.5": ["--weight_decay", "0.5"],
        "weight_decay was 0.01, is 0.25": ["--weight_decay", "0.25", "--save_model"],  # what is missing is no excuse
        "lr_scheduler_type was 'linear', is 'cosine'": ["--lr_scheduler_type", "cosine"],
        "max_grad_norm was 1.0, is 2.0": ["--max_grad_norm", "2"],
    }.items():
        assert run(models["ours"], data, tmp_path, *words, *change) == 2
        assert name in capsys.readouterr().err
    assert run(models["ours"], data, tmp_path, *words, "--weight_decay", "0.5", "--overwrite") == 0


def test_results_of_another_description_of_a_task_are_not_mixed_in(
    models: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": f"北京读书{i}", "label": i % 2} for i in range(16)]
    file = write_own_task(tmp_path, rows, epochs=1)
    words = ["--task_file", str(file), *QUIET, "--max_length", "0"]
    assert run(models["ours"], tmp_path, tmp_path / "out", *words) == 0
    changed = {"epochs": 2, "max_length": 16, "batch_size": 4, "metric": "macro_f1"}
    write_own_task(tmp_path, rows, **changed)
    assert run(models["ours"], tmp_path, tmp_path / "out", *words) == 2
    error = capsys.readouterr().err
    assert "num_train_epochs was 1.0, is 2.0" in error and "per_device_train_batch_size was 16, is 4" in error
    assert "max_length was 128, is 16" in error and "metric was 'accuracy', is 'macro_f1'" in error


def test_the_rows_that_select_are_not_the_rows_that_are_reported(
    models: dict[str, str], data: Path, tmp_path: Path
) -> None:
    words = ["--tasks", "afqmc", *SHORT]
    assert run(models["ours"], data, tmp_path / "fold", *words) == 0
    (file,) = (tmp_path / "fold" / "runs" / "afqmc").glob("*.json")
    fold = json.loads(file.read_text(encoding="utf-8"))
    assert (fold["training_rows"] + fold["selection_rows"], fold["selection_rows"]) == (32, 8)
    assert run(models["ours"], data, tmp_path / "dev", *words, "--select_on", "dev") == 0
    (file,) = (tmp_path / "dev" / "runs" / "afqmc").glob("*.json")
    dev = json.loads(file.read_text(encoding="utf-8"))
    assert (dev["training_rows"], dev["selection_rows"]) == (32, 12)
    assert dev["selection"] == pytest.approx(dev["dev"]["accuracy"])
    assert "so dev is optimistic" in (tmp_path / "dev" / "report.md").read_text(encoding="utf-8")


def test_rows_that_are_cut_are_logged_once_per_task(
    models: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"text": "北京读书" * (9 if i < 3 else 1) + str(i), "label": i % 2} for i in range(16)]
    file = write_own_task(tmp_path, rows)
    assert run(models["ours"], tmp_path, tmp_path / "out", "--task_file", str(file), *SHORT, "--max_length", "16") == 0
    logged = [one for one in caplog.messages if "were cut" in one]
    assert logged == ["own: 3 of 16 train and 3 of 16 dev rows were cut (max_length=16)"]


def test_borrowed_rows_train_and_never_select(models: dict[str, str], tmp_path: Path) -> None:
    for name in ("ocnli", "cmnli"):
        write_task(tmp_path, name, rows=32, dev_rows=12)
    words = ["--tasks", "ocnli", "--train_from", "{ocnli: cmnli}", "--predict_test", "false", *SHORT]
    assert run(models["ours"], tmp_path, tmp_path / "out", *words) == 0
    (file,) = (tmp_path / "out" / "runs" / "ocnli").glob("*.json")
    found = json.loads(file.read_text(encoding="utf-8"))
    assert found["selection_rows"] == 8  # a fourth of the 32 rows of ocnli
    # Both tasks are made of the same texts here, so that the copies of the held-out rows must stay out as well.
    assert found["training_rows"] == 48


def test_a_task_without_rows_of_its_own_selects_on_borrowed_ones(models: dict[str, str], tmp_path: Path) -> None:
    write_task(tmp_path, "ocnli", rows=32, dev_rows=12)
    (write_task(tmp_path, "cmnli", as_zip=False) / "train.json").unlink()
    words = ["--tasks", "cmnli", "--train_from", "{cmnli: [ocnli]}", "--predict_test", "false", *SHORT]
    assert run(models["ours"], tmp_path, tmp_path / "out", *words) == 0
    (file,) = (tmp_path / "out" / "runs" / "cmnli").glob("*.json")
    found = json.loads(file.read_text(encoding="utf-8"))
    assert (found["training_rows"], found["selection_rows"]) == (24, 8)


def test_every_option_of_training_at_once_and_a_comparison_with_a_second_model(
    models: dict[str, str], data: Path, tmp_path: Path
) -> None:
    options = ["--lora_rank", "2", "--layer_decay", "0.8", "--class_weights", "--masked_fine_tuning", "--explain", "2"]
    more = ["--save_model", "--seeds", "2", "--max_train_samples", "24", "--max_eval_samples", "4"]
    assert run(models["bert"], data, tmp_path / "b", "--tasks", "afqmc", *SHORT, "--max_eval_samples", "4") == 0
    words = ["--tasks", "afqmc", *SHORT, *options, *more, "--against", str(tmp_path / "b")]
    assert run(models["ours"], data, tmp_path / "a", *words) == 0
    row = report(tmp_path / "a")["afqmc"]
    assert (row["runs"], row["training_rows"], row["selection_rows"], row["dev_rows"]) == (2, 18, 6, 4)
    assert 0 < row["against"]["p_value"] <= 1
    text = (tmp_path / "a" / "report.md").read_text(encoding="utf-8")
    assert "Against the other model" in text and "each masked alone" in text and "at most 24 per task" in text
    assert len(list((tmp_path / "a" / "models" / "afqmc").iterdir())) == 2
    assert not (tmp_path / "a" / "submissions").exists()  # a part of the test rows is no submission


@pytest.mark.parametrize("kind", ["classification", "pair", "entities", "choice"])
def test_a_task_of_ones_own_is_trained_by_the_same_command_which_says_how_to_ask_what_it_saved(
    kind: str, models: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows: list[dict[str, Any]] = []
    for i in range(24):
        city = ["北京", "上海"][i % 2]
        if kind == "entities":
            rows.append({"tokens": [*city, "会", str(i)], "labels": ["B-city", "I-city", "O", "O"]})
        elif kind == "choice":
            rows.append(
                {"context": f"他在{city}读书{i}", "question": "在什么？", "choices": ["北京", "上海"], "label": i % 2}
            )
        else:
            rows.append({"text": f"{city}读书{i}", "other": f"散步{i}", "label": ["no", "yes"][i % 2]})
    keys: dict[str, Any] = {"fields": ["text", "other"]} if kind == "pair" else {"kind": kind}
    file, output = write_own_task(tmp_path, rows, **keys), tmp_path / "a folder"
    caplog.set_level("INFO")
    assert run(models["ours"], tmp_path, output, "--task_file", str(file), "--save_model", *SHORT) == 0
    assert report(output)["own"]["dev_rows"] == 24
    (said,) = [line for line in caplog.messages if line.startswith("model saved: ")]
    program, *words = shlex.split(said.removeprefix("model saved: "))
    assert program == "chinese-modernbert" and ("--fields" in words) == (kind == "pair")
    words[words.index("FILE")] = str(tmp_path / "dev.jsonl")
    assert main([*words, "--use_cpu", "--output_file", str(tmp_path / "answers.jsonl")]) == 0
    assert len((tmp_path / "answers.jsonl").read_text(encoding="utf-8").rstrip("\n").split("\n")) == 24


@pytest.mark.parametrize("kind", ["multi_label", "regression"])
def test_labels_of_another_kind_are_learned_saved_and_served(kind: str, models: dict[str, str], tmp_path: Path) -> None:
    rows = []
    for i in range(64):
        words = [word for bit, word in enumerate(("北京", "会议")) if i >> bit & 1]
        label = (
            [{"北京": "place", "会议": "event"}[word] for word in words] if kind == "multi_label" else float(len(words))
        )
        rows.append({"text": f"{''.join(words)}散步{i % 7}", "label": label})
    file = write_own_task(tmp_path, rows, kind=kind)
    words = ["--task_file", str(file), "--learning_rate", "5e-3", "--num_train_epochs", "8", "--save_model", *QUIET]
    assert run(models["ours"], tmp_path, tmp_path / "out", *words) == 0
    row = report(tmp_path / "out")["own"]
    assert row["dev"]["mean"] > 95 and row["baseline"] < 70
    (folder,) = (tmp_path / "out" / "models" / "own").iterdir()
    served = pipeline("text-classification", str(folder), top_k=None, trust_remote_code=True)
    (scores,) = served(["北京会议散步1"])
    found = {one["label"]: one["score"] for one in scores}
    if kind == "regression":
        assert set(found) == {"label"} and found["label"] > 1  # no sigmoid
    else:
        assert set(found) == {"event", "place"} and min(found.values()) > 0.5  # no softmax


def test_another_command_does_not_replace_the_report_of_a_finished_folder(
    models: dict[str, str], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--tasks", "afqmc,csl", "--predict_test", "false", *SHORT]
    assert run(models["ours"], data, tmp_path, *words) == 0
    kept = (tmp_path / "report.json").read_bytes()
    for message, change in {
        'learning_rate was "the task\'s", is 0.001': ["--learning_rate", "1e-3"],
        "grid was None, is [0.001]": ["--grid", "--learning_rates", "1e-3"],
        "seeds were 1, are 2": ["--seed", "2"],
        "tasks were afqmc, csl, are afqmc": ["--tasks", "afqmc"],
        "train_from was None": ["--train_from", "{afqmc: csl}"],
    }.items():
        assert run(models["ours"], data, tmp_path, *words, *change) == 2
        assert message in capsys.readouterr().err
        assert (tmp_path / "report.json").read_bytes() == kept
    assert run(models["ours"], data, tmp_path, *words, "--seeds", "2", "--tasks", "afqmc,csl,c3") == 0
    assert set(report(tmp_path)) == {"afqmc", "csl", "c3"}


def test_a_tiny_model_learns_an_easy_task(models: dict[str, str], tmp_path: Path) -> None:
    rows = [{"text": f"{'北京' if i % 2 else '上海'}会议{i % 7}", "label": i % 2} for i in range(64)]
    file = write_own_task(tmp_path, rows)
    words = ["--task_file", str(file), "--learning_rate", "5e-3", "--num_train_epochs", "8", *QUIET]
    assert run(models["ours"], tmp_path, tmp_path / "out", *words) == 0
    assert report(tmp_path / "out")["own"]["dev"]["mean"] == 100.0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tasks", "tnews"], "no data of tnews"),
        (["--tasks", "afqmc", "--max_length", "4096"], "over the 128 tokens"),
        (["--tasks", "c3", "--class_weights"], "c3 has none"),
        (["--tasks", "afqmc", "--folds", "500"], "cannot make folds=500"),
        (["--tasks", "afqmc", "--masked_fine_tuning", "--dataloader_num_workers", "2"], "dataloader_num_workers"),
        (["--tasks", "afqmc", "--against", "nowhere"], "nowhere holds no report.json"),
        (["--tasks", "all", "--data", "nowhere"], "no task has data in nowhere"),
        # What is wrong with a later task is told before the first is trained.
        (["--tasks", "afqmc,tnews"], "no data of tnews"),
        (["--tasks", "afqmc,c3", "--class_weights"], "c3 has none"),
        (["--tasks", "afqmc,cluewsc2020", "--max_length", "8"], "has no token within max_length=8; raise it"),
        (["--tasks", "afqmc,csl", "--against", "other"], "csl: the two models were scored on other dev rows, 12 and 1"),
        (["--tasks", "afqmc", "--against", "other"], "against=other has none of the chosen tasks; it has csl"),
    ],
)
def test_a_users_mistake_is_one_line(
    words: list[str],
    message: str,
    models: dict[str, str],
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    content = {"settings": {"model": "other"}, "tasks": [{"task": "csl", "dev_gold": [1]}]}
    (tmp_path / "other" / "report.json").write_text(json.dumps(content), encoding="utf-8")
    assert run(models["ours"], data, tmp_path / "out", *SHORT, *words) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not (tmp_path / "out" / "runs").exists()


def test_nothing_is_trained_or_written_before_the_other_models_report_is_found(
    models: dict[str, str], data: Path, tmp_path: Path
) -> None:
    assert run(models["ours"], data, tmp_path / "out", "--tasks", "afqmc", *SHORT, "--against", "nowhere") == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["[]", '{"sentence1": "甲", "sentence2": "乙", "label": "-"}'])
def test_a_test_file_without_rows_is_left_out(
    content: str, models: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_task(tmp_path, "ocnli", as_zip=False)
    (folder / "test.json").write_text(content, encoding="utf-8")
    assert run(models["ours"], tmp_path, tmp_path / "out", "--tasks", "ocnli", *SHORT) == 0
    assert "test of ocnli has no rows to predict" in caplog.text
    assert set(report(tmp_path / "out")["ocnli"]["scored"]) == {"dev"}
