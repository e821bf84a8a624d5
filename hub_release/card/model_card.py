"""The model card of a release, filled from recorded facts only: what nobody recorded is not in the card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData
from jinja2 import Template

from ...modeling import ChineseModernBertConfig
from ...runtime.markdown import markdown_table
from ..checkpoint import read_json_object
from ..kinds import LOG, SEARCH, SIMILARITY, TASKS, TOKENIZER, ReleaseKind
from ..native_form import NativeForm
from .data_facts import read_data
from .evaluation_facts import EvaluationFacts
from .search_facts import MEASURE_TITLES
from .tokenizer_facts import TokenizerMetric
from .training_facts import CardRow, TrainingFacts

CARD_FILE = "README.md"
TEMPLATE_FILE = "model_card_template.md"
# How models of each kind are used; see `ReleaseKind.examples`.
EXAMPLES = Path(__file__).with_name("examples")
# The recorded outcome of `make runtimes`.
RUNTIMES_FILE = Path(__file__).with_name("runtimes.json")
# Titles of the columns of each table, what the released model is called in that of search, and the remark on a task
# whose training failed.
TITLES = {
    "english": {
        "tokenizer": ("Text", "Characters per token", "Across a word boundary", "Bytes", "Unknown"),
        "tasks": ("Task", "Metric", "Mean ± deviation", "Runs", "Rows"),
        "similarity": ("Set", "Stage", "Pearson", "Spearman [interval]", "Pairs"),
        "search": (
            "Set",
            "Search",
            *MEASURE_TITLES,
            "Over BM25 [interval]",
            "ms per query",
            "Index, MB",
            "Weights, MB",
            "Queries",
        ),
        "this": "this model",
        "runtimes": ("Runtime", "Version", "Precision", "Lowest cosine", "Largest difference"),
        "collapsed": " (every run predicts one class: failed training)",
    },
    "chinese": {
        "tokenizer": ("文本", "每词元字符数", "跨词边界", "字节词元", "未知词元"),
        "tasks": ("任务", "指标", "均值 ± 标准差", "运行次数", "样本数"),
        "similarity": ("数据集", "阶段", "Pearson", "Spearman [区间]", "句对数"),
        "search": (
            "数据集",
            "检索方式",
            *MEASURE_TITLES,
            "相对 BM25 [区间]",
            "每查询毫秒",
            "索引 MB",
            "权重 MB",
            "查询数",
        ),
        "this": "本模型",
        "runtimes": ("运行环境", "版本", "精度", "最小余弦", "最大差异"),
        "collapsed": "（每次运行都只预测一个类别：训练失败）",
    },
}
# The rest of its name says whether a head is around the encoder.
EMBEDDING_NAME = "embeddings.tok_embeddings.weight"
CURVES = "training curves"
# What nobody recorded, in English and Chinese.
MISSING = {
    LOG: ("training log", "训练日志"),
    CURVES: ("training curves", "训练曲线"),
    TOKENIZER: ("tokenizer metrics", "分词器指标"),
    "recipe": ("recipe", "训练配方"),
    "run": ("seeds and masking", "种子与掩码方式"),
    "data": ("training data", "训练数据"),
    "packages": ("package versions", "软件包版本"),
    TASKS: ("CLUE metrics", "CLUE 成绩"),
    SIMILARITY: ("sentence similarity metrics", "句子相似度成绩"),
    SEARCH: ("search metrics", "检索成绩"),
}
LABELS_SHOWN = 30


def render_model_card(
    name: str,
    kind: ReleaseKind,
    config: ChineseModernBertConfig,
    native: NativeForm,
    parameter_sizes: dict[str, int],
    dtype: str,
    license_id: str,
    training: TrainingFacts,
    record_files: list[str],
    provenance: Mapping[str, Any],
    evaluations: EvaluationFacts,
    tokenizer_metrics: Sequence[TokenizerMetric] = (),
    onnx_graph: str = "",
    base_model: str = "",
    notes: str = "",
) -> str:
    """Return the text of the card.

    Args:
        name: repository name, `owner/name`, or a bare name
        kind: what the model is, and with it the examples
        config: configuration of the released model
        native: whether Transformers' own class loads it
        parameter_sizes: number of values of each released tensor
        dtype: data type of the released weights
        license_id: licence identifier of the Hub, such as `apache-2.0`
        training: what the logs tell about the training
        record_files: names of recipe, masking and provenance files inside the release
        provenance: what the provenance file holds, by part
        evaluations: metrics of reports about these weights
        tokenizer_metrics: metrics of a report about this tokenizer
        onnx_graph: file in `onnx/` that gives embeddings; no example if empty
        base_model: what it was trained from, `owner/name`; a model of its own if empty
        notes: text in Markdown that its author adds to the limits
    """
    title = name.rsplit("/", maxsplit=1)[-1]
    rows = [*model_rows(config, parameter_sizes, dtype, native, kind), *start_rows(provenance)]
    values = {
        "name": name,
        "trust": ", trust_remote_code=True" if native.fault else "",
        "tokenizer_trust": ", trust_remote_code=False" if native.fault else "",
        "onnx_graph": onnx_graph,
        "own_tokens": "" if kind.adds_terms else "A text has weights for its own tokens alone. ",
    }
    card = ModelCard.from_template(
        _front_matter(title, license_id, evaluations, kind, native, base_model),
        template_str=(Path(__file__).parent / TEMPLATE_FILE).read_text(encoding="utf-8"),
        title=title,
        kind=kind,
        examples=_examples((*kind.examples, *([kind.onnx] if onnx_graph else [])), values),
        is_pretrained="fill_mask" in kind.examples,
        native=native,
        runtimes_date=read_json_object(RUNTIMES_FILE)["date"],
        max_tokens=f"{config.max_position_embeddings:,}",
        tables={language: _tables(language, rows, training, tokenizer_metrics, evaluations) for language in TITLES},
        data=read_data(provenance),
        training=training,
        record_files=record_files,
        evaluations=evaluations,
        tokenizer_metrics=tokenizer_metrics,
        base_model=base_model,
        notes=notes.strip(),
        missing=[MISSING[one] for one in missing_facts(kind, training, tokenizer_metrics, provenance, evaluations)],
        **values,
    )
    return card.content.rstrip("\n") + "\n"


def _examples(names: Sequence[str], values: Mapping[str, str]) -> str:
    """Return examples of use, one after another."""
    texts = [(EXAMPLES / f"{name}.md").read_text(encoding="utf-8") for name in names]
    return "\n\n".join(Template(text).render(values).strip() for text in texts)


def _front_matter(
    title: str,
    license_id: str,
    evaluations: EvaluationFacts,
    kind: ReleaseKind,
    native: NativeForm,
    base_model: str,
) -> ModelCardData:
    """Return what the Hub reads of the card."""
    results = evaluations.results()
    return ModelCardData(
        model_name=title if results else None,
        eval_results=results or None,
        language="zh",
        license=license_id,
        library_name=kind.library,
        pipeline_tag=kind.task,
        base_model=base_model or None,
        tags=["chinese", "modernbert", *kind.tags, *(["custom_code"] if native.fault else [])],
    )


def _tables(
    language: str,
    rows: Sequence[CardRow],
    training: TrainingFacts,
    tokenizer_metrics: Sequence[TokenizerMetric],
    evaluations: EvaluationFacts,
) -> dict[str, str]:
    """Return every table of the card as Markdown, by name, in one language."""
    titles = TITLES[language]
    facts = {"model": rows, "training": training.rows}
    tables = {
        name: markdown_table(("", ""), [(getattr(row, language), row.value) for row in part])
        for name, part in facts.items()
    }
    tables["tokenizer"] = markdown_table(
        titles["tokenizer"],
        [
            (
                getattr(row, language),
                f"{row.characters_per_token:.3f}",
                f"{row.crossing_percent:.2f} %",
                f"{row.byte_percent:.3f} %",
                f"{row.unknown_percent:.3f} %",
            )
            for row in tokenizer_metrics
        ],
    )
    tables["tasks"] = markdown_table(
        titles["tasks"],
        [
            (
                f"{one.task}{titles['collapsed'] if one.is_collapsed else ''}",
                one.metric,
                one.value,
                one.runs,
                f"{one.rows:,}",
            )
            for one in evaluations.tasks
        ],
    )
    tables["similarity"] = markdown_table(
        titles["similarity"],
        [(one.name, one.stage, f"{one.pearson:.4f}", one.interval, f"{one.pairs:,}") for one in evaluations.similarity],
    )
    tables["search"] = markdown_table(titles["search"], [one.cells(titles["this"]) for one in evaluations.search])
    tables["runtimes"] = markdown_table(titles["runtimes"], _runtime_rows())
    return {name: "\n".join(lines) for name, lines in tables.items()}


def _runtime_rows() -> list[tuple[str, ...]]:
    """Return the cells of the recorded runtimes."""
    return [
        (row["runtime"], row["version"], row["precision"], f"{row['cosine']:.6f}", f"{row['difference']:.1e}")
        for row in read_json_object(RUNTIMES_FILE)["rows"]
    ]


def missing_facts(
    kind: ReleaseKind,
    training: TrainingFacts,
    tokenizer_metrics: Sequence[TokenizerMetric],
    provenance: Mapping[str, Any],
    evaluations: EvaluationFacts,
) -> list[str]:
    """Return what belongs to a model of this kind, and nobody recorded or gave; keys of `MISSING`."""
    present = {name for name in provenance}
    present |= {
        name
        for name, found in (
            (LOG, training.rows),
            (CURVES, training.curves or not training.rows),
            (TOKENIZER, tokenizer_metrics),
            (TASKS, evaluations.tasks),
            (SIMILARITY, evaluations.similarity),
            (SEARCH, evaluations.search),
        )
        if found
    }
    return [name for name in MISSING if name in (*kind.facts, CURVES) and name not in present]


def model_rows(
    config: ChineseModernBertConfig,
    parameter_sizes: dict[str, int],
    dtype: str,
    native: NativeForm,
    kind: ReleaseKind,
) -> Iterator[CardRow]:
    """Yield what config and weights say about the model."""
    total = sum(parameter_sizes.values())
    embedding = next(size for name, size in parameter_sizes.items() if name.endswith(EMBEDDING_NAME))
    global_layers = sum(kind == "full_attention" for kind in config.layer_types)
    local_layers = config.num_hidden_layers - global_layers
    ropes = [_rope_text(config.rope_parameters[kind]) for kind in ("full_attention", "sliding_attention")]
    yield CardRow("Parameters", "参数量", f"{total:,}")
    yield CardRow("Parameters without embeddings", "不含词向量的参数量", f"{total - embedding:,}")
    yield CardRow("Layers (global / local)", "层数（全局 / 局部）", f"{global_layers} / {local_layers}")
    yield CardRow("Hidden size", "隐藏维度", f"{config.hidden_size:,}")
    yield CardRow("Attention heads", "注意力头数", f"{config.num_attention_heads}")
    yield CardRow("Feed-forward size", "前馈维度", f"{config.intermediate_size:,}")
    norm = config.norm_type
    if norm == "rmsnorm" and not native.fault:
        norm = "rmsnorm in training, on a residual stream of mean zero; layernorm here"
    yield CardRow("Norm", "归一化", norm)
    yield CardRow("Local window (tokens)", "局部窗口（词元）", f"{config.local_attention}")
    yield CardRow("RoPE theta (global / local)", "RoPE theta（全局 / 局部）", " / ".join(ropes))
    yield CardRow("Longest text (tokens)", "最大长度（词元）", f"{config.max_position_embeddings:,}")
    yield CardRow("Vocabulary", "词表大小", f"{config.vocab_size:,}")
    yield CardRow("Data type", "数据类型", dtype)
    if kind.names_labels:
        labels = [str(label) for label in (config.id2label or {}).values()]
        more = f", ... ({len(labels)})" if len(labels) > LABELS_SHOWN else ""
        yield CardRow("Labels", "标签", ", ".join(labels[:LABELS_SHOWN]) + more)


def start_rows(provenance: Mapping[str, Any]) -> Iterator[CardRow]:
    """Yield what a run that went on from another model says of it: its weights, and the data of its own run."""
    start = provenance.get("start")
    if not isinstance(start, dict):
        return
    yield CardRow("Continued from (name, digest of the weights)", "起点模型（名称与权重摘要）", str(start.get("model")))
    shards = ((start.get("before") or {}).get("data") or {}).get("shards") or []
    if shards:
        tokens = sum(int(shard["tokens"]) for shard in shards)
        yield CardRow("Tokens in the data of the run before", "此前训练数据的词元数", f"{tokens:,}")


def _rope_text(parameters: dict[str, Any]) -> str:
    """Return theta, followed by the scaling of positions where there is one."""
    theta = f"{parameters['rope_theta']:,.0f}"
    kind = parameters["rope_type"]
    return theta if kind == "default" else f"{theta} ({kind}, factor {parameters['factor']:g})"
