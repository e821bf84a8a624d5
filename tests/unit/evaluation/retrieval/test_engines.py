"""An index that was written for an engine gives the hits that the searcher gives."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array, save_npz
from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.search_engines import semantic_search_qdrant, semantic_search_seismic

from chinese_modernbert.evaluation.retrieval import engines
from chinese_modernbert.evaluation.retrieval.engines import export_index
from chinese_modernbert.evaluation.retrieval.expansion import tokenizers_of
from chinese_modernbert.evaluation.retrieval.searcher import NOT_FOUND
from chinese_modernbert.evaluation.retrieval.sparse import SparseSearcher
from chinese_modernbert.evaluation.retrieval.tasks import RetrievalTask


@pytest.fixture
def searcher(sparse_documents: SparseEncoder, task: RetrievalTask) -> SparseSearcher:
    found = SparseSearcher(sparse_documents, keep=120)
    found.build(task.passages)
    return found


def test_scipys_file_is_read_again(searcher: SparseSearcher, task: RetrievalTask, tmp_path: Path) -> None:
    size = export_index(searcher, tmp_path / "index.npz")
    assert size == (tmp_path / "index.npz").stat().st_size
    searcher.model.save(str(tmp_path / "model"))
    other = SparseSearcher(SparseEncoder(str(tmp_path / "model"), device="cpu"))
    other.read_index(tmp_path / "index.npz")
    for own, theirs in zip(searcher.search(task.queries), other.search(task.queries), strict=True):
        assert np.array_equal(own, theirs)


@pytest.mark.parametrize("change", ["weights", "prompt", "length"])
def test_an_index_of_another_model_is_refused(
    searcher: SparseSearcher, change: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_index(searcher, tmp_path / "index.npz")
    model = copy.deepcopy(searcher.model)
    if change == "weights":
        with torch.no_grad():
            next(model.parameters()).view(-1)[0] += 1e-3
    elif change == "prompt":
        model.prompts = {"document": "文："}
    else:
        tokenizers_of(model)[0].model_max_length -= 1
    with pytest.raises(ValueError, match=r"index.npz was written by the model \w+, and this one is \w+; build it anew"):
        SparseSearcher(model).read_index(tmp_path / "index.npz")


def test_an_index_that_does_not_name_its_model_is_read_with_a_word(
    searcher: SparseSearcher, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_npz(tmp_path / "index.npz", searcher.index)
    SparseSearcher(searcher.model).read_index(tmp_path / "index.npz")
    assert "does not say which model wrote it" in caplog.text


def test_an_index_that_is_cut_off_leaves_nothing(
    searcher: SparseSearcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(file: Path, index: Any) -> None:
        Path(file).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(engines, "save_npz", cut_off)
    with pytest.raises(OSError, match="no space left"):
        export_index(searcher, tmp_path / "index.npz")
    assert list(tmp_path.iterdir()) == []


def test_qdrant_finds_what_the_searcher_finds(searcher: SparseSearcher, task: RetrievalTask, tmp_path: Path) -> None:
    qdrant = pytest.importorskip("qdrant_client", reason="qdrant-client is not installed")
    assert export_index(searcher, tmp_path / "index", "qdrant") > searcher.index.data.nbytes
    queries = searcher.model.encode_query(list(task.queries))
    client = qdrant.QdrantClient(path=str(tmp_path / "index"))
    found = semantic_search_qdrant(queries, corpus_index=(client, "passages"), top_k=5)[0]
    client.close()
    _, scores = searcher.search(task.queries, depth=5)
    for hits, values in zip(found, scores, strict=True):
        shared = values[values != NOT_FOUND]  # an engine lists no passage without a term of the query
        assert [hit["score"] for hit in hits] == pytest.approx(shared.tolist(), abs=1e-4)
    assert (scores != NOT_FOUND).any()


def test_seismic_scores_what_it_finds_as_the_searcher_does(
    searcher: SparseSearcher, task: RetrievalTask, tmp_path: Path
) -> None:
    seismic = pytest.importorskip("seismic", reason="pyseismic-lsr is not installed")
    file = tmp_path / "index.index.seismic"
    assert export_index(searcher, file, "seismic") == file.stat().st_size
    queries: Any = searcher.model.decode(searcher.model.encode_query(list(task.queries)))
    index = seismic.SeismicIndex.load(str(file))
    found = semantic_search_seismic(queries, corpus_index=index, top_k=5, search_kwargs={"query_cut": 100})[0]
    numbers, scores = searcher.search(task.queries, depth=50)
    listed = 0
    for hits, row, values in zip(found, numbers, scores, strict=True):
        own = dict(zip(row.tolist(), values.tolist(), strict=True))
        listed += len(hits)
        for hit in hits:  # the search is approximate, the scores are not, but for weights of 16 bits
            assert hit["score"] == pytest.approx(own[hit["corpus_id"]], rel=1e-2)
    assert listed >= 12


def test_what_cannot_be_written_is_refused(
    searcher: SparseSearcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="engine='lucene' is not known; choose one of scipy, seismic, qdrant"):
        export_index(searcher, tmp_path / "index", "lucene")
    with pytest.raises(ValueError, match=r"let it end in \.npz"):
        export_index(searcher, tmp_path / "index")
    with pytest.raises(FileExistsError, match="is there; remove it"):
        export_index(searcher, tmp_path, "qdrant")
    save_npz(tmp_path / "other.npz", csr_array((3, 50), dtype=np.float32))
    with pytest.raises(ValueError, match="other.npz has weights of 3 terms, the model of 384"):
        SparseSearcher(searcher.model).read_index(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("no index", encoding="utf-8")
    np.savez(tmp_path / "arrays.npz", data=np.zeros(3))
    for name in ("text", "arrays"):
        with pytest.raises(ValueError, match=f"{name}.npz holds no index that export_index wrote for scipy"):
            SparseSearcher(searcher.model).read_index(tmp_path / f"{name}.npz")
    for package, engine, name in (("seismic", "seismic", "a.index.seismic"), ("qdrant_client", "qdrant", "a")):
        monkeypatch.setitem(__import__("sys").modules, package, None)
        with pytest.raises(ImportError, match="is missing for this engine: pip install"):
            export_index(searcher, tmp_path / name, engine)
