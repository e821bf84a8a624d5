"""Models for search as they are saved, sparse ones as they are released too, in a process without this package."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from chinese_modernbert.hub_release import ReleaseArguments, build_release
from chinese_modernbert.hub_release.verification.isolated_process import run_script
from chinese_modernbert.runtime.options import load_recipe
from chinese_modernbert.trainers.contrastive.arguments import RetrievalArguments
from chinese_modernbert.trainers.contrastive.kinds import kind_named
from reference.tiny_kinds import load_tiny, save_tiny

SCRIPT = Path(__file__).parents[1] / "reference" / "isolated_search.py"
TEXTS = ["北京是中国的首都。", "今天，天气很好！龘"]
CASES: dict[str, dict[str, Any]] = {
    "sparse": {"kind": "sparse"},
    "own tokens": {"kind": "sparse", "expansion": False},
    "documents": {"kind": "sparse_documents"},
    "documents, own tokens": {"kind": "sparse_documents", "expansion": False},
}


def test_saved_and_released_sparse_models_give_strangers_the_same_weights(
    saved_checkpoint: Path, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        json.dumps({"anchor": "北京", "positive": "北京是首都"}, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    expected = []
    for name, settings in CASES.items():
        fixed = {
            "model": str(saved_checkpoint),
            "data": str(tmp_path),
            "stages": [{"data": [str(rows)]}],
            "use_cpu": True,
        }
        (args,) = load_recipe([RetrievalArguments], None, {**fixed, "output_dir": str(tmp_path / "run"), **settings})
        kind = kind_named(args.kind)
        model = kind.load(args.model, args)
        kind.save(model, tmp_path / name)
        build_release(ReleaseArguments(str(tmp_path / name), str(tmp_path / f"{name}, released")))
        expected.append({"queries": model.encode_query(TEXTS), "documents": model.encode_document(TEXTS)})
    names = [*CASES, *(f"{name}, released" for name in CASES)]
    folders = [("SparseEncoder", str(tmp_path / name)) for name in names]
    found: Any = run_script(SCRIPT, sys.executable, lambda _: {"folders": folders, "texts": TEXTS})
    for name, theirs, ours in zip(names, found, [*expected, *expected], strict=True):
        for side, vectors in ours.items():
            values = torch.tensor(theirs[side])
            torch.testing.assert_close(values, vectors.to_dense(), msg=lambda text, at=(name, side): f"{at}: {text}")
            assert values.max() > 0 and values[:, :5].max() == 0  # special tokens are silent


def test_saved_models_of_every_other_kind_give_strangers_the_same_numbers(
    saved_checkpoint: Path, tmp_path: Path
) -> None:
    classes = {
        "dense": "SentenceTransformer",
        "static": "SentenceTransformer",
        "late_interaction": "MultiVectorEncoder",
        "reranker": "CrossEncoder",
    }
    folders = [(name, str(save_tiny(kind, saved_checkpoint, tmp_path / kind))) for kind, name in classes.items()]
    found: Any = run_script(SCRIPT, sys.executable, lambda _: {"folders": folders, "texts": TEXTS})
    for kind, theirs in zip(classes, found, strict=True):
        model = load_tiny(kind, saved_checkpoint)
        if kind == "reranker":
            pairs = [(a, b) for a in TEXTS for b in TEXTS]
            torch.testing.assert_close(torch.tensor(theirs["scores"]), torch.tensor(model.predict(pairs)), msg=kind)
            continue
        for side, vectors in {"queries": model.encode_query(TEXTS), "documents": model.encode_document(TEXTS)}.items():
            for one, row in zip(vectors, theirs[side], strict=True):
                torch.testing.assert_close(torch.tensor(row), torch.as_tensor(one).cpu(), msg=f"{kind}: {side}")
