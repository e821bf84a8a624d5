"""The report holds what the scores hold, compares on equal pairs alone, and leaves nothing half written."""

import json
from pathlib import Path

import numpy as np
import pytest

from chinese_modernbert.evaluation.sentences.files import ScoredPair
from chinese_modernbert.evaluation.sentences.report import ScoredEncoder, write_sentence_report
from chinese_modernbert.evaluation.sentences.scores import SentenceScores, evaluate_similarity
from chinese_modernbert.evaluation.sentences.similarity import compare_similarity
from chinese_modernbert.runtime.environment import describe_environment

PAIRS = [ScoredPair(f"甲{n}", f"乙{n}", float(n % 2)) for n in range(40)]


def scores(noise: float, ndcg: float = 0.5, pairs: list[ScoredPair] = PAIRS) -> SentenceScores:
    """Scores of vectors that agree with the gold up to noise."""
    random = np.random.default_rng(0)
    gold = {pair.second: pair.score for pair in pairs}
    base = {text: random.normal(size=16) for pair in pairs for text in (pair.first,)}

    def encode(texts: list[str]) -> np.ndarray:
        rows = [base[text] if text in base else gold[text] * base[f"甲{text[1:]}"] for text in texts]
        return np.array(rows) + noise * random.normal(size=(len(texts), 16))

    figures = {"ndcg@10": ndcg, "mrr@10": 0.25, "recall@1": 0.125, "recall@10": 1.0, "recall@100": 1.0}
    kept = {"ndcg@10 int8": 0.9 * ndcg, "ndcg@10 binary": 0.8 * ndcg, "ndcg@10 binary rescored": 0.85 * ndcg}
    return SentenceScores({"pairs:test": evaluate_similarity(encode, pairs, 50)}, {"find:dev": {**figures, **kept}})


def test_a_report_has_a_row_for_each_encoder_and_the_gain_of_the_last(tmp_path: Path) -> None:
    before, after = scores(3.0), scores(0.3)
    lexical = SentenceScores({}, {"find:dev": {**dict.fromkeys(("ndcg@10", "mrr@10"), 0.75), **RECALLS}})
    encoders = [
        ScoredEncoder("BM25", "baseline", lexical),
        ScoredEncoder("before", "stage", before),
        ScoredEncoder("after", "stage", after),
    ]
    report = write_sentence_report(tmp_path, encoders, {"model": "mine", "seed": 7}, resamples=50).read_text("utf-8")
    pairs = after.similarity["pairs:test"]
    gain = compare_similarity(pairs.gold, pairs.cosines, before.similarity["pairs:test"].cosines, 50)
    assert f"{gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})" in report
    for one in (before, after):
        for measure in ("pearson", "spearman", "auc"):
            assert str(one.similarity["pairs:test"].scores[measure]) in report
    assert "| BM25 | 0.7500 | 0.7500 | 0.1000 | 0.2000 | 0.3000 |  |  |  |" in report
    assert "| after | 0.5000 | 0.2500 | 0.1250 | 1.0000 | 1.0000 | 90.0% | 80.0% | 85.0% |" in report
    assert f"no score without ties passes Spearman {pairs.ceiling:.4f}" in report
    assert "- seed: 7" in report and f"- torch: {describe_environment()['torch']}" in report
    assert {file.name for file in tmp_path.iterdir()} == {"report.md", "report.json", "similarity.png", "spectrum.png"}
    content = json.loads((tmp_path / "report.json").read_text("utf-8"))
    row = content["encoders"][1]["similarity"]["pairs:test"]
    assert row["spearman_of_the_last_minus_this"]["value"] == pytest.approx(gain.value) and "cosines" not in row


RECALLS = {"recall@1": 0.1, "recall@10": 0.2, "recall@100": 0.3}


def test_saved_scores_are_read_as_they_were(tmp_path: Path) -> None:
    one = scores(1.0)
    one.save(tmp_path / "scores.json")
    again = SentenceScores.load(tmp_path / "scores.json")
    assert again.as_dict() == one.as_dict()
    space = again.similarity["pairs:test"].space
    assert space is not None and space.first_component == space.spectrum[0] and sum(space.spectrum) == pytest.approx(1)


def test_encoders_that_were_scored_on_other_pairs_are_refused(tmp_path: Path) -> None:
    others = [ScoredPair(pair.first, pair.second, 1 - pair.score) for pair in PAIRS]
    encoders = [ScoredEncoder("a", "other", scores(1.0, pairs=others)), ScoredEncoder("b", "stage", scores(1.0))]
    with pytest.raises(ValueError, match="pairs:test: the two encoders were scored on other pairs"):
        write_sentence_report(tmp_path, encoders, {"model": "mine"}, resamples=5)
    assert not list(tmp_path.iterdir())


def test_a_report_of_retrieval_alone_has_no_picture(tmp_path: Path) -> None:
    alone = SentenceScores({}, scores(1.0).retrieval)
    write_sentence_report(tmp_path, [ScoredEncoder("a", "stage", alone)], {"model": "mine"}, resamples=5)
    assert {file.name for file in tmp_path.iterdir()} == {"report.md", "report.json"}


def test_the_environment_names_versions_commit_and_machine() -> None:
    found = describe_environment("numpy")
    assert found["numpy"] == np.__version__
    assert all(found[name] for name in ("commit", "processor", "cores", "threads", "accelerator", "python"))
