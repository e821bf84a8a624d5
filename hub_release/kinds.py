"""What a release of each kind of model consists of: one table for builder, card and verification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..modeling import ChineseModernBertConfig
from ..modeling.configuration_chinese_modernbert import SPELLING
from .checkpoint import MASKED_LM, OUR_PREFIX
from .poolings import LATE_INTERACTION
from .sentence_modules import SentenceModules

ENCODER = f"{OUR_PREFIX}Model"
SEQUENCE_CLASSIFIER = f"{OUR_PREFIX}ForSequenceClassification"
# Classes that sentence-transformers turns into a sentence encoder.
ENCODER_CLASSES = (MASKED_LM, ENCODER)
# What a run or a command may have written down; the card of a kind names those that it lacks.
LOG, TOKENIZER, TASKS, SIMILARITY = "training log", "tokenizer metrics", "CLUE metrics", "sentence similarity metrics"
SEARCH = "search metrics"
PROVENANCE = ("recipe", "run", "data", "packages")


@dataclass(frozen=True)
class ReleaseKind:
    """A kind of model.

    Attributes:
        task: what the Hub calls its task
        english: what the card calls the model
        chinese: the same in Chinese
        examples: files of `card/examples` by their names, in order
        facts: what the card calls "not recorded" where it is absent
        library: by which library the Hub's page says to load it
        tags: what the Hub lists it under besides
        onnx: file of `card/examples` that uses its ONNX graph of embeddings
        names_labels: the card lists the labels of the configuration
        fills_words: the configuration names the pipeline `fill-words`
        adds_terms: a sparse encoder gives weights to tokens that a text does not hold, too
    """

    task: str
    english: str
    chinese: str
    examples: tuple[str, ...]
    facts: tuple[str, ...] = (LOG, TASKS)
    library: str = "transformers"
    tags: tuple[str, ...] = ()
    onnx: str = "onnx_embeddings"
    names_labels: bool = False
    fills_words: bool = False
    adds_terms: bool = True


SENTENCES = "sentence-transformers"
# By class, or by what its configuration says besides, see `kind_of`.
KINDS: Mapping[str, ReleaseKind] = {
    ENCODER: ReleaseKind(
        "sentence-similarity",
        "sentence encoder",
        "句向量模型",
        ("sentences",),
        (LOG, SIMILARITY),
        SENTENCES,
        (SENTENCES,),
    ),
    MASKED_LM: ReleaseKind(
        "fill-mask",
        "masked language model",
        "掩码语言模型",
        ("fill_mask", "sentences", "fine_tuning", "lora", "sparse"),
        (LOG, TOKENIZER, *PROVENANCE, TASKS, SIMILARITY),
        tags=(SENTENCES, "masked-language-model"),
        fills_words=True,
    ),
    "sparse encoder": ReleaseKind(
        "feature-extraction",
        "sparse encoder (SPLADE)",
        "稀疏句向量模型（SPLADE）",
        ("sparse_encoder",),
        (LOG, SEARCH),
        SENTENCES,
        (SENTENCES, "sparse-encoder", "sparse", "splade"),
        "onnx_sparse",
    ),
    "sparse encoder of documents": ReleaseKind(
        "feature-extraction",
        "sparse encoder of documents (SPLADE) whose queries need no model",
        "文档稀疏向量模型（SPLADE，查询无需模型）",
        ("sparse_documents",),
        (LOG, SEARCH),
        SENTENCES,
        (SENTENCES, "sparse-encoder", "sparse", "splade", "asymmetric", "inference-free"),
        "onnx_sparse",
    ),
    "late interaction": ReleaseKind(
        "feature-extraction",
        "late-interaction encoder (a vector for every token, as in ColBERT)",
        "延迟交互检索模型（每个词元一个向量，如 ColBERT）",
        ("late_interaction",),
        (LOG, SEARCH),
        SENTENCES,
        (SENTENCES, "multi-vector", "colbert", "late-interaction"),
        "onnx_late_interaction",
    ),
    SEQUENCE_CLASSIFIER: ReleaseKind(
        "text-classification", "text classifier", "文本分类模型", ("classifier",), names_labels=True
    ),
    "several labels": ReleaseKind(
        "text-classification",
        "multi-label text classifier",
        "多标签文本分类模型",
        ("several_labels",),
        names_labels=True,
    ),
    "regression": ReleaseKind("text-classification", "text regression model", "文本回归模型", ("regression",)),
    "reranker": ReleaseKind(
        "text-ranking", "reranker", "重排序模型", ("reranker",), (LOG, SEARCH), library=SENTENCES, tags=(SENTENCES,)
    ),
    f"{OUR_PREFIX}ForTokenClassification": ReleaseKind(
        "token-classification", "token classifier", "词元分类模型", ("tagger",), names_labels=True
    ),
    f"{OUR_PREFIX}ForQuestionAnswering": ReleaseKind(
        "question-answering", "question-answering model", "抽取式问答模型", ("answers",)
    ),
    SPELLING: ReleaseKind(
        "text-generation",
        "spelling corrector of Chinese text",
        "中文拼写纠错模型",
        ("spelling",),
        (LOG,),
        tags=("spelling-correction", "chinese-spelling-correction"),
    ),
    f"{OUR_PREFIX}ForMultipleChoice": ReleaseKind(
        "multiple-choice", "multiple-choice model", "多项选择模型", ("choices",)
    ),
}
PROBLEMS = {"multi_label_classification": "several labels", "regression": "regression"}


def kind_of(class_name: str, config: ChineseModernBertConfig, modules: SentenceModules | None = None) -> ReleaseKind:
    """Return the kind of a model: by its class, its pooling, and of a sequence classifier by what its numbers mean.

    One label without a `problem_type` is a score, as of rerankers and of choices.
    """
    if class_name == SEQUENCE_CLASSIFIER:
        score = "reranker" if config.num_labels == 1 else class_name
        return KINDS[PROBLEMS.get(config.problem_type or "", score)]
    if modules and modules.pooling == LATE_INTERACTION:
        return KINDS["late interaction"]
    if modules and modules.is_sparse:
        sparse = KINDS["sparse encoder of documents" if modules.query else "sparse encoder"]
        return replace(sparse, adds_terms=modules.module("SparseStaticEmbedding") is None)
    return KINDS[class_name]
