"""What a sentence encoder is compared with in its report: baselines that saw no pair, and other encoders."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ...evaluation.retrieval.bm25 import search_bm25
from ...evaluation.retrieval.measures import score_retrieval
from ...evaluation.retrieval.tasks import RetrievalTask
from ...evaluation.sentences.bm25 import bm25_similarity
from ...evaluation.sentences.files import ScoredPair
from ...evaluation.sentences.report import ScoredEncoder
from ...evaluation.sentences.scores import SentenceScores, evaluate_encoder, score_values
from ...evaluation.sentences.static_embeddings import static_encoder
from ...runtime.files import file_sha256, model_files_fingerprint
from ...tokenization import load_segmenter, read_documents
from ...tokenization.documents import find_text_files
from .arguments import ContrastiveArguments
from .datasets import NamedRows, texts_of
from .models import is_encoder_folder, load_encoder, untrained_twin
from .settings import run_settings
from .stages import BASELINES, FINAL, SCORES, keep_scores, last_stage

logger = logging.getLogger(__name__)

UNTRAINED, STATIC, BM25 = "untrained", "static embeddings", "BM25"
TEXTS_AT_ONCE = 1_000


def check_against(arguments: ContrastiveArguments) -> None:
    """Refuse what the model cannot be compared with.

    Raises:
        FileNotFoundError: If a folder of `against` holds neither an encoder nor a finished stage.
    """
    for folder in arguments.against:
        if last_stage(Path(folder)) is None and not is_encoder_folder(folder):
            raise FileNotFoundError(
                f"against='{folder}' holds neither an encoder nor a finished stage; give the folder of a model, or the "
                "output_dir of another sts command"
            )


def check_kept_scores(
    against: Sequence[str], scored: Mapping[str, Sequence[ScoredPair]], retrieval: Mapping[str, RetrievalTask]
) -> None:
    """Refuse finished runs that were not scored on these sets: their scores are read, not made again.

    Args:
        against: folders of encoders, which are scored here, and of finished runs
        scored: pairs of each set
        retrieval: task of each set

    Raises:
        ValueError: For a run without any of these sets, or with other pairs in a set of the same name.
    """
    for name in against:
        stage = last_stage(Path(name))
        if stage is None:
            continue
        kept = SentenceScores.load(stage / SCORES)
        if not (kept.similarity.keys() & scored.keys() or kept.retrieval.keys() & retrieval.keys()):
            sets = ", ".join((*kept.similarity, *kept.retrieval))
            raise ValueError(
                f"against='{name}' was scored on {sets or 'nothing'}, of which nothing is scored here; give its model "
                f"({Path(name) / FINAL}), or score it on the same sets"
            )
        for shared in kept.similarity.keys() & scored.keys():
            kept.similarity[shared].refuse_other_pairs(shared, np.array([pair.score for pair in scored[shared]]))


def score_baselines(
    arguments: ContrastiveArguments,
    training: Sequence[Sequence[NamedRows]],
    scored: Mapping[str, Sequence[ScoredPair]],
    retrieval: Mapping[str, RetrievalTask],
    rows: str,
) -> list[ScoredEncoder]:
    """Score baselines and other encoders; what was scored before under the same settings is read again.

    Args:
        arguments: see `ContrastiveArguments`: `baselines`, `baseline_corpus`, `against`
        training: rows of each stage, whose texts make the static embeddings where no corpus is given
        scored: pairs of each set
        retrieval: task of each set
        rows: fingerprint of all rows, of training and evaluation

    Returns:
        The rows of the report above the model's own.
    """
    folder = Path(arguments.output_dir or "") / BASELINES
    sets = {"rows": rows, **run_settings(arguments)}
    once = partial(keep_scores, load=SentenceScores.load, overwrite=arguments.overwrite)

    def evaluate(model: SentenceTransformer) -> SentenceScores:
        return evaluate_encoder(model.eval(), scored, retrieval, arguments.bootstrap_resamples)

    found: list[ScoredEncoder] = []
    if arguments.baselines:
        twin = untrained_twin(load_encoder(arguments.model, arguments), arguments.seed)
        if twin is not None:
            scores = once(folder / "untrained.json", sets, lambda: evaluate(twin))
            found.append(ScoredEncoder(UNTRAINED, "baseline", scores))
        files = find_text_files(arguments.baseline_corpus) if arguments.baseline_corpus else []
        corpus = {"corpus": [file_sha256(file) for file in files] or [stage.data for stage in arguments.stages]}
        if arguments.baseline_corpus or training:
            scores = once(folder / "static.json", sets | corpus, lambda: evaluate(_static_encoder(arguments, training)))
            found.append(ScoredEncoder(STATIC, "baseline", scores))
        scores = once(folder / "bm25.json", sets, lambda: _score_bm25(scored, retrieval, arguments.bootstrap_resamples))
        found.append(ScoredEncoder(BM25, "baseline", scores))
    for number, name in enumerate(arguments.against):
        stage = last_stage(Path(name))
        if stage is not None:
            found.append(ScoredEncoder(f"{name}, {stage.name}", "other", SentenceScores.load(stage / SCORES)))
            continue
        record, file = {**sets, "model": model_files_fingerprint(name)}, folder / f"against-{number}.json"
        scores = once(file, record, lambda name=name: evaluate(load_encoder(name, arguments)))
        found.append(ScoredEncoder(name, "other", scores))
    return found


def score_sizes(
    folder: Path,
    arguments: ContrastiveArguments,
    scored: Mapping[str, Sequence[ScoredPair]],
    retrieval: Mapping[str, RetrievalTask],
) -> list[tuple[int, SentenceScores]]:
    """Score the model of a stage with its vectors cut to each of `matryoshka_sizes` below its own, longest first.

    Args:
        folder: folder of the stage; its scores are kept there
        arguments: see `ContrastiveArguments`
        scored: pairs of each set
        retrieval: task of each set
    """
    if not arguments.matryoshka_sizes:
        return []
    model = load_encoder(folder / "model", arguments)
    own, found = model.get_embedding_dimension(), []
    for size in sorted((one for one in set(arguments.matryoshka_sizes) if own is None or one < own), reverse=True):
        file = folder / f"scores-{size}.json"
        if not file.is_file():
            model.truncate_dim = size
            evaluate_encoder(model.eval(), scored, retrieval, arguments.bootstrap_resamples).save(file)
        found.append((size, SentenceScores.load(file)))
    return found


def _score_bm25(
    scored: Mapping[str, Sequence[ScoredPair]], retrieval: Mapping[str, RetrievalTask], resamples: int
) -> SentenceScores:
    segmenter = load_segmenter()
    similarity = {}
    for name, pairs in scored.items():
        values = bm25_similarity(pairs, segmenter)
        if values.min() == values.max():
            logger.warning("%s: BM25 finds all pairs equally similar; it is left out", name)
            continue
        similarity[name] = score_values(values, pairs, resamples)
    ranked = {name: score_retrieval(task, *search_bm25(task, segmenter)) for name, task in retrieval.items()}
    return SentenceScores(similarity, ranked)


def _static_encoder(arguments: ContrastiveArguments, training: Sequence[Sequence[NamedRows]]) -> SentenceTransformer:
    """Return static embeddings from `baseline_corpus`, or from the texts of all stages, over the model's own tokens.

    Raises:
        ValueError: If the model's tokenizer is not of the fast kind.
    """
    tokenizer = AutoTokenizer.from_pretrained(arguments.model, trust_remote_code=arguments.trust_remote_code)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ValueError(f"static embeddings need a fast tokenizer; {arguments.model} has none: set baselines: false")
    return static_encoder(tokenizer, _token_ids(arguments, training, tokenizer), seed=arguments.seed)


def _token_ids(
    arguments: ContrastiveArguments, training: Sequence[Sequence[NamedRows]], tokenizer: PreTrainedTokenizerFast
) -> Iterator[np.ndarray]:
    """Yield the ids of text after text, without special tokens."""
    if arguments.baseline_corpus:
        texts = (document.text for document in read_documents(arguments.baseline_corpus))
    else:
        named = texts_of([one for stage in training for one in stage])
        texts = (text for found in named.values() for text in found)
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    while batch := list(islice(texts, TEXTS_AT_ONCE)):
        for encoding in backend.encode_batch(batch, add_special_tokens=False):
            yield np.array(encoding.ids)
