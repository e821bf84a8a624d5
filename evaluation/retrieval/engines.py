"""The index of a sparse model for engines that are kept by others: SciPy's file, Seismic, and Qdrant's local mode.

The library's `semantic_search_seismic` and `semantic_search_qdrant` search what is written here:

    semantic_search_seismic(model.decode(queries), corpus_index=SeismicIndex.load("FILE.index.seismic"), top_k=10)
    semantic_search_qdrant(queries, corpus_index=(QdrantClient(path="FOLDER"), "passages"), top_k=10)
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array, save_npz

from ...runtime.files import make_as_readable_as_others, make_folder
from ...runtime.lazy import optional_import
from .loading import model_digest
from .sparse import MODEL_NAME, SparseSearcher

SEISMIC_SUFFIX = ".index.seismic"
COLLECTION, VECTORS = "passages", "text"
"""Names of Qdrant's collection and of its vectors; the library's search asks for the second."""


def export_index(searcher: SparseSearcher, path: str | Path, engine: str = "scipy") -> int:
    """Write the index of a searcher that was built, for an engine.

    Args:
        searcher: the searcher
        path: what is written, under its name once it is whole: for `scipy` a file `.npz` (the weights float32
            `[V, P]` and what names the model, read by `SparseSearcher.read_index`), for `seismic` a file
            `.index.seismic` (approximate search, the terms under the names of their tokens), for `qdrant` a folder
        engine: `scipy`, `seismic` or `qdrant`

    Returns:
        The bytes that were written.

    Raises:
        FileExistsError: If there is something at the path.
        ImportError: If the engine is not installed.
        ValueError: For another engine, a path that does not end as its files do, or an index without any weight.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine='{engine}' is not known; choose one of {', '.join(ENGINES)}")
    suffix, write = ENGINES[engine]
    target = Path(path)
    if not target.name.endswith(suffix):
        raise ValueError(f"{target} is no name for an index of {engine}; let it end in {suffix}")
    if target.exists():
        raise FileExistsError(f"{target} is there; remove it or give another path")
    if not searcher.index.nnz:
        raise ValueError("no passage has a weight; the model gives nothing to search by")
    make_folder(target.parent)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
        partial = Path(folder) / target.name
        write(searcher, partial)
        make_as_readable_as_others(partial)
        partial.rename(target)
    return sum(file.stat().st_size for file in (target, *target.rglob("*")) if file.is_file())


def _write_scipy(searcher: SparseSearcher, path: Path) -> None:
    save_npz(path, searcher.index)
    name = io.BytesIO()
    np.save(name, np.array(model_digest(searcher.model)))
    with zipfile.ZipFile(path, "a") as archive:  # beside SciPy's own arrays, which are read without it
        archive.writestr(f"{MODEL_NAME}.npy", name.getvalue())


def _write_seismic(searcher: SparseSearcher, path: Path) -> None:
    with optional_import("this engine"):
        from seismic import SeismicDataset, SeismicIndex, get_seismic_string  # pyright: ignore[reportMissingImports]
    tokenizer: Any = searcher.model.tokenizer
    kind, dataset = get_seismic_string(), SeismicDataset()
    for number, (terms, weights) in enumerate(_passages(searcher)):
        names = np.array(tokenizer.convert_ids_to_tokens(terms.tolist()), dtype=kind)
        dataset.add_document(str(number), names, weights)
    SeismicIndex.build_from_dataset(dataset).save(str(path).removesuffix(SEISMIC_SUFFIX))


def _write_qdrant(searcher: SparseSearcher, path: Path) -> None:
    with optional_import("this engine"):
        from qdrant_client import QdrantClient, models  # pyright: ignore[reportMissingImports]
    client = QdrantClient(path=str(path))
    client.create_collection(
        COLLECTION, vectors_config={}, sparse_vectors_config={VECTORS: models.SparseVectorParams()}
    )
    passages = _passages(searcher)
    vectors = (
        {VECTORS: models.SparseVector(indices=terms.tolist(), values=weights.tolist())} for terms, weights in passages
    )
    client.upload_collection(COLLECTION, vectors=vectors, ids=range(len(passages)))
    client.close()


ENGINES: dict[str, tuple[str, Callable[[SparseSearcher, Path], None]]] = {
    "scipy": (".npz", _write_scipy),
    "seismic": (SEISMIC_SUFFIX, _write_seismic),
    "qdrant": ("", _write_qdrant),
}


def _passages(searcher: SparseSearcher) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return terms int32 and weights float32 of each passage."""
    rows: csr_array = searcher.index.T.tocsr()
    bounds = zip(rows.indptr[:-1], rows.indptr[1:], strict=True)
    return [(rows.indices[start:end], rows.data[start:end]) for start, end in bounds]
