"""Searches of any models side by side: what each finds and costs, alone and fused with BM25, in one report.

    CHINESE_MODERNBERT_DATA=... python benchmarks/search_models.py --models FOLDER ... --output FOLDER

A model is a folder of any of sentence-transformers' four kinds. Rerankers read the first hits of BM25. What was
measured before is read again.
"""

import argparse
import os
from pathlib import Path
from typing import Any

from sentence_transformers import CrossEncoder, MultiVectorEncoder, SparseEncoder

from chinese_modernbert.evaluation.retrieval import (
    Bm25Searcher,
    DenseSearcher,
    FusedSearcher,
    LateInteractionSearcher,
    RerankingSearcher,
    Searcher,
    SearchResult,
    SparseSearcher,
    load_search_model,
    measure_search,
    read_retrieval_task,
    write_search_report,
)
from chinese_modernbert.tokenization import load_segmenter

BM25 = "BM25"


def searchers_of(folder: str, options: argparse.Namespace) -> dict[str, Searcher]:
    """Return the searches of a model by name: alone, and fused with BM25 where it does not start from it."""
    name, words = Path(folder).name, Bm25Searcher(load_segmenter())
    model: Any = load_search_model(folder)
    if isinstance(model, CrossEncoder):
        return {name: RerankingSearcher(words, model, options.depth)}
    if isinstance(model, SparseEncoder):
        own: Searcher = SparseSearcher(model, options.keep)
    elif isinstance(model, MultiVectorEncoder):
        own = LateInteractionSearcher(model, options.pool_factor)
    else:
        own = DenseSearcher(model)
    return {name: own, f"{BM25} + {name}": FusedSearcher([words, own])}


def main() -> None:
    """Measure every model on every task and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=[])
    parser.add_argument("--tasks", nargs="+", default=["dureader:dev"])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--depth", type=int, default=50, help="hits of BM25 that a reranker reads")
    parser.add_argument("--keep", type=int, help="heaviest terms of a passage of a sparse model; all by default")
    parser.add_argument("--pool_factor", type=int, default=1, help="tokens of a passage that become one vector")
    options = parser.parse_args()
    data = Path(os.environ.get("CHINESE_MODERNBERT_DATA", "")) / "sts"
    results: list[SearchResult] = []
    for name in options.tasks:
        task = read_retrieval_task(name, data)
        for folder in [None, *options.models]:
            made = {BM25: Bm25Searcher(load_segmenter())} if folder is None else searchers_of(folder, options)
            for title, searcher in made.items():
                file = options.output / "results" / f"{name} {title}.json".replace("/", "_").replace(":", "_")
                if not file.is_file():
                    measure_search(searcher, task, title, name).save(file)
                results.append(SearchResult.load(file))
    settings = {key: value for key, value in vars(options).items() if key != "output"}
    write_search_report(options.output, results, settings)


if __name__ == "__main__":
    main()
