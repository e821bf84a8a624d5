"""The model card of a release, filled from recorded facts only: what nobody recorded is not in the card."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from ..modeling import ChineseModernBertConfig
from ..trainers.training_log import LOG_FILE, read_training_log
from .checkpoint import EMBEDDING_PARAMETER, read_json_object, record_folders
from .evaluation_facts import EvaluationFacts

CARD_FILE = "README.md"
TEMPLATE_FILE = "model_card_template.md"
TRAINER_STATE_FILE = "trainer_state.json"


@dataclass(frozen=True)
class CardRow:
    """One line of a table of the card.

    Attributes:
        english: label in the English section.
        chinese: label in the Chinese section.
        value: the recorded value as text, the same in both.
    """

    english: str
    chinese: str
    value: str


@dataclass(frozen=True)
class LoggedFact:
    """Which logged key becomes which line.

    Attributes:
        keys: names of the key in logs, the first one found counts.
        english: label in the English section.
        chinese: label in the Chinese section.
        digits: decimals of the value; `None` for a count.
    """

    keys: tuple[str, ...]
    english: str
    chinese: str
    digits: int | None = None


LOGGED_FACTS = (
    LoggedFact(("global_step", "step"), "Training steps", "训练步数"),
    LoggedFact(("positions_seen",), "Token positions in all batches", "所有批次的词元位置数"),
    LoggedFact(("num_input_tokens_seen",), "Tokens seen", "训练词元数"),
    LoggedFact(("loss",), "Last training loss", "最后的训练损失", 4),
    LoggedFact(("mask_rate",), "Masking rate at the end", "结束时的掩码率", 4),
    LoggedFact(("eval_loss",), "Validation loss", "验证损失", 4),
    LoggedFact(("eval_token_accuracy",), "Masked-token accuracy, validation", "验证集掩码词元准确率", 4),
    LoggedFact(("eval_word_accuracy",), "Masked-word accuracy, validation", "验证集掩码整词准确率", 4),
    LoggedFact(("eval_unigram_word_accuracy",), "The same of a unigram guess", "一元猜测的掩码整词准确率", 4),
)

PROVENANCE_PARTS = (
    ("recipe", "recipe", "训练配方"),
    ("run", "seeds and masking", "种子与掩码方式"),
    ("data", "training data", "训练数据"),
    ("packages", "package versions", "软件包版本"),
)


def render_model_card(
    name: str,
    config: ChineseModernBertConfig,
    parameter_sizes: dict[str, int],
    dtype: str,
    license_id: str,
    checkpoint: Path,
    record_files: list[str],
    provenance: Mapping[str, Any],
    evaluations: EvaluationFacts,
    onnx_graph: str = "",
) -> str:
    """Return the text of the card.

    Args:
        name: repository name, `owner/name`, or a bare name.
        config: configuration of the released model.
        parameter_sizes: number of values of each released tensor.
        dtype: data type of the released weights.
        license_id: licence identifier of the Hub, such as `apache-2.0`.
        checkpoint: folder whose logs tell about the training, where there are any.
        record_files: names of recipe, masking and provenance files inside the release.
        provenance: what the provenance file holds, by part.
        evaluations: figures of reports about these weights.
        onnx_graph: file in `onnx/` that gives sentence embeddings; no example if empty.
    """
    training = list(training_rows(checkpoint))
    title = name.rsplit("/", maxsplit=1)[-1]
    card = ModelCard.from_template(
        _front_matter(title, license_id, evaluations),
        template_str=(Path(__file__).parent / TEMPLATE_FILE).read_text(encoding="utf-8"),
        name=name,
        title=title,
        max_tokens=f"{config.max_position_embeddings:,}",
        model_rows=list(model_rows(config, parameter_sizes, dtype)),
        training_rows=training,
        record_files=record_files,
        evaluations=evaluations,
        onnx_graph=onnx_graph,
        missing=list(missing_facts(training, provenance, evaluations)),
    )
    return card.content.rstrip("\n") + "\n"


def _front_matter(title: str, license_id: str, evaluations: EvaluationFacts) -> ModelCardData:
    """Return what the Hub reads of the card."""
    results = evaluations.results()
    return ModelCardData(
        model_name=title if results else None,
        eval_results=results or None,
        language="zh",
        license=license_id,
        library_name="transformers",
        pipeline_tag="fill-mask",
        tags=["chinese", "modernbert", "masked-language-model", "sentence-transformers", "custom_code"],
    )


def missing_facts(
    training: list[CardRow], provenance: Mapping[str, Any], evaluations: EvaluationFacts
) -> Iterator[tuple[str, str]]:
    """Yield what nobody recorded or gave, in English and Chinese."""
    if not training:
        yield "training log", "训练日志"
    for part, english, chinese in PROVENANCE_PARTS:
        if part not in provenance:
            yield english, chinese
    if not evaluations.tasks:
        yield "CLUE figures", "CLUE 成绩"
    if not evaluations.similarity:
        yield "sentence similarity figures", "句子相似度成绩"


def model_rows(config: ChineseModernBertConfig, parameter_sizes: dict[str, int], dtype: str) -> Iterator[CardRow]:
    """Yield what config and weights say about the model."""
    total = sum(parameter_sizes.values())
    embedding = parameter_sizes[EMBEDDING_PARAMETER]
    global_layers = sum(kind == "full_attention" for kind in config.layer_types)
    local_layers = config.num_hidden_layers - global_layers
    ropes = [_rope_text(config.rope_parameters[kind]) for kind in ("full_attention", "sliding_attention")]
    yield CardRow("Parameters", "参数量", f"{total:,}")
    yield CardRow("Parameters without embeddings", "不含词向量的参数量", f"{total - embedding:,}")
    yield CardRow("Layers (global / local)", "层数（全局 / 局部）", f"{global_layers} / {local_layers}")
    yield CardRow("Hidden size", "隐藏维度", f"{config.hidden_size:,}")
    yield CardRow("Attention heads", "注意力头数", f"{config.num_attention_heads}")
    yield CardRow("Feed-forward size", "前馈维度", f"{config.intermediate_size:,}")
    yield CardRow("Norm", "归一化", config.norm_type)
    yield CardRow("Local window (tokens)", "局部窗口（词元）", f"{config.local_attention}")
    yield CardRow("RoPE theta (global / local)", "RoPE theta（全局 / 局部）", " / ".join(ropes))
    yield CardRow("Longest text (tokens)", "最大长度（词元）", f"{config.max_position_embeddings:,}")
    yield CardRow("Vocabulary", "词表大小", f"{config.vocab_size:,}")
    yield CardRow("Data type", "数据类型", dtype)


def _rope_text(parameters: dict[str, Any]) -> str:
    """Return theta, and behind it how positions are scaled where they are."""
    theta = f"{parameters['rope_theta']:,.0f}"
    kind = parameters["rope_type"]
    return theta if kind == "default" else f"{theta} ({kind}, factor {parameters['factor']:g})"


def training_rows(checkpoint: Path) -> Iterator[CardRow]:
    """Yield what the logs beside a checkpoint recorded; nothing where there are none."""
    recorded = last_logged_values(checkpoint)
    for fact in LOGGED_FACTS:
        value = next((recorded[key] for key in fact.keys if key in recorded), None)
        if value is None or (fact.digits is None and value <= 0):
            continue  # Trainer writes 0 for tokens that it did not count
        text = f"{value:,.0f}" if fact.digits is None else f"{value:.{fact.digits}f}"
        yield CardRow(fact.english, fact.chinese, text)


def last_logged_values(checkpoint: Path) -> dict[str, float]:
    """Return the last finite value of each number in the logs of a checkpoint folder.

    Read are `trainer_state.json` and, over it, the run's `training_log.jsonl`. Lines after the checkpoint's own step
    are left out, so that an early checkpoint does not carry the numbers of a later one.

    Raises:
        ValueError: for a log that is not JSON.
    """
    values: dict[str, float] = {}
    last_step = math.inf
    state_path = checkpoint / TRAINER_STATE_FILE
    if state_path.is_file():
        state = read_json_object(state_path)
        last_step = float(state.get("global_step", math.inf))
        for entry in [*state.get("log_history", []), state]:
            values.update(_numbers(entry))
    for entry in _log_lines(checkpoint):
        if float(entry.get("step", 0)) <= last_step:
            values.update(_numbers(entry))
    return values


def _log_lines(checkpoint: Path) -> list[dict[str, Any]]:
    """Return the lines of the first log found."""
    for folder in record_folders(checkpoint):
        if (folder / LOG_FILE).is_file():
            return [line for line in read_training_log(folder / LOG_FILE) if isinstance(line, dict)]
    return []


def _numbers(entry: dict[str, Any]) -> dict[str, float]:
    """Return the finite numbers of a log entry, by key."""
    numbers = {
        key: value for key, value in entry.items() if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {key: float(value) for key, value in numbers.items() if math.isfinite(value)}
