"""Sparse encoders: how they begin, what they learn by, which tokens never get a weight, and what a folder keeps."""

from __future__ import annotations

import json
import math
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file, save_file
from sentence_transformers import SparseEncoder
from torch.nn.functional import cross_entropy

from chinese_modernbert.evaluation.retrieval.expansion import tokenizers_of
from chinese_modernbert.hub_release import ReleaseArguments, build_release
from chinese_modernbert.modeling import ChineseModernBertForMaskedLM
from chinese_modernbert.runtime.options import load_recipe
from chinese_modernbert.tokenization.loading import load_tokenizer
from chinese_modernbert.trainers.contrastive.arguments import RetrievalArguments
from chinese_modernbert.trainers.contrastive.kinds import kind_named
from chinese_modernbert.trainers.contrastive.kinds.sparse_documents import document_frequency_weights
from chinese_modernbert.trainers.contrastive.models import limit_length
from chinese_modernbert.trainers.contrastive.run import run_retrieval
from reference.tiny_kinds import save_tiny

CHARACTERS = "北京是中国的首都今天气很好"
TRIPLETS = {
    "anchor": [f"{one}在哪里？" for one in CHARACTERS],
    "positive": [f"{one}在上海，{one}很好。" for one in CHARACTERS],
    "negative_1": [f"公园，{one}散步。" for one in CHARACTERS[::-1]],
}
SPARSE_KINDS = ("sparse", "sparse_documents")


def arguments(checkpoint: Path, folder: Path, kind: str, **changes: Any) -> RetrievalArguments:
    rows = [
        dict(zip(("anchor", "positive", "negative"), row, strict=True)) for row in zip(*TRIPLETS.values(), strict=True)
    ]
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    settings = {
        "model": str(checkpoint),
        "data": str(folder),
        "kind": kind,
        "stages": [{"data": [str(file)], "batch_size": 4}],
        "retrieval": [str(file)],
        "output_dir": str(folder / "run"),
        "learning_rate": 5e-3,
        "use_cpu": True,
    }
    return load_recipe([RetrievalArguments], None, {**settings, **changes})[0]


def trained(args: RetrievalArguments, model: SparseEncoder) -> SparseEncoder:
    args.per_device_train_batch_size, args.num_train_epochs = 4, 2
    kind_named(args.kind).trainer(model, args, {"rows": Dataset.from_dict(TRIPLETS)}).train()
    return model.eval()


def dense(vectors: Any) -> torch.Tensor:
    return vectors.to_dense()


def is_stopped(name: str) -> bool:
    """Whether a token is special, a part of a character's bytes or without any letter, by its name."""
    if name.startswith("<0x"):
        byte = int(name[3:5], 16)
        return byte >= 0x80 or not chr(byte).isalnum()
    return name[0] == "[" or not any(unicodedata.category(one)[0] in "LN" for one in name)


@pytest.mark.parametrize("kind", SPARSE_KINDS)
def test_marks_special_tokens_and_bytes_have_no_weight_before_and_after_training(
    kind: str, saved_checkpoint: Path, tmp_path: Path
) -> None:
    args = arguments(saved_checkpoint, tmp_path, kind)
    tokenizer = load_tokenizer(saved_checkpoint)
    names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    stopped = torch.tensor([is_stopped(name) for name in names])
    assert 128 < stopped.sum() < len(names)
    model = kind_named(kind).load(args.model, args)
    texts = [*TRIPLETS["positive"], "，。？龘"]
    for one in (model, trained(args, model)):
        for vectors in (one.encode_document(texts), one.encode_query(texts)):
            assert dense(vectors)[:, stopped].max() == 0
            assert dense(vectors)[:-1, ~stopped].max() > 0


def test_without_stop_tokens_marks_have_weights(saved_checkpoint: Path, tmp_path: Path) -> None:
    args = arguments(saved_checkpoint, tmp_path, "sparse", stop_tokens=False)
    model = kind_named("sparse").load(args.model, args)
    logits = ChineseModernBertForMaskedLM.from_pretrained(saved_checkpoint).eval()
    batch = load_tokenizer(saved_checkpoint)(["今天，很好。"], return_tensors="pt")
    with torch.no_grad():
        expected = logits(input_ids=batch["input_ids"]).logits[0].amax(dim=0).relu().log1p()
    torch.testing.assert_close(dense(model.encode_document("今天，很好。")), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", SPARSE_KINDS)
def test_without_expansion_a_document_has_its_own_tokens_alone(
    kind: str, saved_checkpoint: Path, tmp_path: Path
) -> None:
    plain = arguments(saved_checkpoint, tmp_path, kind, stop_tokens=False)
    args = arguments(saved_checkpoint, tmp_path, kind, stop_tokens=False, expansion=False)
    model = trained(args, kind_named(kind).load(args.model, args))
    kind_named(kind).save(model, tmp_path / "saved")
    model = kind_named(kind).load(tmp_path / "saved", args)
    text = "北京很好，今天"
    own = set(load_tokenizer(saved_checkpoint)(text)["input_ids"])
    assert set(dense(model.encode_document(text)).nonzero().flatten().tolist()) <= own
    first = dense(kind_named(kind).load(args.model, args).encode_document(text))
    logits = dense(kind_named(kind).load(plain.model, plain).encode_document(text)).expm1()
    for token in range(len(first)):
        if token not in own:
            assert first[token] == 0
        elif logits[token] > 0:
            assert first[token].item() == pytest.approx(math.log(11 + logits[token].item()), rel=1e-3)


def test_the_loss_is_the_softmax_of_inner_products_and_both_regularizers(
    saved_checkpoint: Path, tmp_path: Path
) -> None:
    changes = {"product_temperature": 3.0, "document_regularizer": 0.7, "query_regularizer": 0.2}
    args = arguments(saved_checkpoint, tmp_path, "sparse", **changes)
    model = kind_named("sparse").load(args.model, args).eval()
    trainer = kind_named("sparse").trainer(model, args, {"rows": Dataset.from_dict(TRIPLETS)})
    loss: Any = trainer.build_loss(model, args, list(TRIPLETS))
    columns = [TRIPLETS[name][:4] for name in TRIPLETS]
    found = loss([dict(model.preprocess(texts)) for texts in columns])
    queries, positives, negatives = (dense(model.encode(texts)) for texts in columns)
    documents = torch.cat([positives, negatives])
    assert found["base_loss"].item() == pytest.approx(
        cross_entropy(queries @ documents.T / 3, torch.arange(4)).item(), rel=1e-4
    )
    assert found["document_regularizer_loss"].item() == pytest.approx(
        0.7 * sum(column.mean().item() ** 2 for column in documents.T), rel=1e-4
    )
    assert found["query_regularizer_loss"].item() == pytest.approx(
        0.2 * sum(column.mean().item() ** 2 for column in queries.T), rel=1e-4
    )


@pytest.mark.parametrize("kind", SPARSE_KINDS)
def test_a_teachers_differences_are_learned_by_inner_products(
    kind: str, saved_checkpoint: Path, tmp_path: Path
) -> None:
    args = arguments(saved_checkpoint, tmp_path, kind)
    model = kind_named(kind).load(args.model, args).eval()
    trainer = kind_named(kind).trainer(model, args, {"rows": Dataset.from_dict(TRIPLETS)})
    loss: Any = trainer.build_loss(model, args, [*TRIPLETS, "scores"])
    columns = [TRIPLETS[name][:4] for name in TRIPLETS]
    labels = torch.tensor([[3.0, 1.0], [0.5, 4.0], [-2.0, -2.5], [0.0, 7.0]])
    tasks = ["query", "document", "document"]
    features = [dict(model.preprocess(texts, task=task)) for texts, task in zip(columns, tasks, strict=True)]
    queries = dense(model.encode_query(columns[0]))
    right, wrong = ((queries * dense(model.encode_document(texts))).sum(dim=1) for texts in columns[1:])
    expected = ((right - wrong) - (labels[:, 0] - labels[:, 1])).square().mean()
    assert loss(features, labels)["base_loss"].item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("kind", SPARSE_KINDS)
def test_a_saved_model_is_loaded_as_it_was_with_each_sides_length(
    kind: str, saved_checkpoint: Path, tmp_path: Path
) -> None:
    args = arguments(saved_checkpoint, tmp_path, kind)
    model = trained(args, kind_named(kind).load(args.model, args))
    limit_length(model, 20)
    kind_named(kind).save(model, tmp_path / "saved")
    again = kind_named(kind).load(tmp_path / "saved", args)
    long = "今天天气很好，" * 30
    for text in (TRIPLETS["positive"][0], long):
        torch.testing.assert_close(dense(again.encode_document(text)), dense(model.encode_document(text)))
        torch.testing.assert_close(dense(again.encode_query(text)), dense(model.encode_query(text)))
    limit_length(again, 100)
    assert not torch.equal(dense(again.encode_document(long)), dense(model.encode_document(long)))


def test_queries_begin_with_inverse_document_frequencies(saved_checkpoint: Path, tmp_path: Path) -> None:
    args = arguments(saved_checkpoint, tmp_path, "sparse_documents")
    model = kind_named("sparse_documents").load(args.model, args)
    tokenizer = load_tokenizer(saved_checkpoint)
    texts = {*TRIPLETS["positive"], *TRIPLETS["negative_1"]}
    token = tokenizer.convert_tokens_to_ids("京")
    holding = sum(token in tokenizer(text)["input_ids"] for text in texts)
    expected = math.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5))
    vector = dense(model.encode_query("京"))
    assert vector[token].item() == pytest.approx(expected, rel=1e-5)
    assert (vector > 0).sum() == 1


def test_documents_that_leak_are_not_counted(saved_checkpoint: Path, tmp_path: Path) -> None:
    args = arguments(saved_checkpoint, tmp_path, "sparse_documents", leakage="drop", leakage_similarity=1.0)
    kept, leaked = TRIPLETS["positive"][1:4], TRIPLETS["positive"][0]
    own = tmp_path / "own.jsonl"
    texts = [leaked, *kept]
    own.write_text("".join(json.dumps({"anchor": f"甲{n}", "positive": text}, ensure_ascii=False) + "\n"
                           for n, text in enumerate(texts)), encoding="utf-8")  # fmt: skip
    args.stages[0].data, args.stages[0].batch_size = [str(own)], 2
    asked = tmp_path / "asked.jsonl"
    asked.write_text(json.dumps({"anchor": "问", "positive": leaked}, ensure_ascii=False) + "\n", encoding="utf-8")
    args.retrieval, args.hybrid = [str(asked)], False
    output = run_retrieval(args)
    tokenizer = load_tokenizer(saved_checkpoint)
    expected = document_frequency_weights(tokenizer, kept, len(tokenizer))
    table = load_file(output / "stage-0" / "model" / "query_0_SparseStaticEmbedding" / "model.safetensors")["weight"]
    token = tokenizer.convert_tokens_to_ids("海")
    assert table[token] == pytest.approx(expected[token].item())
    assert table[token] != document_frequency_weights(tokenizer, texts, len(tokenizer))[token]


def test_a_token_that_no_text_holds_weighs_most(saved_checkpoint: Path) -> None:
    tokenizer = load_tokenizer(saved_checkpoint)
    weights = document_frequency_weights(tokenizer, ["北京很好", "今天很好"], len(tokenizer))
    seen = tokenizer(["北京很好", "今天很好"], add_special_tokens=False)["input_ids"]
    assert weights[[one for row in seen for one in row]].max() < weights.max()
    assert weights[tokenizer.convert_tokens_to_ids("海")] == weights.max()
    with pytest.raises(ValueError, match="no text"):
        document_frequency_weights(tokenizer, [], len(tokenizer))


def test_the_table_learns_at_its_own_rate(saved_checkpoint: Path, tmp_path: Path) -> None:
    args = arguments(saved_checkpoint, tmp_path, "sparse_documents", query_learning_rate=0.0)
    model = kind_named(args.kind).load(args.model, args)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    trained(args, model)
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved and not any("query" in name for name in moved)


def test_encode_refuses_a_text_of_no_side(saved_checkpoint: Path, tmp_path: Path) -> None:
    args = arguments(saved_checkpoint, tmp_path, "sparse_documents")
    model = kind_named(args.kind).load(args.model, args)
    kind_named(args.kind).save(model, tmp_path / "saved")
    with pytest.raises(ValueError, match="route"):
        SparseEncoder(str(tmp_path / "saved"), trust_remote_code=True).encode("北京")


def test_documents_of_a_sparse_model_get_a_table_of_queries(saved_checkpoint: Path, tmp_path: Path) -> None:
    args = arguments(saved_checkpoint, tmp_path, "sparse")
    model = kind_named("sparse").load(args.model, args)
    kind_named("sparse").save(model, tmp_path / "saved")
    routed = kind_named("sparse_documents").load(
        tmp_path / "saved", arguments(saved_checkpoint, tmp_path, "sparse_documents")
    )
    torch.testing.assert_close(dense(routed.encode_document("北京很好")), dense(model.encode("北京很好")))


@pytest.mark.parametrize("kind", SPARSE_KINDS)
def test_a_release_of_a_language_model_begins_a_sparse_model(kind: str, saved_checkpoint: Path, tmp_path: Path) -> None:
    release = build_release(ReleaseArguments(str(saved_checkpoint), str(tmp_path / "release")))
    assert (release / "modules.json").is_file()  # it loads as a sentence encoder too
    begun = {}
    for folder in (saved_checkpoint, release):
        args = arguments(folder, tmp_path, kind)
        begun[folder] = dense(kind_named(kind).load(args.model, args).encode_document("北京很好"))
    torch.testing.assert_close(begun[release], begun[saved_checkpoint])
    args = arguments(save_tiny("dense", saved_checkpoint, tmp_path / "dense"), tmp_path, kind)
    with pytest.raises(ValueError, match="is a SentenceTransformer, kind: sparse"):
        kind_named(kind).load(args.model, args)


def test_what_cannot_be_made_sparse_is_refused(saved_checkpoint: Path, tmp_path: Path) -> None:
    headless = shutil.copytree(saved_checkpoint, tmp_path / "headless")
    weights = load_file(headless / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith("head")}
    save_file(kept, headless / "model.safetensors", metadata={"format": "pt"})
    args = arguments(headless, tmp_path, "sparse")
    with pytest.raises(ValueError, match="lacks weights of a masked language model"):
        kind_named("sparse").load(args.model, args)
    model = kind_named("sparse").load(saved_checkpoint, args)
    with pytest.raises(ValueError, match="sparse models train on triplets"):
        kind_named("sparse").trainer(
            model, args, {"rows": Dataset.from_dict({"sentence1": ["a"], "sentence2": ["b"], "score": [1.0]})}
        )
    args = arguments(saved_checkpoint, tmp_path, "sparse_documents", stages=[])
    with pytest.raises(ValueError, match="there is no stage"):
        kind_named("sparse_documents").load(args.model, args)


@pytest.mark.parametrize(
    ("kind", "option"),
    [("dense", "product_temperature"), ("sparse", "query_learning_rate"), ("sparse_documents", "query_regularizer")],
)
def test_options_of_another_kind_are_refused(kind: str, option: str, saved_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{option} acts for kind"):
        arguments(saved_checkpoint, tmp_path, kind, **{option: 3})


@pytest.mark.parametrize("kind", SPARSE_KINDS)
def test_the_command_trains_and_measures_and_a_second_run_repeats_nothing(
    kind: str, saved_checkpoint: Path, tmp_path: Path
) -> None:
    changes = {"leakage": "report", "hybrid": False, "bootstrap_resamples": 10, "keep_tokens": 5}
    args = arguments(saved_checkpoint, tmp_path, kind, **changes)
    output = run_retrieval(args)
    assert "BM25" in (output / "report.md").read_text(encoding="utf-8")
    weights = output / "stage-1" / "model" / "modules.json"
    written = weights.stat().st_mtime_ns
    run_retrieval(arguments(saved_checkpoint, tmp_path, kind, **changes))
    assert weights.stat().st_mtime_ns == written
    final = kind_named(kind).load(output / "final", args)
    longest = {one.model_max_length for one in tokenizers_of(final)}
    assert longest == {128}  # what the model reads, not what the stage trained on
    options = {"retrieval_report": str(output)}
    release = build_release(ReleaseArguments(str(output / "final"), str(tmp_path / "release"), **options))  # type: ignore[arg-type]
    assert "| rows.jsonl | this model | " in (release / "README.md").read_text(encoding="utf-8")
