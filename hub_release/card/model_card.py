"""The model card of a release, filled from recorded facts only: what nobody recorded is not in the card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from ...modeling import ChineseModernBertConfig
from ..checkpoint import EMBEDDING_PARAMETER
from .evaluation_facts import EvaluationFacts
from .tokenizer_facts import TokenizerMetric
from .training_facts import CardRow, TrainingFacts

CARD_FILE = "README.md"
TEMPLATE_FILE = "model_card_template.md"


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
    training: TrainingFacts,
    record_files: list[str],
    provenance: Mapping[str, Any],
    evaluations: EvaluationFacts,
    tokenizer_metrics: Sequence[TokenizerMetric] = (),
    onnx_graph: str = "",
) -> str:
    """Return the text of the card.

    Args:
        name: repository name, `owner/name`, or a bare name.
        config: configuration of the released model.
        parameter_sizes: number of values of each released tensor.
        dtype: data type of the released weights.
        license_id: licence identifier of the Hub, such as `apache-2.0`.
        training: what the logs tell about the training.
        record_files: names of recipe, masking and provenance files inside the release.
        provenance: what the provenance file holds, by part.
        evaluations: figures of reports about these weights.
        tokenizer_metrics: figures of a report about this tokenizer.
        onnx_graph: file in `onnx/` that gives sentence embeddings; no example if empty.
    """
    title = name.rsplit("/", maxsplit=1)[-1]
    card = ModelCard.from_template(
        _front_matter(title, license_id, evaluations),
        template_str=(Path(__file__).parent / TEMPLATE_FILE).read_text(encoding="utf-8"),
        name=name,
        title=title,
        max_tokens=f"{config.max_position_embeddings:,}",
        model_rows=list(model_rows(config, parameter_sizes, dtype)),
        training=training,
        record_files=record_files,
        evaluations=evaluations,
        tokenizer_metrics=tokenizer_metrics,
        onnx_graph=onnx_graph,
        missing=list(missing_facts(training, tokenizer_metrics, provenance, evaluations)),
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
    training: TrainingFacts,
    tokenizer_metrics: Sequence[TokenizerMetric],
    provenance: Mapping[str, Any],
    evaluations: EvaluationFacts,
) -> Iterator[tuple[str, str]]:
    """Yield what nobody recorded or gave, in English and Chinese."""
    if not training.rows:
        yield "training log", "训练日志"
    elif not training.curves:
        yield "training curves", "训练曲线"
    if not tokenizer_metrics:
        yield "tokenizer figures", "分词器指标"
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
