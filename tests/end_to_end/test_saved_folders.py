"""Whatever a command or a library writes of a model of ours, loaded as everything it can be, without this package.

Three processes share the work: one that has nothing of ours and saves, one that loads every folder as every class, and
this one, which runs the commands and releases again what the second has fine-tuned for another task.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForTokenClassification, DataCollatorWithPadding, Trainer, TrainingArguments

from chinese_modernbert.cli import main
from chinese_modernbert.hub_release import ReleaseArguments, build_release, convert_checkpoint, verify_release
from chinese_modernbert.hub_release.manifest import modeling_files
from chinese_modernbert.hub_release.verification.isolated_process import run_script
from chinese_modernbert.modeling import (
    ChineseModernBertForMaskedLM,
    ChineseModernBertForSequenceClassification,
    ChineseModernBertModel,
)
from chinese_modernbert.tokenization.loading import load_tokenizer, save_tokenizer
from reference.clue_files import write_task

SCRIPT = Path(__file__).parents[1] / "reference" / "isolated_saving.py"
TEXTS = ["今天天气很好", "北京是中国的首都"]
INPUT_IDS = [[2, 17, 31, 45, 59, 3], [2, 23, 37, 51, 65, 3]]
HEADS = (
    *("AutoModelForMaskedLM", "AutoModelForSequenceClassification", "AutoModelForTokenClassification"),
    *("AutoModelForQuestionAnswering", "AutoModelForMultipleChoice"),
)
THINGS = "虎狮熊猫狗马牛羊鸡鸭鱼鸟"
QUIET = ["--use_cpu", "--disable_tqdm", "true", "--report_to", "none"]
# Written by libraries from a release, without this package: what is loaded, and what is done before it is saved.
BY_OTHERS: dict[str, dict[str, Any]] = {
    "remote class": {"class": "AutoModelForSequenceClassification"},
    "SentenceTransformer": {"class": "SentenceTransformer"},
    "CrossEncoder": {"class": "CrossEncoder", "options": {"num_labels": 1}},
    "merged adapter": {"class": "AutoModelForTokenClassification", "adapter": True},
    "SentenceTransformer, native": {"class": "SentenceTransformer", "trust": False},
    "CrossEncoder, native": {"class": "CrossEncoder", "options": {"num_labels": 1}, "trust": False},
    "merged adapter, native": {"class": "AutoModelForTokenClassification", "adapter": True, "trust": False},
}
# A tagger of two classes is a new task for every folder, Transformers' own class gives `num_labels` numbers of an
# answer, and a head of other classes does not fit one score of a pair.
OPTIONS: dict[str, dict[str, Any]] = {
    "AutoModelForTokenClassification": {"num_labels": 2},
    "AutoModelForQuestionAnswering": {"num_labels": 2},
    "CrossEncoder": {"model_kwargs": {"ignore_mismatched_sizes": True}},
}


def isolated(tasks: list[dict[str, Any]], folder: Path) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    """Run tasks in one fresh process; return their results and all tensors."""
    folder.mkdir()

    def make_job(place: Path) -> dict[str, Any]:
        (place / "views").mkdir()
        job = {"views": str(place / "views"), "tensors": str(folder / "tensors.safetensors")}
        return {**job, "tasks": tasks, "texts": TEXTS, "input_ids": INPUT_IDS, "threads": torch.get_num_threads()}

    return run_script(SCRIPT, sys.executable, make_job), load_file(folder / "tensors.safetensors")


def by_trainer(release: Path, folder: Path) -> Path:
    """Fine-tune the installed class with a plain Trainer and its tokenizer."""
    tokenizer = load_tokenizer(release)
    model = ChineseModernBertForSequenceClassification.from_pretrained(release, num_labels=3)
    rows: Any = [
        {**tokenizer(text, truncation=True, max_length=5), "labels": number} for number, text in enumerate(TEXTS)
    ]
    settings = TrainingArguments(str(folder / "run"), max_steps=1, report_to="none", use_cpu=True, disable_tqdm=True)
    trainer = Trainer(model, settings, train_dataset=rows, data_collator=DataCollatorWithPadding(tokenizer))
    trainer.train()
    trainer.save_model(str(folder / "model"))
    return folder / "model"


def write_sentence_recipe(folder: Path) -> Path:
    """Write rows and a recipe of one short stage of `sts`."""
    triplets = [{"anchor": f"{one}在哪里", "positive": f"哪里有{one}"} for one in THINGS]
    pairs = [{"sentence1": f"{one}很好", "sentence2": f"{one}好", "score": n % 2} for n, one in enumerate(THINGS)]
    for name, rows in (("triplets", triplets), ("pairs", pairs)):
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    values = {
        "stages": [{"data": [str(folder / "triplets.jsonl")], "batch_size": 8}],
        "evaluation": [str(folder / "pairs.jsonl")],
        **{"bootstrap_resamples": 5, "baselines": False, "use_cpu": True, "report_to": "none"},
    }
    (folder / "sts.yaml").write_text(json.dumps(values), encoding="utf-8")
    return folder / "sts.yaml"


def by_commands(release: Path, folder: Path) -> dict[str, Path]:
    """Return what `clue`, `sts` and `convert` write, by a name."""
    (folder / "data").mkdir(parents=True)
    kinds = ("afqmc", "c3", "cmrc2018", "cluener")
    for task in kinds:
        write_task(folder / "data", task, rows=32, dev_rows=12)
    words = ["--model", str(release), "--data", str(folder / "data"), "--output_dir", str(folder / "clue"), *QUIET]
    short = ["--folds", "4", "--max_length", "64", "--num_train_epochs", "1", "--seeds", "1", "--save_model"]
    assert main(["clue", *words, *short]) == 0
    found = {f"clue, {task}": next((folder / "clue" / "models" / task).iterdir()) for task in kinds}
    words = ["--model", str(release), "--data", str(folder / "data"), "--output_dir", str(folder / "sts")]
    assert main(["sts", "--config", str(write_sentence_recipe(folder / "data")), *words]) == 0
    found["sts"] = folder / "sts" / "final"
    found["convert"] = convert_checkpoint(release, folder / "converted")
    return found


def by_others(release: Path, folder: Path) -> dict[str, Path]:
    """Return what libraries write of a release where this package is not installed, by a name."""
    folder.mkdir()
    found = {name: folder / name.replace(", ", "_").replace(" ", "_") for name in BY_OTHERS}
    tasks = [{"folder": str(release), "again": str(found[name]), **task} for name, task in BY_OTHERS.items()]
    isolated(tasks, folder / "process")
    for name, task in BY_OTHERS.items():
        if task["class"] in HEADS:
            load_tokenizer(release).save_pretrained(found[name])
    return found


@pytest.fixture(scope="module")
def folders(saved_release: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("folders")
    found = {"Trainer": by_trainer(saved_release, place / "trainer"), **by_commands(saved_release, place / "commands")}
    return {**found, **by_others(saved_release, place / "others")}


def is_written_by_transformers(name: str) -> bool:
    """Tell whether Transformers' own class wrote a folder: it knows nothing of our code."""
    return name.endswith("native")


def test_every_folder_loads_as_everything_and_is_trained_and_released_from_there(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    classes = ("AutoModel", *HEADS, "SentenceTransformer", "CrossEncoder")
    pairs = [(name, cls) for name in folders for cls in classes]
    tasks = [
        {
            "folder": str(folders[name]),
            "class": cls,
            "trust": not is_written_by_transformers(name),
            "again": str(tmp_path / f"tuned_{number}") if cls == "AutoModelForTokenClassification" else "",
            "step": cls == "AutoModelForTokenClassification",
            "options": OPTIONS.get(cls, {}),
        }
        for number, (name, cls) in enumerate(pairs)
    ]
    results, tensors = isolated(tasks, tmp_path / "process")
    expected = {name: expected_numbers(folder) for name, folder in folders.items()}
    for number, (name, cls) in enumerate(pairs):
        if cls == "SentenceTransformer":
            torch.testing.assert_close(tensors[f"{number}/embeddings"], expected[name]["embeddings"])
        elif cls == "AutoModelForTokenClassification":
            check_released(Path(tasks[number]["again"]), folders[name], tensors[f"{number}/first"])
        elif cls != "CrossEncoder":
            torch.testing.assert_close(tensors[f"{number}/hidden"], expected[name]["hidden"])
            assert {one.partition(".")[0] for one in results[number]["new"]} <= {"head", "decoder", "classifier"}
        elif name.startswith("CrossEncoder") or name == "clue, c3":
            torch.testing.assert_close(tensors[f"{number}/embeddings"], expected[name]["scores"])


def expected_numbers(folder: Path) -> dict[str, torch.Tensor]:
    """Return what the installed classes compute: hidden states, means over each text, and scores of pairs."""
    model, tokenizer = ChineseModernBertModel.from_pretrained(folder).eval(), load_tokenizer(folder)
    scorer = ChineseModernBertForSequenceClassification.from_pretrained(folder, ignore_mismatched_sizes=True).eval()
    with torch.no_grad():
        hidden = model(input_ids=torch.tensor(INPUT_IDS)).last_hidden_state
        means = [model(**tokenizer(text, return_tensors="pt")).last_hidden_state.mean(dim=1)[0] for text in TEXTS]
        rows = [tokenizer(TEXTS[0], text, return_tensors="pt") for text in TEXTS]
        scores = torch.cat([scorer(**row).logits[:, 0] for row in rows]).sigmoid()
    return {"hidden": hidden, "embeddings": torch.stack(means), "scores": scores}


def check_released(tuned: Path, folder: Path, first: torch.Tensor) -> None:
    """Release what was fine-tuned, and compare the numbers that Transformers' own class gives of it."""
    save_tokenizer(load_tokenizer(folder), tuned)
    release = build_release(ReleaseArguments(str(tuned), str(tuned.with_name(f"{tuned.name}_release"))))
    model = AutoModelForTokenClassification.from_pretrained(release, trust_remote_code=False)
    assert type(model).__name__ == "ModernBertForTokenClassification"
    with torch.no_grad():
        torch.testing.assert_close(model(input_ids=torch.tensor(INPUT_IDS)).logits, first, rtol=1e-4, atol=1e-4)


def test_all_code_lies_beside_every_config_that_names_it(folders: dict[str, Path]) -> None:
    code = {path.name: path.read_bytes() for path in modeling_files()}
    for name, folder in folders.items():
        written = {path.name: path.read_bytes() for path in folder.glob("*.py")}
        assert written == ({} if is_written_by_transformers(name) else code), name


def test_no_command_leaves_the_truncation_of_its_training_in_a_tokenizer(folders: dict[str, Path]) -> None:
    for name in ("sts", *(name for name in folders if name.startswith("clue"))):
        content = json.loads((folders[name] / "tokenizer.json").read_text(encoding="utf-8"))
        assert (content["truncation"], content["padding"]) == (None, None), name
        settings = json.loads((folders[name] / "tokenizer_config.json").read_text(encoding="utf-8"))
        assert settings["tokenizer_class"] == "PreTrainedTokenizerFast", name


def test_a_sparse_encoder_is_released_loaded_saved_and_released_again(saved_checkpoint: Path, tmp_path: Path) -> None:
    """As a folder without modules, as a release of its own form, and as what sentence-transformers saves of that."""
    release = build_release(ReleaseArguments(str(saved_checkpoint), str(tmp_path / "release"), pooling="splade"))
    model, tokenizer = ChineseModernBertForMaskedLM.from_pretrained(release).eval(), load_tokenizer(release)
    with torch.no_grad():
        logits = [model(**tokenizer(text, return_tensors="pt")).logits[0] for text in TEXTS]
    expected = torch.stack([row.relu().log1p().amax(dim=0) for row in logits])
    tasks: list[dict[str, Any]] = [
        {"folder": str(folder), "class": "SparseEncoder", "trust": trust, "again": again}
        for folder, trust, again in (
            (saved_checkpoint, True, ""),
            (release, True, str(tmp_path / "saved")),
            (release, False, str(tmp_path / "saved_natively")),
        )
    ]
    results, tensors = isolated(tasks, tmp_path / "process")
    for number, result in enumerate(results):
        assert result["modules"][1:] == ["SpladePooling"]
        torch.testing.assert_close(tensors[f"{number}/embeddings"], expected, rtol=1e-4, atol=1e-5)
    for name in ("saved", "saved_natively"):
        again = build_release(ReleaseArguments(str(tmp_path / name), str(tmp_path / f"{name}_again")))
        assert (again / "model.safetensors").read_bytes() == (release / "model.safetensors").read_bytes()
        report = verify_release(again, tmp_path / name)
        assert report.is_ok, report.summary()
        assert "without trust: SparseEncoder" in [check.name for check in report.checks]
    card = (release / "README.md").read_text(encoding="utf-8")
    assert 'SparseEncoder("release")' in card and "SentenceTransformer(" not in card
