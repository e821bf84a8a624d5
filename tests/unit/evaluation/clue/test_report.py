import json
import math
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes

from chinese_modernbert.evaluation.clue.published import PUBLISHED
from chinese_modernbert.evaluation.clue.report import REPORT_JSON, read_report, summarize, write_report
from chinese_modernbert.evaluation.clue.submissions import submission_text
from chinese_modernbert.evaluation.clue.tasks import TASKS

SETTINGS = {
    "model": "tiny",
    "select_on": "fold",
    "folds": 10,
    "max_train_samples": None,
    "max_eval_samples": None,
    "train_from": None,
}


def run(seed: int, predictions: list[int], gold: list[int]) -> dict[str, Any]:
    right = [float(a == b) for a, b in zip(predictions, gold, strict=True)]
    accuracy = 100 * sum(right) / len(right)
    return {
        "seed": seed,
        "selection": 50.0 + seed,
        "seconds": 1.0,
        "predictions": {"dev": predictions, "test": [seed, 0]},
        "scored": {"dev": {"accuracy": accuracy}},
        "dev": {"accuracy": accuracy},
        "dev_gold": gold,
        "dev_examples": [[one, 1.0] for one in right],
    }


def result(*runs: dict[str, Any]) -> dict[str, Any]:
    hardest = [{"id": 3, "texts": ["一|二\n三"], "gold": 0, "predicted": [1], "log_probability": -2.0}]
    about = {
        "kind": "classification",
        "reader": "fields",
        "labels": ["0", "1"],
        "summary": "afqmc: dev 4",
        "source": "afqmc_public.zip",
        "recipe": "ours",
        "licence": "none stated",
        "citation": "",
        "max_length": 128,
        "epochs": 3.0,
        "batch_size": 16,
        "chosen_epochs": [2.0 for _ in runs],
        "training_rows": 27,
        "selection_rows": 3,
        "cut": {"train": [2, 30], "dev": [0, 4]},
        "lost_entities": {"train": [0, 0], "dev": [0, 0]},
        "baseline": 50.0,
        "is_own": False,
        "submissions": {"test": "afqmc_predict.json"},
        "rows": {"dev": 4, "test": 2},
        "ids": {"dev": [0, 1, 2, 3], "test": [10, 11]},
        "hardest": hardest,
    }
    grid = {"1e-05": 40.0, "2e-05": 50.0}
    return {
        "task": "afqmc",
        "metric": "accuracy",
        "learning_rate": 2e-5,
        "grid": grid,
        "runs": list(runs),
        "data": about,
    }


GOLD = [0, 1, 1, 0]


def test_mean_and_sample_deviation_are_over_runs() -> None:
    row = summarize(result(run(0, [0, 1, 1, 0], GOLD), run(1, [0, 1, 0, 1], GOLD)))
    assert row["dev"] == pytest.approx({"mean": 75.0, "deviation": 35.35534})
    assert summarize(result(run(0, [0, 1, 1, 0], GOLD)))["dev"]["deviation"] is None


def test_a_report_says_what_was_run_and_what_was_not(tmp_path: Path) -> None:
    settings = {**SETTINGS, "max_train_samples": 30, "train_from": {"cmnli": "ocnli"}}
    runs = (run(0, [0, 1, 1, 0], GOLD), run(1, [0, 1, 0, 1], GOLD))
    text = write_report(tmp_path, [result(*runs)], {"tnews": "no data"}, settings).read_text(encoding="utf-8")
    assert "| afqmc | accuracy | 50.50 ± 0.71 | 75.00 ± 35.36 | 50.00 | 2 | 2e-05 | 27 rows | 3 rows |" in text
    assert "3 epochs at most, batches of 16; weights of epoch 2, 2." in text
    assert "Cut at 128 tokens: 2 of 30 train and 0 of 4 dev rows." in text and text.startswith("# CLUE: tiny")
    assert "at most 30 per task" in text and "{'cmnli': 'ocnli'}" in text and "tnews was skipped: no data" in text
    assert "| 3 | 0 | 1 | -2.00 | 一\\|二 三 |" in text
    assert "| 0 | 3 | 1 |" in text and "| 1 | 1 | 3 |" in text  # confusions over both runs
    assert all(one.model in text and one.source in text for one in PUBLISHED)
    assert (tmp_path / "scores.png").stat().st_size > 1_000


def test_a_model_that_says_one_class_only_is_called_failed(tmp_path: Path) -> None:
    failed = result(run(0, [0, 0, 0, 0], GOLD), run(1, [0, 0, 0, 0], GOLD))
    assert summarize(failed)["is_collapsed"]
    assert not summarize(result(run(0, [0, 0, 0, 0], GOLD), run(1, [0, 1, 0, 0], GOLD)))["is_collapsed"]
    assert "failed training" in write_report(tmp_path, [failed], {}, SETTINGS).read_text(encoding="utf-8")


def test_prediction_files_come_from_the_run_with_the_best_selection_score(tmp_path: Path) -> None:
    write_report(tmp_path, [result(run(0, GOLD, GOLD), run(1, [0, 1, 0, 1], GOLD))], {}, SETTINGS)
    lines = (tmp_path / "submissions" / "afqmc_predict.json").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"id": 10, "label": "1"}, {"id": 11, "label": "0"}]


def test_two_models_are_compared_on_the_same_rows(tmp_path: Path) -> None:
    write_report(tmp_path / "b", [result(run(0, [1, 0, 0, 1], GOLD))], {}, SETTINGS)
    text = write_report(tmp_path / "a", [result(run(0, GOLD, GOLD))], {}, SETTINGS, str(tmp_path / "b")).read_text(
        "utf-8"
    )
    assert "| afqmc | accuracy | 100.00 | 0.00 | +100.00 |" in text
    with pytest.raises(ValueError, match="other dev rows"):
        write_report(tmp_path / "c", [result(run(0, [0, 1], [0, 1]))], {}, SETTINGS, str(tmp_path / "b"))
    with pytest.raises(FileNotFoundError, match=REPORT_JSON):
        read_report(tmp_path)


def test_models_that_are_ranked_by_macro_f1_are_compared_by_one_metric_throughout(tmp_path: Path) -> None:
    """Macro F1 is no ratio of sums over rows, so interval and p are of accuracy: so must be all of the row."""
    for name, predictions, macro_f1 in (("b", [0, 0, 0, 0], 33.33), ("a", [0, 1, 1, 1], 73.33)):
        made = run(0, predictions, GOLD)
        made["scored"]["dev"]["macro_f1"] = macro_f1
        against = str(tmp_path / "b") if name == "a" else None
        write_report(tmp_path / name, [{**result(made), "metric": "macro_f1"}], {}, SETTINGS, against)
    text = (tmp_path / "a" / "report.md").read_text("utf-8")
    assert "| afqmc | macro_f1 | 50.00 | 73.33 | 50.00 | 1 |" in text
    assert "| afqmc | accuracy | 75.00 | 50.00 | +25.00 |" in text


@pytest.mark.parametrize(
    ("name", "predictions", "expected"),
    [
        ("tnews", [2, 0], '{"id": 5, "label": "102"}\n{"id": 6, "label": "100"}\n'),
        ("cluewsc2020", [1, 0], '{"id": 5, "label": "true"}\n{"id": 6, "label": "false"}\n'),
        ("ocnli", [0, 2], '{"id": 5, "label": "entailment"}\n{"id": 6, "label": "contradiction"}\n'),
        ("c3", [3, 0], '{"id": 5, "label": 3}\n{"id": 6, "label": 0}\n'),
        ("cmrc2018", ["甲", "乙"], '{\n    "5": "甲",\n    "6": "乙"\n}\n'),
        ("chid", [1, 0], '{\n    "5": 1,\n    "6": 0\n}\n'),
        ("cluener", [["0:2:name"], []], '{"id": 5, "label": {"name": [[0, 1]]}}\n{"id": 6, "label": {}}\n'),
    ],
)
def test_prediction_files_have_the_form_of_the_clue_site(name: str, predictions: list, expected: str) -> None:
    task = TASKS[name]
    about = {"kind": task.kind, "reader": task.reader, "labels": task.labels}
    assert submission_text(about, predictions, [5, 6]) == expected
    with pytest.raises(ValueError, match="every row of the test file"):
        submission_text(about, predictions, [5])


def test_a_task_of_ones_own_is_not_called_clue_and_its_types_have_scores_of_their_own(tmp_path: Path) -> None:
    made = run(0, [0], [0])
    made["predictions"]["dev"] = [["0:2:a", "3:4:b"], ["1:2:a"]]
    made["dev_gold"] = [["0:2:a", "3:5:b"], []]
    given = result(made)
    given["data"].update(
        kind="entities", labels=["a", "b", "c"], is_own=True, baseline=None, hardest=[], submissions={}
    )
    given["data"]["lost_entities"] = {"train": [1, 9], "dev": [1, 2]}
    given["task"], given["metric"] = "mine", "accuracy"
    text = write_report(tmp_path, [given], {}, SETTINGS).read_text(encoding="utf-8")
    assert text.startswith("# Fine-tuning: tiny")
    # a: one of two found, one right one; b: none of one; by hand.
    assert "| a | 50.00 | 100.00 | 66.67 | 1 |" in text and "| b | 0.00 | 0.00 | 0.00 | 1 |" in text
    assert "| c | 0.00 | 0.00 | 0.00 | 0 |" in text
    assert "cut off or with a border in a token: 1 of 9 in train and 1 of 2 in dev." in text


def test_the_chart_has_a_deviation_only_where_there_are_runs_and_shows_the_other_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars: list[tuple[str, list[float], list[float]]] = []
    kept = Axes.bar

    def bar(self: Axes, x: Any, height: Any, width: Any, **options: Any) -> Any:
        bars.append((options["label"], list(height), list(options["yerr"])))
        return kept(self, x, height, width, **options)

    monkeypatch.setattr(Axes, "bar", bar)
    write_report(tmp_path / "b", [result(run(0, [1, 0, 0, 1], GOLD))], {}, {**SETTINGS, "model": "bert"})
    write_report(tmp_path / "a", [result(run(0, GOLD, GOLD), run(1, GOLD, GOLD))], {}, SETTINGS, str(tmp_path / "b"))
    (alone, own, other) = bars
    assert alone[:2] == ("bert, dev", [0.0]) and math.isnan(alone[2][0])
    assert own == ("tiny, dev", [100.0], [0.0])
    assert other[:2] == ("bert, dev", [0.0]) and math.isnan(other[2][0])
