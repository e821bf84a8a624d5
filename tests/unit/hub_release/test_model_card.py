import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from chinese_modernbert.hub_release.builder import RECORD_FILES
from chinese_modernbert.hub_release.evaluation_facts import EvaluationFacts
from chinese_modernbert.hub_release.model_card import _rope_text, last_logged_values, render_model_card, training_rows
from chinese_modernbert.modeling import ChineseModernBertConfig
from chinese_modernbert.trainers.training_log import LOG_FILE

EMBEDDING = "model.embeddings.tok_embeddings.weight"


def card(
    checkpoint: Path, name: str = "owner/chinese-encoder", record_files: tuple[str, ...] = (), **provenance: Any
) -> str:
    return render_model_card(
        name=name,
        config=ChineseModernBertConfig.preset("base"),
        parameter_sizes={EMBEDDING: 1_000, "decoder.bias": 234},
        dtype="bfloat16",
        license_id="apache-2.0",
        checkpoint=checkpoint,
        record_files=list(record_files),
        provenance=provenance,
        evaluations=EvaluationFacts(),
    )


def values_of(checkpoint: Path) -> dict[str, str]:
    return {row.english: row.value for row in training_rows(checkpoint)}


def write_log(path: Path, *entries: dict[str, object]) -> None:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def test_front_matter_is_what_the_hub_reads(tmp_path: Path) -> None:
    data = ModelCard(card(tmp_path)).data
    assert (data.language, data.license, data.library_name, data.pipeline_tag) == (
        "zh",
        "apache-2.0",
        "transformers",
        "fill-mask",
    )
    assert {"chinese", "modernbert", "sentence-transformers"} <= set(data.tags or [])


@pytest.mark.parametrize(
    "row",
    [
        "| Parameters | 1,234 |",
        "| Parameters without embeddings | 234 |",
        "| Layers (global / local) | 8 / 14 |",
        "| 层数（全局 / 局部） | 8 / 14 |",
        "| RoPE theta (global / local) | 80,000 / 10,000 |",
        "| Longest text (tokens) | 8,192 |",
        "| 数据类型 | bfloat16 |",
    ],
)
def test_numbers_come_from_config_and_weights(row: str, tmp_path: Path) -> None:
    assert row in card(tmp_path).split("\n")


def test_a_run_without_logs_has_no_training_section(tmp_path: Path) -> None:
    text = card(tmp_path)
    assert values_of(tmp_path) == {}
    assert "## Training" not in text and "训练日志中的记录" not in text and "Recorded by the run" not in text


def test_no_place_of_the_template_stays_open(tmp_path: Path) -> None:
    text = card(tmp_path)
    for mark in ("{{", "{%", "None", "nan", "[More Information Needed]"):
        assert mark not in text
    assert "\n\n\n" not in text
    assert text.endswith("\n") and not text.endswith("\n\n")


def test_tables_are_whole(tmp_path: Path) -> None:
    write_log(tmp_path / "training_log.jsonl", {"step": 5, "loss": 1.0})
    lines = card(tmp_path).split("\n")
    for number, line in enumerate(lines):
        if line.startswith("| ---"):
            assert lines[number - 2] == "" and lines[number + 1].startswith("| ")
    assert sum(line.startswith("| ---") for line in lines) == 4


def test_recorded_numbers_are_given_in_both_languages(tmp_path: Path) -> None:
    write_log(
        tmp_path / "training_log.jsonl", {"step": 10, "loss": 5.0}, {"step": 20, "loss": 3.25, "positions_seen": 20_480}
    )
    lines = card(tmp_path).split("\n")
    for row in (
        "| Training steps | 20 |",
        "| Last training loss | 3.2500 |",
        "| Token positions in all batches | 20,480 |",
    ):
        assert row in lines
    assert "| 最后的训练损失 | 3.2500 |" in lines


def test_trainer_state_is_read(tmp_path: Path) -> None:
    history = [{"step": 10, "loss": 4.0}, {"step": 20, "loss": 3.0}, {"step": 20, "eval_loss": 3.5}]
    state = {"global_step": 20, "num_input_tokens_seen": 0, "log_history": history}
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    assert values_of(tmp_path) == {
        "Training steps": "20",
        "Last training loss": "3.0000",
        "Validation loss": "3.5000",
    }


def test_an_early_checkpoint_does_not_carry_later_numbers(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint-10"
    checkpoint.mkdir()
    (checkpoint / "trainer_state.json").write_text(json.dumps({"global_step": 10, "log_history": []}))
    write_log(tmp_path / "training_log.jsonl", {"step": 10, "loss": 4.0}, {"step": 20, "loss": 3.0})
    assert values_of(checkpoint) == {"Training steps": "10", "Last training loss": "4.0000"}


def test_numbers_that_are_none_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "training_log.jsonl").write_text(
        '{"step": 3, "loss": NaN, "eval_loss": "high", "positions_seen": true}\n'
    )
    assert values_of(tmp_path) == {"Training steps": "3"}


def test_what_the_trainers_write_is_found(tmp_path: Path) -> None:
    pretraining = pytest.importorskip("chinese_modernbert.trainers.pretraining")
    (tmp_path / pretraining.FINAL).mkdir()
    write_log(tmp_path / LOG_FILE, {"step": 7, "eval_word_accuracy": 0.25})
    wanted = {"Training steps": "7", "Masked-word accuracy, validation": "0.2500"}
    assert values_of(tmp_path / pretraining.FINAL) == wanted
    assert pretraining.RECIPE in RECORD_FILES


def test_a_broken_log_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "training_log.jsonl").write_text('{"step": 1}\n\n{"step": 2\n')
    with pytest.raises(ValueError, match=r"training_log\.jsonl:3 is not JSON"):
        last_logged_values(tmp_path)


def test_scaled_positions_are_told() -> None:
    assert _rope_text({"rope_type": "yarn", "rope_theta": 80_000.0, "factor": 4.0}) == "80,000 (yarn, factor 4)"
    assert _rope_text({"rope_type": "default", "rope_theta": 10_000.0}) == "10,000"


def test_a_bare_name_is_no_repository(tmp_path: Path) -> None:
    assert "`owner/chinese-encoder` is a Chinese" in card(tmp_path)
    assert "\nA Chinese masked language model" in card(tmp_path, name="encoder")


def test_what_nobody_recorded_is_listed_in_both_languages(tmp_path: Path) -> None:
    lines = card(tmp_path).split("\n")
    parts = "recipe, seeds and masking, training data, package versions"
    assert f"Not recorded: training log, {parts}, CLUE figures, sentence similarity figures." in lines
    assert "没有记录：训练日志、训练配方、种子与掩码方式、训练数据、软件包版本、CLUE 成绩、句子相似度成绩。" in lines
    write_log(tmp_path / LOG_FILE, {"step": 5, "loss": 1.0})
    told = card(tmp_path, recipe={}, run={}, packages={})
    assert "Not recorded: training data, CLUE figures, sentence similarity figures." in told.split("\n")


def test_the_paper_is_cited_in_both_languages(tmp_path: Path) -> None:
    english, chinese = card(tmp_path).split("\n## 中文\n")
    assert "## Citation" in english and "eprint = {2510.12285}" in english
    assert "arXiv 2510.12285" in chinese


def test_record_files_are_linked(tmp_path: Path) -> None:
    assert "[`recipe.yaml`](recipe.yaml), [`masking.yaml`](masking.yaml)." in card(
        tmp_path, record_files=("recipe.yaml", "masking.yaml")
    )
