import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from huggingface_hub import ModelCard

from chinese_modernbert.hub_release.card.evaluation_facts import EvaluationFacts
from chinese_modernbert.hub_release.card.model_card import _rope_text, render_model_card
from chinese_modernbert.hub_release.card.tokenizer_facts import TokenizerMetric
from chinese_modernbert.hub_release.card.training_facts import (
    CURVES_FILE,
    last_logged_values,
    read_training,
    training_rows,
)
from chinese_modernbert.hub_release.checkpoint import MASKED_LM
from chinese_modernbert.hub_release.contents import RECORD_FILES
from chinese_modernbert.hub_release.kinds import kind_of
from chinese_modernbert.hub_release.native_form import NativeForm
from chinese_modernbert.modeling import ChineseModernBertConfig
from chinese_modernbert.trainers.pretraining.log import LOG_FILE

EMBEDDING = "model.embeddings.tok_embeddings.weight"


NATIVE = NativeForm(difference=3e-7)


def card(
    checkpoint: Path,
    name: str = "owner/chinese-encoder",
    record_files: tuple[str, ...] = (),
    tokenizer_metrics: tuple[TokenizerMetric, ...] = (),
    class_name: str = MASKED_LM,
    native: NativeForm = NATIVE,
    base_model: str = "",
    notes: str = "",
    fields: Mapping[str, Any] = MappingProxyType({}),
    **provenance: Any,
) -> str:
    config = ChineseModernBertConfig.preset("base", **fields)
    return render_model_card(
        name=name,
        kind=kind_of(class_name, config),
        base_model=base_model,
        notes=notes,
        native=native,
        config=config,
        parameter_sizes={EMBEDDING: 1_000, "decoder.bias": 234},
        dtype="bfloat16",
        license_id="apache-2.0",
        training=read_training(checkpoint, checkpoint),
        record_files=list(record_files),
        provenance=provenance,
        evaluations=EvaluationFacts(),
        tokenizer_metrics=tokenizer_metrics,
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


def test_the_card_names_the_sources_of_its_text(tmp_path: Path) -> None:
    sources = {f"shop-{number:02}": {"documents": 2, "tokens": 10, "characters": 15} for number in range(45)}
    sources["news"] = {"documents": 1_200, "tokens": 550, "characters": 900}
    data = {"documents": 1_290, "tokens": 1_000, "sources": sources}
    text = card(tmp_path, data=data)
    assert "Trained on 1,290 documents of 1,000 tokens." in text and "1,290 篇文档，1,000 个词元" in text
    rows = [line for line in text.split("\n") if "%" in line]
    assert rows[0] == "| news | 1,200 | 55.0% |" and rows[-1] == "| 7 more | 14 | 7.0% |" and len(rows) == 40
    assert sum(float(row.split("|")[3].strip(" %")) for row in rows) == pytest.approx(100)
    assert "\n\n\n" not in text
    assert "Trained on" not in card(tmp_path, data={})


def test_notes_end_the_limits_as_they_are(tmp_path: Path) -> None:
    text = card(tmp_path, notes="\n**Not** for {{ title }}.\n\n")
    assert "decisions rest on it.\n\n**Not** for {{ title }}.\n\n## Citation" in text


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
    assert sum(line.startswith("| ---") for line in lines) == 6


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
    pretraining = pytest.importorskip("chinese_modernbert.trainers.pretraining.run")
    (tmp_path / pretraining.FINAL).mkdir()
    write_log(tmp_path / LOG_FILE, {"step": 7, "eval_word_accuracy": 0.25})
    expected = {"Training steps": "7", "Masked-word accuracy, validation": "0.2500"}
    assert values_of(tmp_path / pretraining.FINAL) == expected
    assert pretraining.RECIPE in RECORD_FILES


@pytest.mark.parametrize("name", ["checkpoint-7", "final", "final_averaged"])
@pytest.mark.parametrize("evaluates_average", [False, True])
def test_an_evaluation_is_of_the_weights_that_the_run_evaluated(
    tmp_path: Path, name: str, evaluates_average: bool
) -> None:
    checkpoint = tmp_path / name
    checkpoint.mkdir()
    write_log(tmp_path / LOG_FILE, {"step": 7, "loss": 3.0}, {"step": 7, "eval_loss": 2.5})
    (checkpoint / "recipe.yaml").write_text("ema_decay: 0.999\n" + "ema_evaluation: true\n" * evaluates_average)
    expected = {"Training steps": "7", "Last training loss": "3.0000"}
    if evaluates_average == (name == "final_averaged"):
        expected["Validation loss"] = "2.5000"
    assert values_of(checkpoint) == expected
    assert read_training(checkpoint, checkpoint).curves == CURVES_FILE


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
    figures = "tokenizer metrics, {}, CLUE metrics, sentence similarity metrics."
    assert f"Not recorded: training log, {figures.format(parts)}" in lines
    chinese = "训练日志、分词器指标、训练配方、种子与掩码方式、训练数据、软件包版本、CLUE 成绩、句子相似度成绩"
    assert f"没有记录：{chinese}。" in lines
    write_log(tmp_path / LOG_FILE, {"step": 5, "loss": 1.0})
    told = card(tmp_path, recipe={}, run={}, packages={})
    assert f"Not recorded: {figures.format('training data')}" in told.split("\n")


def test_curves_are_drawn_up_to_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = tmp_path / "checkpoint-20"
    checkpoint.mkdir()
    (checkpoint / "trainer_state.json").write_text(json.dumps({"global_step": 20}))
    lines = [{"step": step, "loss": 10.0 - step / 10, "learning_rate": 1e-3, "mask_rate": 0.3} for step in (10, 20, 30)]
    write_log(tmp_path / LOG_FILE, *lines)
    assert f"]({CURVES_FILE})" in card(checkpoint)
    early = (checkpoint / CURVES_FILE).read_bytes()
    card(checkpoint)
    assert (checkpoint / CURVES_FILE).read_bytes() == early
    write_log(tmp_path / LOG_FILE, *lines[:2])
    card(checkpoint)
    assert (checkpoint / CURVES_FILE).read_bytes() == early
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    without = card(checkpoint)
    assert CURVES_FILE not in without and "Not recorded: training curves, tokenizer" in without


def test_figures_of_the_tokenizer_are_given_in_both_languages(tmp_path: Path) -> None:
    figure = TokenizerMetric("Traditional", "繁体", 1_200, 34_000, 1.4567, 2.345, 0.0123, 0.0)
    text = card(tmp_path, tokenizer_metrics=(figure,))
    assert "| Traditional | 1.457 | 2.35 % | 0.012 % | 0.000 % |" in text.split("\n")
    assert "| 繁体 | 1.457 | 2.35 % | 0.012 % | 0.000 % |" in text.split("\n")
    assert "1,200 documents of 34,000 characters" in text and "tokenizer metrics" not in text


def test_the_paper_is_cited_in_both_languages(tmp_path: Path) -> None:
    english, chinese = card(tmp_path).split("\n## 中文\n")
    assert "## Citation" in english and "eprint = {2510.12285}" in english
    assert "arXiv 2510.12285" in chinese


def test_record_files_are_linked(tmp_path: Path) -> None:
    assert "[`recipe.yaml`](recipe.yaml), [`masking.yaml`](masking.yaml)." in card(
        tmp_path, record_files=("recipe.yaml", "masking.yaml")
    )


HEADS: list[tuple[str, dict[str, Any], str, str]] = [
    ("Model", {}, "sentence-similarity", "SentenceTransformer("),
    ("ForSequenceClassification", {"num_labels": 3}, "text-classification", 'pipeline("text-classification"'),
    (
        "ForSequenceClassification",
        {"num_labels": 3, "problem_type": "multi_label_classification"},
        "text-classification",
        "top_k=None",
    ),
    ("ForSequenceClassification", {"num_labels": 1, "problem_type": "regression"}, "text-classification", '["score"]'),
    ("ForSequenceClassification", {"num_labels": 1}, "text-ranking", "CrossEncoder("),
    ("ForTokenClassification", {"num_labels": 3}, "token-classification", 'pipeline("token-classification"'),
    ("ForQuestionAnswering", {}, "question-answering", "outputs.start_logits.argmax()"),
    ("ForMultipleChoice", {}, "multiple-choice", "value.unsqueeze(0)"),
    ("ForSpellingCorrection", {}, "text-generation", "model.correct("),
]


@pytest.mark.parametrize(("head", "fields", "task", "words"), HEADS)
@pytest.mark.parametrize("native", [NATIVE, NativeForm("a reason")], ids=["native", "own"])
def test_every_kind_has_a_card_with_an_example_of_its_own(
    head: str, fields: dict[str, Any], task: str, words: str, native: NativeForm, tmp_path: Path
) -> None:
    text = card(tmp_path, class_name=f"ChineseModernBert{head}", native=native, fields=fields)
    data = ModelCard(text).data
    assert data.pipeline_tag == task
    is_of_sentences = task in ("sentence-similarity", "text-ranking")
    assert data.library_name == ("sentence-transformers" if is_of_sentences else "transformers")
    examples = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(examples) == 1 and words in examples[0]
    compile(examples[0], "card", "exec")
    assert ("trust_remote_code=True" in examples[0]) is bool(native.fault)
    assert ("## Runtimes" in text) is not bool(native.fault)
    assert "{{" not in text and "\n\n\n" not in text
    assert "recipe" not in text.partition("Not recorded")[2], "a fine-tuning has no recipe of pre-training"


def test_labels_stand_in_the_card_of_a_classifier_and_not_in_that_of_a_score(tmp_path: Path) -> None:
    names = {0: "体育", 1: "财经|股票"}
    labels = {"id2label": names, "label2id": {name: number for number, name in names.items()}, "num_labels": 2}
    text = card(tmp_path, class_name="ChineseModernBertForTokenClassification", fields=labels)
    assert "| Labels | 体育, 财经\\|股票 |" in text and "| 标签 | 体育, 财经\\|股票 |" in text
    many = {"num_labels": 40}
    assert "LABEL_29, ... (40) |" in card(tmp_path, class_name="ChineseModernBertForTokenClassification", fields=many)
    assert "Labels" not in card(
        tmp_path, class_name="ChineseModernBertForSequenceClassification", fields={"num_labels": 1}
    )


def test_the_card_names_the_model_that_it_was_trained_from(tmp_path: Path) -> None:
    text = card(tmp_path, base_model="owner/chinese-base")
    assert ModelCard(text).data.base_model == "owner/chinese-base"
    assert text.count("[owner/chinese-base](https://huggingface.co/owner/chinese-base)") == 2
    assert "base_model" not in card(tmp_path)
