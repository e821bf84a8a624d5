"""The commands of spelling on a tiny model: runs that are kept, models that correct, reports, mistakes of users."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM

from chinese_modernbert import cli
from chinese_modernbert.evaluation.spelling import spelling_scores
from chinese_modernbert.runtime.options import load_recipe
from chinese_modernbert.tokenization.loading import load_tokenizer
from chinese_modernbert.trainers.spelling.arguments import SpellingArguments
from chinese_modernbert.trainers.spelling.loading import build_corrector
from chinese_modernbert.trainers.spelling.pairs import read_run_pairs
from reference.spelling_pairs import made_pairs, write_pairs
from reference.spelling_runs import EQUAL_ONES, QUIET, result, train


@pytest.fixture(scope="module")
def trained(saved_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run of one seed."""
    folder = tmp_path_factory.mktemp("spell")
    data, test = write_pairs(folder / "train.jsonl", 120), write_pairs(folder / "law.test.jsonl", 30, start=120)
    assert train(saved_checkpoint, folder / "out", data, "--test", test) == 0
    return folder


def test_a_run_learns_the_errors_and_its_report_is_that_of_its_predictions(trained: Path) -> None:
    found = result(trained / "out")
    assert found["dev"]["f1"] > 0.8 and found["dev"]["false_positive_rate"] <= 0.05
    report = json.loads((trained / "out" / "report.json").read_text(encoding="utf-8"))
    sources, targets = zip(*made_pairs(30, start=120), strict=True)
    expected = spelling_scores(sources, targets, found["predictions"]["law"])
    (row,) = report["sets"]["law"]
    assert row["correction"]["f1"] == [round(expected.correction.f1, 6)]
    assert row["false_positive_rate"] == [round(expected.false_positive_rate, 6)]
    assert expected.correction.f1 > 0.8
    assert len(found["curve"]) > 1 and len(found["history"]) == 12
    assert not (trained / "out" / "scratch").exists()


def test_the_model_of_a_run_corrects_as_its_predictions_and_has_its_threshold(trained: Path) -> None:
    folder = trained / "out" / "models" / "seed1"
    model, found = AutoModelForMaskedLM.from_pretrained(folder, trust_remote_code=False), result(trained / "out")
    assert model.settings.threshold == found["dev"]["threshold"]
    sources = [source for source, _ in made_pairs(30, start=120)]
    assert [one.text for one in model.correct(sources, load_tokenizer(folder))] == found["predictions"]["law"]


def test_a_command_that_was_cut_off_goes_on_and_repeats_no_run(
    trained: Path, saved_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chinese_modernbert.trainers.spelling import run

    before = (trained / "out" / "runs" / "seed1.json").read_bytes()
    seen: list[int] = []
    monkeypatch.setattr(run._Runs, "_train", lambda self, seed, folder: seen.append(seed) or {**json.loads(before)})
    words = ["--test", str(trained / "law.test.jsonl"), "--seeds", "2"]
    assert train(saved_checkpoint, trained / "out", str(trained / "train.jsonl"), *words) == 0
    assert seen == [2] and (trained / "out" / "runs" / "seed1.json").read_bytes() == before
    report = json.loads((trained / "out" / "report.json").read_text(encoding="utf-8"))
    assert len(report["sets"]["law"][0]["correction"]["f1"]) == 2


def test_runs_of_other_settings_or_pairs_are_refused(
    trained: Path, saved_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test = ["--test", str(trained / "law.test.jsonl")]
    assert train(saved_checkpoint, trained / "out", str(trained / "train.jsonl"), *test, "--arm", "relm") == 2
    assert "arm was 'tagging', is 'relm'" in capsys.readouterr().err
    other = write_pairs(trained / "other.jsonl", 80)
    assert train(saved_checkpoint, trained / "out", other, *test) == 2
    assert "pairs was" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--arm", "soft_masked"], ["--arm", "relm"], ["--lora_rank", "2"]])
def test_every_arm_and_an_adapter_train_and_save_a_model_that_loads(
    words: list[str], saved_checkpoint: Path, tmp_path: Path
) -> None:
    data = write_pairs(tmp_path / "train.jsonl", 40)
    assert train(saved_checkpoint, tmp_path / "out", data, *words, "--max_steps", "2") == 0
    folder = tmp_path / "out" / "models" / "seed1"
    model, loading = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True, trust_remote_code=False)
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    assert model.settings.arm == (words[1] if words[0] == "--arm" else "tagging")


def test_confusion_sets_hold_in_training_too(saved_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "set.txt").write_text("天\t气\n国\t园\n", encoding="utf-8")
    data = write_pairs(tmp_path / "train.jsonl", 40)
    words = ["--confusion", str(tmp_path / "set.txt"), "--max_steps", "3", "--false_positive_rate", "1"]
    assert train(saved_checkpoint, tmp_path / "out", data, *words) == 0
    found, allowed = result(tmp_path / "out"), {"天气", "气天", "国园", "园国"}
    sources = [source for source, _ in made_pairs(40)]
    held_out = found["predictions"]["dev"]
    assert all(any(len(one) == len(source) for source in sources) for one in held_out)
    changes = {
        a + b
        for one in held_out
        for source in sources
        if source[-2:] == one[-2:] and len(source) == len(one)
        for a, b in zip(source, one, strict=True)
        if a != b
    }
    assert changes <= allowed


def test_sources_of_the_test_never_train(saved_checkpoint: Path, tmp_path: Path, caplog: Any) -> None:
    data, test = write_pairs(tmp_path / "train.jsonl", 60), write_pairs(tmp_path / "test.jsonl", 15, start=50)
    arguments = SpellingArguments(
        model=str(saved_checkpoint), train=[data], test=[test], leakage_similarity=1.0, dev_share=0.2, use_cpu=True
    )
    pairs = read_run_pairs(arguments)
    tested = {source for source, _ in made_pairs(15, start=50)}
    assert not tested & {pair.source for pair in pairs.train}
    assert pairs.left_out == 60 - len(pairs.dev) - len(pairs.train) > 0
    assert len(pairs.dev) == 12 and not {pair.source for pair in pairs.dev} & {pair.source for pair in pairs.train}


def test_a_target_of_the_test_never_trains_either_unless_sources_alone_are_compared(tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "train.jsonl", 60)
    # The answers of three training pairs, of which two are clean, behind errors that no training source has.
    rows = [{"source": target.replace("。", "天", 1), "target": target} for _, target in made_pairs(3)]
    rows += [{"source": target, "target": target} for _, target in made_pairs(1, start=90)]
    test = tmp_path / "test.jsonl"
    test.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    dev = write_pairs(tmp_path / "dev.jsonl", 4, start=70)

    def left_out(of: Any) -> tuple[int, set[str]]:
        arguments = SpellingArguments(
            model="unread", train=[data], dev=[dev], test=[str(test)], leakage_similarity=1.0, leakage_of=of
        )
        pairs = read_run_pairs(arguments)
        return pairs.left_out, {pair.target for pair in pairs.train}

    answers = {row["target"] for row in rows}
    assert left_out("sources") == (0, {target for _, target in made_pairs(60)})
    number, trained_on = left_out("pairs")
    assert number == 3 and not answers & trained_on


@pytest.mark.parametrize("arm", ["tagging", "soft_masked", "relm"])
def test_a_run_begins_from_the_weights_of_an_earlier_one_detector_and_all(
    arm: Any, trained: Path, tmp_path: Path
) -> None:
    folder = trained / "out" / "models" / "seed1"
    arguments = SpellingArguments(model=str(folder), train=["unread"], arm=arm, output_dir=str(tmp_path), use_cpu=True)
    begun, saved = build_corrector(arguments).state_dict(), load_file(folder / "model.safetensors")
    detector = {name for name in saved if name.startswith("detector.")}
    assert detector and (detector <= set(begun)) == (arm != "relm")
    assert all(torch.equal(begun[name], value) for name, value in saved.items() if name in begun)
    assert set(saved) - set(begun) <= detector


def test_a_second_stage_trains_what_the_first_one_saved(trained: Path, tmp_path: Path) -> None:
    first = trained / "out" / "models" / "seed1"
    given = ["--model", str(first), "--output_dir", str(tmp_path / "out"), "--train", str(trained / "train.jsonl")]
    assert cli.main(["spell", "train", *given, *EQUAL_ONES, *QUIET, "--max_steps", "1", "--learning_rate", "1e-9"]) == 0
    # A step of next to nothing leaves a model that corrects as well as the first one: nothing was drawn anew.
    assert result(tmp_path / "out")["dev"]["f1"] == pytest.approx(result(trained / "out")["dev"]["f1"], abs=0.02)


def test_check_writes_a_row_for_each_text_with_exact_edits(trained: Path, tmp_path: Path) -> None:
    model = str(trained / "out" / "models" / "seed1")
    texts = ["今天天天很好。", "", "😀ＡＢ 我们去公国散步。end", "他" * 3000, "no Chinese"]
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    output = tmp_path / "out.jsonl"
    words = ["spell", "check", model, "--data", str(tmp_path / "texts.txt"), "--output_file", str(output), "--use_cpu"]
    assert cli.main(words) == 0
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").split("\n")[:-1]]
    assert [row["text"] for row in rows] == texts
    for row in rows:
        changed = list(row["text"])
        for edit in row["edits"]:
            assert changed[edit["offset"]] == edit["from"] and 0 < edit["probability"] <= 1
            changed[edit["offset"]] = edit["to"]
        assert row["corrected"] == "".join(changed)
    assert any(row["edits"] for row in rows)
    assert cli.main(words) == 2  # the file is there


def test_check_keeps_the_fields_of_json_rows_and_takes_words(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(trained / "out" / "models" / "seed1")
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": 7, "body": "今天天天很好。"}) + "\n", encoding="utf-8")
    output = tmp_path / "out.jsonl"
    words = ["--data", str(tmp_path / "a.jsonl"), "--field", "body", "--output_file", str(output), "--use_cpu"]
    assert cli.main(["spell", "check", model, *words]) == 0
    row = json.loads(output.read_text(encoding="utf-8"))
    assert row["id"] == 7 and row["body"] == "今天天天很好。" and len(row["corrected"]) == 7
    assert cli.main(["spell", "check", model, "--text", "今天天天很好。", "--threshold", "1", "--use_cpu"]) == 0
    printed = json.loads(capsys.readouterr().out.split("\n")[-2])
    assert printed == {"text": "今天天天很好。", "corrected": "今天天天很好。", "edits": []}


def test_evaluate_scores_correctors_side_by_side(trained: Path, tmp_path: Path) -> None:
    model, output = str(trained / "out" / "models" / "seed1"), tmp_path / "report"
    words = ["--data", str(trained / "law.test.jsonl"), "--output_dir", str(output), "--use_cpu"]
    assert cli.main(["spell", "evaluate", model, *words]) == 0
    (row,) = json.loads((output / "report.json").read_text(encoding="utf-8"))["sets"]["law"]
    (trained_row,) = json.loads((trained / "out" / "report.json").read_text(encoding="utf-8"))["sets"]["law"][:1]
    assert row["correction"]["f1"] == trained_row["correction"]["f1"][:1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["spell", "train", "--model", "m"], "gives no 'train'"),
        (["spell", "train", "--train", "a"], "gives no 'model'"),
        (["spell", "train", "--model", "m", "--train", "a", "--arm", "tager"], "tager"),
        (["spell", "train", "--model", "m", "--train", "a", "--false_positive_rate", "1.5"], "false_positive_rate=1.5"),
        (["spell", "train", "--model", "m", "--train", "a", "--dev", "b", "--dev_share", "0.2"], "dev_share=0.2"),
        (["spell", "train", "--model", "m", "--train", "a", "--arm", "relm", "--detection_weight", "0.5"], "relm"),
        (["spell", "train", "--model", "m", "--train", "a", "--lora_alpha", "8"], "lora_alpha=8"),
        (["spell", "check", "--text", "a"], "no model is given"),
        (["spell", "check", "m"], "give either text, or data"),
        (["spell", "check", "m", "--text", "a", "--threshold", "3"], "threshold=3"),
        (["spell", "check", "m", "--text", "a", "--threshold", "nan"], "threshold=nan"),
        (["spell", "check", "m", "--text", "a", "--threshold", "-0.5"], "threshold=-0.5"),
        (["spell", "check", "m", "--text", "a", "--field", "body"], "field=body is read of data in .jsonl alone"),
        (["spell", "check", "m", "--data", "a.txt", "--field", "body"], "field=body is read of data in .jsonl alone"),
        (["spell", "check", "m", "--text", "a", "--output_file", "b"], "what is given as text is printed"),
        (["spell", "check", "m", "--data", "a", "--output_file", "b.gz"], "b.gz is written uncompressed"),
        (["spell", "evaluate", "m", "--data", "a", "--threshold", "-1"], "threshold=-1"),
        (["spell", "evaluate", "m"], "gives no 'data'"),
    ],
)
def test_a_mistake_is_one_line_before_any_file_is_opened(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*words, "--use_cpu"]) == 2
    (line,) = capsys.readouterr().err.strip().split("\n")
    assert message in line


def test_pairs_of_unequal_length_are_named_or_skipped(
    saved_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_pairs(tmp_path / "train.jsonl", 20, source="今天好", target="今天很好")
    assert train(saved_checkpoint, tmp_path / "out", data, "--max_steps", "1") == 2
    assert f"{data}:21 has 3 characters" in capsys.readouterr().err
    assert train(saved_checkpoint, tmp_path / "out", data, "--max_steps", "1", "--unequal", "skip") == 0


def test_a_model_without_a_detector_corrects_nothing_and_dev_needs_clean_sentences(
    saved_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["spell", "check", str(saved_checkpoint), "--text", "今天", "--use_cpu"]) == 2
    assert "no model for spelling correction" in capsys.readouterr().err
    data = write_pairs(tmp_path / "train.jsonl", 20)
    dev = tmp_path / "dev.jsonl"
    dev.write_text(json.dumps({"source": "今天", "target": "天天"}) + "\n", encoding="utf-8")
    assert train(saved_checkpoint, tmp_path / "out", data, "--dev", str(dev)) == 2
    assert "0 of 1 dev pairs are clean" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "seeds"), [("spell", 3), ("spell_synthetic", 1)])
def test_the_recipes_of_both_stages_are_read(name: str, seeds: int) -> None:
    arguments = load_recipe([SpellingArguments], name, ["--model", "m", "--train", "a.jsonl", "--use_cpu"])[0]
    assert (arguments.seeds, arguments.arm, arguments.false_positive_rate) == (seeds, "tagging", 0.05)


def test_check_reads_a_file_by_portions_of_characters(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chinese_modernbert.trainers.spelling import check

    model = str(trained / "out" / "models" / "seed1")
    texts = [f"今天天天很好{number}。" for number in range(20)]
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    sizes: list[int] = []
    call = check._Corrector.__call__
    monkeypatch.setattr(
        check._Corrector, "__call__", lambda self, rows, field: sizes.append(len(rows)) or call(self, rows, field)
    )
    found = []
    for characters in (1, 25, 100_000):
        monkeypatch.setattr(check, "CHARACTERS_AT_ONCE", characters)
        output = tmp_path / f"{characters}.jsonl"
        words = ["--data", str(tmp_path / "texts.txt"), "--output_file", str(output), "--use_cpu"]
        assert cli.main(["spell", "check", model, *words]) == 0
        rows = [json.loads(line) for line in output.read_text(encoding="utf-8").split("\n")[:-1]]
        assert [row["text"] for row in rows] == texts
        found.append([row["corrected"] for row in rows])
    assert found[0] == found[1] == found[2]
    assert sizes == [1] * 20 + [3] * 6 + [2] + [20]  # of nine or ten characters and a line end each


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "今天"}\n{"text": null}\n', "a.jsonl:2: field 'text' is NoneType"),
        ('{"text": "今天"}\n{"text": "天", "edits": []}\n', "a.jsonl:2 has a field 'edits'"),
        ('{"text": "今天"}\n{"text": "天\\ud83d"}\n', "a.jsonl:2 holds the lone surrogate"),
        ("", "a.jsonl holds no text"),
    ],
)
def test_a_wrong_row_is_named_before_a_model_is_loaded(
    content: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jsonl").write_text(content, encoding="utf-8")
    words = ["--data", str(tmp_path / "a.jsonl"), "--output_file", str(tmp_path / "out.jsonl"), "--use_cpu"]
    assert cli.main(["spell", "check", str(tmp_path / "no model"), *words]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out.jsonl").exists()


def test_broken_confusion_sets_and_such_without_chinese_are_refused(
    trained: Path, saved_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, data = str(trained / "out" / "models" / "seed1"), str(trained / "train.jsonl")
    commands = (
        ["spell", "check", model, "--text", "今天天天很好。"],
        ["spell", "evaluate", model, "--data", data, "--output_dir", str(tmp_path / "report")],
        ["spell", "train", "--model", str(saved_checkpoint), "--train", data, "--output_dir", str(tmp_path / "out")],
    )
    for content, message in (
        ("a\tb\n", "confuse no two Chinese characters"),
        ("天\t气\n天气\n", "set.txt:2 is '天气'"),
    ):
        (tmp_path / "set.txt").write_text(content, encoding="utf-8")
        for words in commands:
            assert cli.main([*words, "--confusion", str(tmp_path / "set.txt"), "--use_cpu"]) == 2
            assert message in capsys.readouterr().err
    assert cli.main([*commands[0], "--confusion", str(tmp_path / "none.txt"), "--use_cpu"]) == 2
    assert f"no confusion set at {tmp_path / 'none.txt'}" in capsys.readouterr().err


def test_correctors_whose_folders_end_alike_have_names_of_their_own(trained: Path, tmp_path: Path) -> None:
    models = []
    for name, threshold in (("one", 0.0), ("two", 1.0)):
        folder = tmp_path / name / "models" / "seed1"
        shutil.copytree(trained / "out" / "models" / "seed1", folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config["spelling"]["threshold"] = threshold
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        models.append(str(folder))
    words = ["--data", str(trained / "law.test.jsonl"), "--output_dir", str(tmp_path / "report"), "--use_cpu"]
    assert cli.main(["spell", "evaluate", *models, *words]) == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert report["settings"]["thresholds"] == {"one/models/seed1": 0.0, "two/models/seed1": 1.0}
    assert [row["corrector"] for row in report["sets"]["law"]] == ["one/models/seed1", "two/models/seed1"]
