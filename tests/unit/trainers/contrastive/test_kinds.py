"""The kinds of models: what each is made of, that it trains, and that sentence-transformers alone loads it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer

from chinese_modernbert.evaluation.sentences.files import ReadRows, ScoredPair, Triplet
from chinese_modernbert.modeling import ChineseModernBertForSequenceClassification
from chinese_modernbert.trainers.contrastive.datasets import NamedRows, stage_datasets
from chinese_modernbert.trainers.contrastive.kinds import kind_named
from chinese_modernbert.trainers.contrastive.kinds.late_interaction import punctuation_tokens
from chinese_modernbert.trainers.contrastive.options import ContrastiveStage
from reference.tiny_kinds import load_tiny, save_tiny, tiny_arguments

TEXTS = ["北京是中国的首都", "今天天气很好，我们去公园散步。", "他喜欢读书写字", "会议在上海举行"]
PAIRS = Dataset.from_dict({"query": TEXTS, "passage": TEXTS[::-1], "label": [1.0, 0.0, 0.0, 1.0]})
TRIPLETS = Dataset.from_dict({"anchor": TEXTS, "positive": TEXTS[1:] + TEXTS[:1], "negative_1": TEXTS[2:] + TEXTS[:2]})
SCORED = TRIPLETS.add_column("scores", [[1.0, 0.0]] * 4)  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("reranker", PAIRS),
        ("reranker", TRIPLETS),
        ("reranker", SCORED),
        ("late_interaction", TRIPLETS),
        ("late_interaction", SCORED),
        ("sparse", SCORED),
        ("static", TRIPLETS),
        ("static", SCORED),
    ],
)
def test_every_loss_of_a_kind_changes_its_weights(kind: str, rows: Dataset, checkpoint: Path, tmp_path: Path) -> None:
    model = load_tiny(kind, checkpoint, query_prompt="问：")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    changes = {"output_dir": str(tmp_path), "query_prompt": "问：", "max_steps": 2, "learning_rate": 1e-2}
    arguments = tiny_arguments(kind, checkpoint, **changes)
    arguments.prompts = {"anchor": "问：", "positive": ""}
    kind_named(kind).trainer(model, arguments, {"x": rows}).train()
    assert any(not torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("kind", ["reranker", "late_interaction"])
def test_columns_that_no_loss_of_a_kind_reads_are_refused(kind: str, checkpoint: Path, tmp_path: Path) -> None:
    arguments = tiny_arguments(kind, checkpoint, output_dir=str(tmp_path))
    rows = Dataset.from_dict({"sentence1": TEXTS, "sentence2": TEXTS, "score": [1.0] * 4})
    with pytest.raises(ValueError, match="columns sentence1, sentence2, score are n"):
        kind_named(kind).trainer(load_tiny(kind, checkpoint), arguments, {"x": rows})


def test_a_saved_reranker_gives_the_library_the_same_scores(checkpoint: Path, tmp_path: Path) -> None:
    model = load_tiny("reranker", checkpoint, query_prompt="问：")
    assert isinstance(model[0].model, ChineseModernBertForSequenceClassification) and model.num_labels == 1
    pairs = list(zip(TEXTS, TEXTS[::-1], strict=True))
    folder = save_tiny("reranker", checkpoint, tmp_path / "saved", query_prompt="问：")
    saved = CrossEncoder(str(folder))
    assert saved.predict(pairs) == pytest.approx(model.predict(pairs), abs=1e-6)
    assert saved.predict(pairs) == pytest.approx(
        saved.predict([(f"问：{a}", b) for a, b in pairs], prompt=""), abs=1e-6
    )


def test_a_long_pair_keeps_its_query_and_the_start_of_the_passage(checkpoint: Path) -> None:
    model = load_tiny("reranker", checkpoint)
    model.max_seq_length = 24
    ids = model.preprocess([(TEXTS[0], TEXTS[1] * 9)])["input_ids"][0]
    kept = model.tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "")
    assert len(ids) == 24 and kept.startswith(TEXTS[0] + TEXTS[1][:5])
    whole = model.tokenizer(TEXTS[0], TEXTS[1] * 9)["input_ids"]
    assert ids[:-1].tolist() == whole[:23]


def test_a_reranker_that_would_lose_the_start_of_passages_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    folder = save_tiny("dense", checkpoint, tmp_path / "dense")
    tokenizer = load_tiny("dense", folder).tokenizer
    tokenizer.truncation_side = "left"
    tokenizer.save_pretrained(folder)
    with pytest.raises(ValueError, match="cuts the start of long passages"):
        load_tiny("reranker", folder)


def labelled(rows: ReadRows, **options: Any) -> dict[tuple[str, str], float]:
    stage = ContrastiveStage(["x"], loss="binary_cross_entropy", **options)

    def mined(triplets: Any) -> list[Triplet]:
        return [Triplet(one.anchor, one.positive, ("挖", *one.negatives)) for one in triplets]

    (found,) = stage_datasets([NamedRows("x", rows)], stage, 0, mined).values()
    assert found.column_names == ["query", "passage", "label"]
    return {(row["query"], row["passage"]): row["label"] for row in found}


def test_pairs_of_a_reranker_are_positives_negatives_and_scores() -> None:
    triplets = [Triplet("甲", "乙", ("丙", "丁")), Triplet("甲", "丙")]
    assert labelled(ReadRows([], triplets), hard_negatives=2) == {("甲", "乙"): 1, ("甲", "丙"): 1, ("甲", "丁"): 0}
    assert labelled(ReadRows([], triplets), mined_negatives=1)[("甲", "挖")] == 0
    pairs = [ScoredPair("甲", "乙", 0.5), ScoredPair("甲", "丙", 1.0)]
    assert labelled(ReadRows(pairs, triplets), hard_negatives=2) == {
        ("甲", "乙"): 0.5,
        ("甲", "丙"): 1,
        ("甲", "丁"): 0,
    }
    with pytest.raises(ValueError, match="x has no negatives, so all pairs would fit"):
        labelled(ReadRows([], triplets[1:]))


def test_late_interaction_adds_the_best_match_of_every_token(checkpoint: Path, tmp_path: Path) -> None:
    folder = save_tiny("late_interaction", checkpoint, tmp_path / "saved", token_size=8)
    model: Any = MultiVectorEncoder(str(folder))
    queries, passages = model.encode_query(TEXTS[:2]), model.encode_document(TEXTS)
    assert all(one.shape[1] == 8 for one in [*queries, *passages])
    assert all(torch.linalg.vector_norm(one, dim=1).allclose(torch.ones(len(one)), atol=1e-5) for one in passages)
    expected = [[float((query @ passage.T).max(dim=1).values.sum()) for passage in passages] for query in queries]
    assert model.similarity(queries, passages).numpy() == pytest.approx(np.asarray(expected), abs=1e-4)
    ids = model.tokenizer(TEXTS[1])["input_ids"]
    assert punctuation_tokens(model.tokenizer) and len(passages[1]) == len(ids) - 1  # the full stop is one token
    assert len(model.encode_query(TEXTS[1])) == len(ids)


def test_an_encoder_of_another_kind_begins_a_model(checkpoint: Path, tmp_path: Path) -> None:
    dense = save_tiny("dense", checkpoint, tmp_path / "dense")
    for kind in ("reranker", "late_interaction"):
        model = load_tiny(kind, dense)
        inner: Any = model[0].model
        ours = SentenceTransformer(str(dense))[0].model  # pyright: ignore[reportAttributeAccessIssue]
        weights = (inner.model if kind == "reranker" else inner).state_dict()
        assert all(torch.equal(value, weights[name]) for name, value in ours.state_dict().items())


def test_a_table_is_kept_and_an_encoder_is_distilled(checkpoint: Path, tmp_path: Path) -> None:
    folder = save_tiny("static", checkpoint, tmp_path / "saved", static_size=8)
    first, again = SentenceTransformer(str(folder)), load_tiny("static", folder)
    assert again.encode(TEXTS) == pytest.approx(first.encode(TEXTS), abs=1e-6) and first.encode("甲").shape == (8,)


def test_a_table_reads_texts_whole_and_has_the_prompts_of_its_encoder(checkpoint: Path, tmp_path: Path) -> None:
    folder = save_tiny("static", checkpoint, tmp_path / "saved", static_size=8, query_prompt="问：")
    model = SentenceTransformer(str(folder))
    longest = json.loads((checkpoint / "config.json").read_text("utf-8"))["max_position_embeddings"]
    ids = model[0].tokenizer.encode("北京" * longest + "天气", add_special_tokens=False).ids  # pyright: ignore
    table = model[0].embedding.weight.detach().numpy()  # pyright: ignore[reportAttributeAccessIssue]
    assert len(ids) > longest
    assert model.encode("北京" * longest + "天气") == pytest.approx(table[ids].mean(axis=0), abs=1e-6)
    assert model.encode_query("北京") == pytest.approx(model.encode("问：北京"), abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("dense", {"pooling": "cls"}, "pooling=cls says how a model is made, .* is one already, with pooling=mean"),
        ("dense", {"normalize": True}, "normalize=True says .*, with normalize=False"),
        ("static", {"static_size": 4}, "static_size=4 says .*, with static_size=8"),
        ("late_interaction", {"token_size": 8}, "token_size=8 says .*, with token_size=64"),
        ("sparse", {"expansion": False}, "expansion=False says .*, with expansion=True"),
    ],
)
def test_an_option_that_a_kept_model_contradicts_is_refused(
    kind: str, changes: dict[str, Any], message: str, checkpoint: Path, tmp_path: Path
) -> None:
    folder = save_tiny(kind, checkpoint, tmp_path / "saved", **({"static_size": 8} if kind == "static" else {}))
    with pytest.raises(ValueError, match=message):
        load_tiny(kind, folder, **changes)
    made = save_tiny(kind, checkpoint, tmp_path / "made", **changes)
    load_tiny(kind, made, **changes)  # what the options made agrees with them


def test_a_search_model_of_any_kind_begins_a_dense_encoder_with_the_pooling_that_is_asked_for(
    checkpoint: Path, tmp_path: Path
) -> None:
    expected = load_tiny("dense", checkpoint, pooling="cls").encode(TEXTS)
    row = json.dumps({"anchor": TEXTS[0], "positive": TEXTS[1]}, ensure_ascii=False)
    (tmp_path / "rows.jsonl").write_text(row + "\n", encoding="utf-8")
    counted = {"stages": [{"data": [str(tmp_path / "rows.jsonl")]}]}
    for kind, changes in (("late_interaction", {}), ("sparse_documents", counted)):
        folder = save_tiny(kind, checkpoint, tmp_path / kind, **changes)
        assert load_tiny("dense", folder, pooling="cls").encode(TEXTS) == pytest.approx(expected, abs=1e-5)
    routed = tmp_path / "sparse_documents"
    assert isinstance(load_tiny("reranker", routed), CrossEncoder)
    with pytest.raises(ValueError, match="weighs queries by a table; train it with kind: sparse_documents"):
        load_tiny("sparse", routed)
    with pytest.raises(ValueError, match="holds no encoder; give the checkpoint or release that it was made of"):
        load_tiny("reranker", save_tiny("static", checkpoint, tmp_path / "table"))


@pytest.mark.parametrize(
    ("kind", "loss"),
    [("late_interaction", "cosent"), ("reranker", "cosent"), ("dense", "binary_cross_entropy")],
)
def test_a_loss_that_a_kind_does_not_have_is_refused_before_any_work(kind: str, loss: str) -> None:
    with pytest.raises(ValueError, match=f"loss={loss} is none of kind {kind}; choose one of in_batch_negatives"):
        tiny_arguments(kind, Path("any"), stages=[{"data": ["x"], "loss": loss}])


def test_options_of_another_kind_are_refused() -> None:
    for kind, changes in (("dense", {"token_size": 8}), ("reranker", {"document_prompt": "文："})):
        with pytest.raises(ValueError, match=f"{next(iter(changes))} acts for kind"):
            tiny_arguments(kind, Path("any"), **changes)
