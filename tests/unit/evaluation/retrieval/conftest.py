"""A small task, and a tiny random model of each of sentence-transformers' kinds around one checkpoint of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling

from chinese_modernbert.evaluation.retrieval.reranker import Reranker
from chinese_modernbert.evaluation.retrieval.tasks import RetrievalTask
from reference.tiny_checkpoint import CHARACTERS, write_tiny_checkpoint


class Characters:
    """Every character is a word."""

    def cut(self, text: str) -> list[str]:
        return list(text)


@pytest.fixture
def characters() -> Characters:
    return Characters()


@pytest.fixture(scope="session")
def task() -> RetrievalTask:
    """Twelve queries, each a piece of one to three of fifty passages of different length."""
    drawn = np.random.default_rng(0)
    passages = ["".join(drawn.choice(list(CHARACTERS), drawn.integers(8, 40))) for _ in range(50)]
    relevant = [frozenset(drawn.choice(50, drawn.integers(1, 4), replace=False).tolist()) for _ in range(12)]
    queries = ["".join(passages[number][2:6] for number in sorted(found)) for found in relevant]
    return RetrievalTask(tuple(queries), tuple(passages), tuple(relevant))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint") / "model")


@pytest.fixture(scope="session")
def dense(checkpoint: Path) -> SentenceTransformer:
    module = Transformer(str(checkpoint))
    return SentenceTransformer(modules=[module, Pooling(32, "mean"), Normalize()], device="cpu").eval()


@pytest.fixture(scope="session")
def sparse(checkpoint: Path) -> SparseEncoder:
    module = Transformer(str(checkpoint), transformer_task="fill-mask")
    return SparseEncoder(modules=[module, SpladePooling("max")], device="cpu").eval()


@pytest.fixture(scope="session")
def sparse_documents(checkpoint: Path) -> SparseEncoder:
    """A sparse encoder whose queries are read by a table of weights."""
    module = Transformer(str(checkpoint), transformer_task="fill-mask")
    torch.manual_seed(0)
    tokenizer: Any = module.tokenizer
    table = SparseStaticEmbedding(tokenizer, weight=torch.rand(len(tokenizer)))
    router: Any = Router.for_query_document([table], [module, SpladePooling("max")])
    return SparseEncoder(modules=[router], device="cpu").eval()


@pytest.fixture(scope="session")
def late_interaction(checkpoint: Path) -> MultiVectorEncoder:
    torch.manual_seed(0)
    return MultiVectorEncoder(str(checkpoint), device="cpu").eval()


@pytest.fixture(scope="session")
def reranker(checkpoint: Path) -> CrossEncoder:
    torch.manual_seed(0)
    return Reranker(str(checkpoint), num_labels=1, device="cpu").eval()
