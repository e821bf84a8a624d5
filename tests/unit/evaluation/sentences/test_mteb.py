"""mteb on invented data gives the scores that this package computes itself."""

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

from chinese_modernbert.evaluation.retrieval.tasks import RetrievalTask
from chinese_modernbert.evaluation.sentences.files import ScoredPair
from chinese_modernbert.evaluation.sentences.mteb import named_tasks, run_mteb
from chinese_modernbert.evaluation.sentences.scores import evaluate_encoder
from reference.tiny_bert import CHARACTERS, write_tiny_bert

mteb = pytest.importorskip("mteb", reason="mteb is not installed")
BENCHMARK = "MTEB(cmn, v1)"


def test_tasks_get_the_scores_of_this_package(tmp_path_factory: pytest.TempPathFactory) -> None:
    from reference.local_mteb_tasks import retrieval_task, similarity_task

    module = Transformer(str(write_tiny_bert(tmp_path_factory.mktemp("bert"))))
    model = SentenceTransformer(modules=[module, Pooling(32, "mean")], device="cpu")
    drawn = np.random.default_rng(0)
    texts = ["".join(drawn.choice(list(CHARACTERS), 8)) for _ in range(60)]
    pairs = [ScoredPair(a, b, n % 5 / 4) for n, (a, b) in enumerate(zip(texts[:30], texts[30:], strict=True))]
    task = RetrievalTask(tuple(t[:5] for t in texts[:10]), tuple(texts), tuple(frozenset({n}) for n in range(10)))
    found = run_mteb(model, [similarity_task("OurPairs", pairs), retrieval_task("OurSearch", task)])
    own = evaluate_encoder(model, {"pairs": pairs}, {"search": task}, resamples=2)
    assert found["OurPairs"] == pytest.approx(own.similarity["pairs"].scores["spearman"].value, abs=1e-4)
    assert found["OurSearch"] == pytest.approx(own.retrieval["search"]["ndcg@10"], abs=1e-4)


def test_tasks_are_found_by_name_and_a_benchmark_stands_for_its_tasks() -> None:
    names = [task.metadata.name for task in named_tasks(["LCQMC", BENCHMARK])]
    assert names[0] == "LCQMC"
    assert len(names) == len(set(names)) == len(mteb.get_benchmark(BENCHMARK).tasks)
    with pytest.raises(ValueError, match="no task or benchmark 'LCQMCC'"):
        named_tasks(["LCQMCC"])
