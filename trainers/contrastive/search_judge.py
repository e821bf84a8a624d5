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
from ...evaluation.retrieval.searcher import BuiltSearcher, Searcher
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

BM25, BM25_TOKENS, LAST = "BM25", "BM25 over tokens", "last stage"
BEFORE = "before training"
ROWS = (BM25, BM25_TOKENS, LAST, BEFORE)
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
    """A row beside the stages: the searchers that it is made of, and the folder of its model if it has one."""

    parts: tuple[str, ...]
    folder: Path | None = None

    @property
    def name(self) -> str:
        """What the report calls it."""
        return " + ".join(self.parts)


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
        self._makers: dict[str, Callable[[], Searcher]] = {}
        # By searcher and set: what is measured alone and fused reads the passages once.
        self._built: dict[tuple[str, str], BuiltSearcher] = {}
        self._loaded: tuple[Path, Any] | None = None

    @classmethod
    def check(cls, arguments: RetrievalArguments) -> None:
        """Refuse what is named twice or not at all, models that are none for search, and idle options."""
        _check_names(arguments)
        _check_options(arguments)

    def texts(self) -> dict[str, list[str]]:
        """Return queries and passages by set."""
        return {name: [*task.queries, *task.passages] for name, task in self.tasks.items()}

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """Return the tasks."""
        return [self.tasks]

    def score(self, model: Any, folder: Path) -> SearchScores:
        """Return what a model finds and costs in every set; the indexes of the last stage are kept to be fused."""
        self._makers[LAST] = partial(self._searcher, model)
        scores = self._measure((LAST,))
        if not self.arguments.hybrid or folder.name != f"stage-{len(self.arguments.stages)}":
            self._forget(LAST)  # another stage needs the memory
        return scores

    def no_scores(self) -> SearchScores:
        """Return scores of no set."""
        return SearchScores({})

    def summary(self, scores: SearchScores) -> list[str]:
        """Return a line for each set."""
        return [
            f"{name}: nDCG@10 {one.measures['ndcg@10']:.4f}, {one.milliseconds_per_query:.2f} ms per query"
            for name, one in scores.results.items()
        ]

    def report(self, output: Path, training: Sequence[Sequence[NamedRows]], rows: str, data: Mapping[str, str]) -> None:
        """Measure BM25, other models, and each fused with BM25; write the report."""
        arguments, stages = self.arguments, finished_stages(output)
        settings = {"rows": rows, **run_settings(arguments)}
        rows_of: dict[int, list[SearchResult]] = {}
        models: dict[str, str] = {}
        # Rows of one model after one another, so that no two models are kept at a time.
        for part, group in _by_last_part(self._compared(output)).items():
            for number, one in group:
                if one.folder:
                    models[one.name] = model_files_fingerprint(one.folder)
                record = {**settings, "name": one.name, "model": models.get(one.name)}
                file, measure = output / BASELINES / f"search-{number}.json", partial(self._measure, one.parts)
                found = keep_scores(file, record, measure, SearchScores.load, arguments.overwrite)
                rows_of[number] = found.named(one.name)
            if group[0][1].folder:
                self._forget(part)
        results = [result for number in sorted(rows_of) for result in rows_of[number]]
        names = [BEFORE, *(f"stage {n}, {one.loss}" for n, one in enumerate(arguments.stages, start=1))]
        for name, folder in zip(names, stages, strict=True):
            results += SearchScores.load(folder / SCORES).named(name)
            models[name] = model_files_fingerprint(folder / "model")
        shown, resamples = shown_settings(arguments), arguments.bootstrap_resamples
        write_search_report(output, results, shown, resamples, data, models)

    def _compared(self, output: Path) -> list[_Compared]:
        """Return what the stages are compared with, in the order of the report; each is loaded when it is measured."""
        given = {name: _model_of(name) for name in self.arguments.against}
        lexical = BM25 if self.arguments.bm25_units == "words" else BM25_TOKENS
        self._makers |= {lexical: self._bm25, BM25: partial(Bm25Searcher, load_segmenter())}
        self._makers |= {name: partial(self._load, folder) for name, folder in given.items()}
        self._makers.setdefault(LAST, partial(self._load, output / FINAL))  # where an earlier command scored it
        found = [_Compared((name,)) for name in dict.fromkeys((BM25, lexical))]
        found += [_Compared((name,), folder) for name, folder in given.items()]
        if self.arguments.hybrid:
            for name, folder in {**given, LAST: output / FINAL}.items():
                if search_class(folder) is not CrossEncoder:  # it starts from BM25 anyway
                    found.append(_Compared((lexical, name), folder))
        return found

    def _measure(self, parts: Sequence[str]) -> SearchScores:
        """Return what a searcher, or several fused, finds and costs in every set."""
        results = {}
        for name, task in self.tasks.items():
            built = [self._searcher_of(part, name) for part in parts]
            joined = built[0]
            if len(built) > 1:
                fused = FusedSearcher([one.searcher for one in built], self.arguments.fusion)
                joined = BuiltSearcher(fused, sum(one.seconds for one in built))
            results[name] = measure_search(joined, task, task_name=name)
        return SearchScores(results)

    def _searcher_of(self, part: str, task: str) -> BuiltSearcher:
        """Return a searcher on the passages of a set, built if it is not there."""
        if (part, task) not in self._built:
            self._built[part, task] = BuiltSearcher.build(self._makers[part](), self.tasks[task].passages)
        return self._built[part, task]

    def _forget(self, part: str) -> None:
        del self._makers[part]
        for key in [key for key in self._built if key[0] == part]:
            del self._built[key]

    def _bm25(self) -> Bm25Searcher:
        """Return the BM25 that is fused with others and read by rerankers."""
        if self.arguments.bm25_units == "words":
            return Bm25Searcher(load_segmenter())
        return Bm25Searcher(TokenSegmenter(_tokenizer_of(self.arguments)))

    def _load(self, folder: Path) -> Searcher:
        """Return the search of a saved model, which is loaded once for all sets."""
        if self._loaded is None or self._loaded[0] != folder:
            self._loaded = None
            self._loaded = folder, load_search_model(folder, self.arguments.trust_remote_code)
        return self._searcher(self._loaded[1])

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


def _check_names(arguments: RetrievalArguments) -> None:
    """Refuse a command that names no set, a set or a model twice, or a model by what means something else.

    Raises:
        ValueError: For the first such name.
    """
    if not arguments.retrieval:
        raise ValueError("nothing to search in; name at least one set or file with --retrieval, such as dureader:dev")
    for names, what in ((arguments.retrieval, "a set is read"), (arguments.against, "a model is measured")):
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"'{twice[0]}' is named twice; {what} once")
    for name in arguments.against:
        if name in ROWS:
            raise ValueError(f"against='{name}' is the name of a row of the report; write ./{name}")
        if Path(name).resolve() == Path(arguments.output_dir or "").resolve():
            raise ValueError(f"against='{name}' is the output_dir, whose model this command writes; give another")


def _check_options(arguments: RetrievalArguments) -> None:
    """Refuse options that act on nothing that is measured, and a tokenizer that counts nothing.

    Raises:
        ValueError, FileNotFoundError: For the first of them, or a model of `against` that is none for search.
    """
    if not arguments.hybrid and arguments.fusion != "scores":
        raise ValueError(f"fusion={arguments.fusion} acts where models are fused with BM25; leave hybrid on")
    classes = {search_class(_model_of(folder)) for folder in arguments.against} | {CLASS_OF_KIND[arguments.kind]}
    for field in dataclasses.fields(RetrievalOptions):
        if getattr(arguments, field.name) == default_of(field):
            continue
        if field.name in ("hybrid", "fusion") and classes == {CrossEncoder}:
            raise ValueError(f"{field.name} acts for models that find by themselves, a reranker starts from BM25")
        searched = SEARCHED_WITH.get(field.name)
        if searched and searched not in classes:
            raise ValueError(
                f"{field.name} acts for a {searched.__name__}, and neither the model nor one of against is; leave "
                "it out"
            )
    if arguments.bm25_units == "tokens":
        _tokenizer_of(arguments)


def _by_last_part(compared: Sequence[_Compared]) -> dict[str, list[tuple[int, _Compared]]]:
    """Return the rows with their numbers by the last of their searchers, which is the model where there is one."""
    found: dict[str, list[tuple[int, _Compared]]] = {}
    for number, one in enumerate(compared):
        found.setdefault(one.parts[-1], []).append((number, one))
    return found


def _tokenizer_of(arguments: RetrievalArguments) -> PreTrainedTokenizerFast:
    """Return the tokenizer of the model that the stages begin with.

    Raises:
        ValueError: If it is not of the fast kind, which knows where in a text its tokens are.
    """
    found = AutoTokenizer.from_pretrained(arguments.model, trust_remote_code=arguments.trust_remote_code)
    if not isinstance(found, PreTrainedTokenizerFast):
        raise ValueError(f"bm25_units: tokens needs a fast tokenizer, and {arguments.model} has none; use words")
    return found


def _model_of(folder: str | Path) -> Path:
    """Return the folder of a model, or that of the last stage in the folder of a run."""
    path = Path(folder)
    return path / FINAL if (path / FINAL).is_dir() else path
