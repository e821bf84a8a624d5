"""The judge of the command `retrieval`: search in passages by a model of any kind, what it finds and what it costs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ...evaluation.retrieval.bm25 import Bm25Searcher, TokenSegmenter
from ...evaluation.retrieval.combined import FusedSearcher, RerankingSearcher
from ...evaluation.retrieval.late_interaction import LateInteractionSearcher
from ...evaluation.retrieval.loading import load_search_model, search_class
from ...evaluation.retrieval.reading import read_retrieval_task
from ...evaluation.retrieval.report import write_search_report
from ...evaluation.retrieval.results import SearchResult, measure_search
from ...evaluation.retrieval.searcher import Searcher
from ...evaluation.retrieval.sparse import SparseSearcher
from ...evaluation.retrieval.vectors import DenseSearcher
from ...runtime.files import model_files_fingerprint, read_record, write_text_atomically
from ...runtime.options import default_of
from ...tokenization import load_segmenter
from .arguments import RetrievalArguments
from .datasets import NamedRows
from .judge import Judge
from .retrieval_options import RetrievalOptions
from .settings import run_settings, shown_settings
from .stages import BASELINES, FINAL, SCORES, finished_stages, keep_scores

BM25, BM25_TOKENS = "BM25", "BM25 over tokens"
CLASS_OF_KIND: dict[str, type[Any]] = {
    "dense": SentenceTransformer,
    "static": SentenceTransformer,
    "sparse": SparseEncoder,
    "sparse_documents": SparseEncoder,
    "late_interaction": MultiVectorEncoder,
    "reranker": CrossEncoder,
}
# Options that act where a model of a class searches.
SEARCHED_WITH: dict[str, type[Any]] = {
    "keep_tokens": SparseEncoder,
    "pool_factor": MultiVectorEncoder,
    "rerank_depth": CrossEncoder,
}


@dataclasses.dataclass(frozen=True)
class SearchScores:
    """What one model finds in every set, by the name of the set."""

    results: dict[str, SearchResult]

    def save(self, path: Path) -> None:
        """Write them as JSON."""
        found = {name: one.as_dict() for name, one in self.results.items()}
        write_text_atomically(path, json.dumps({"results": found}, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> SearchScores:
        """Read what `save` wrote."""
        found = read_record(path, {"results": {...: SearchResult.SHAPE}}, "delete it to measure again")
        return cls({name: SearchResult(**one) for name, one in found["results"].items()})

    def named(self, name: str) -> list[SearchResult]:
        """Return the results under the name that the rows of a report have."""
        return [dataclasses.replace(one, name=name) for one in self.results.values()]


@dataclasses.dataclass(frozen=True)
class _Compared:
    """A searcher beside the stages: its name, the folder of its model if it has one, and how it is made."""

    name: str
    folder: Path | None
    make: Callable[[], Searcher]


class SearchJudge(Judge):
    """Passages to search in.

    Args:
        arguments: `retrieval` names the sets

    Raises:
        ValueError, FileNotFoundError: See `read_retrieval_task`.
    """

    arguments: RetrievalArguments

    def __init__(self, arguments: RetrievalArguments) -> None:
        super().__init__(arguments)
        self.tasks = {name: read_retrieval_task(name, arguments.data) for name in arguments.retrieval}

    @classmethod
    def check(cls, arguments: RetrievalArguments) -> None:
        """Refuse a command that names no set or one twice, models that are none for search, and idle options."""
        if not arguments.retrieval:
            raise ValueError("nothing to search in; name at least one set, such as retrieval: [dureader:dev]")
        for name in arguments.retrieval:
            if arguments.retrieval.count(name) > 1:
                raise ValueError(f"'{name}' is named twice; a set is read once")
        classes = {search_class(_model_of(folder)) for folder in arguments.against} | {CLASS_OF_KIND[arguments.kind]}
        for field in dataclasses.fields(RetrievalOptions):
            searched = SEARCHED_WITH.get(field.name)
            if searched and searched not in classes and getattr(arguments, field.name) != default_of(field):
                raise ValueError(
                    f"{field.name} acts for a {searched.__name__}, and neither the model nor one of against is; leave "
                    "it out"
                )

    def texts(self) -> dict[str, list[str]]:
        """Return queries and passages by set."""
        return {name: [*task.queries, *task.passages] for name, task in self.tasks.items()}

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """Return the tasks."""
        return [self.tasks]

    def score(self, model: Any) -> SearchScores:
        """Return what a model finds and costs in every set."""
        return self._measure(lambda: self._searcher(model))

    def summary(self, scores: SearchScores) -> list[str]:
        """Return a line for each set."""
        return [
            f"{name}: nDCG@10 {one.measures['ndcg@10']:.4f}, {one.milliseconds_per_query:.2f} ms per query"
            for name, one in scores.results.items()
        ]

    def report(self, output: Path, training: Sequence[Sequence[NamedRows]], rows: str, data: Mapping[str, str]) -> None:
        """Measure BM25, other models, and each fused with BM25; write the report."""
        arguments = self.arguments
        settings = {"rows": rows, **run_settings(arguments)}
        found: list[SearchResult] = []
        for number, one in enumerate(self._compared(output)):
            record = {**settings, "name": one.name, "model": one.folder and model_files_fingerprint(one.folder)}
            file = output / BASELINES / f"search-{number}.json"
            measure = partial(self._measure, one.make)
            found += keep_scores(file, record, measure, SearchScores.load, arguments.overwrite).named(one.name)
        names = ["before training", *(f"stage {n}, {one.loss}" for n, one in enumerate(arguments.stages, start=1))]
        for name, folder in zip(names, finished_stages(output), strict=True):
            found += SearchScores.load(folder / SCORES).named(name)
        write_search_report(output, found, shown_settings(arguments), arguments.bootstrap_resamples, data)

    def _compared(self, output: Path) -> list[_Compared]:
        """Return what the stages are compared with; each is loaded when it is measured."""
        given = {name: _model_of(name) for name in self.arguments.against}
        lexical = BM25 if self.arguments.bm25_units == "words" else BM25_TOKENS
        found = [_Compared(BM25, None, partial(Bm25Searcher, load_segmenter()))]
        if lexical != BM25:
            found.append(_Compared(lexical, None, self._bm25))
        found += [_Compared(name, folder, partial(self._load, folder)) for name, folder in given.items()]
        if self.arguments.hybrid:
            for name, folder in {**given, "last stage": output / FINAL}.items():
                if search_class(folder) is not CrossEncoder:  # it starts from BM25 anyway
                    found.append(_Compared(f"{lexical} + {name}", folder, partial(self._fused, folder)))
        return found

    def _measure(self, make: Callable[[], Searcher]) -> SearchScores:
        return SearchScores({name: measure_search(make(), task, task_name=name) for name, task in self.tasks.items()})

    def _bm25(self) -> Bm25Searcher:
        """Return the BM25 that is fused with others and read by rerankers."""
        if self.arguments.bm25_units == "words":
            return Bm25Searcher(load_segmenter())
        return Bm25Searcher(TokenSegmenter(_tokenizer_of(self.arguments)))

    def _fused(self, folder: str | Path) -> Searcher:
        return FusedSearcher([self._bm25(), self._load(folder)])

    def _load(self, folder: str | Path) -> Searcher:
        return self._searcher(load_search_model(folder, self.arguments.trust_remote_code))

    def _searcher(self, model: Any) -> Searcher:
        """Return the search that a model of any kind serves."""
        if isinstance(model, CrossEncoder):
            return RerankingSearcher(self._bm25(), model, self.arguments.rerank_depth)
        if isinstance(model, SparseEncoder):
            return SparseSearcher(model, self.arguments.keep_tokens)
        if isinstance(model, MultiVectorEncoder):
            return LateInteractionSearcher(model, self.arguments.pool_factor)
        assert isinstance(model, SentenceTransformer)
        return DenseSearcher(model)


def _tokenizer_of(arguments: RetrievalArguments) -> PreTrainedTokenizerFast:
    """Return the tokenizer of the model that the stages begin with.

    Raises:
        ValueError: If it is not of the fast kind, which knows where in a text its tokens are.
    """
    found = AutoTokenizer.from_pretrained(arguments.model, trust_remote_code=arguments.trust_remote_code)
    if not isinstance(found, PreTrainedTokenizerFast):
        raise ValueError(f"bm25_units: tokens needs a fast tokenizer, and {arguments.model} has none; use words")
    found.backend_tokenizer.no_truncation()
    return found


def _model_of(folder: str | Path) -> Path:
    """Return the folder of a model, or that of the last stage in the folder of a run."""
    path = Path(folder)
    return path / FINAL if (path / FINAL).is_dir() else path
