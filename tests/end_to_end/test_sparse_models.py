"""Sparse encoders as they are saved and released, in a process that has sentence-transformers and not this package."""

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

SCRIPT = Path(__file__).parents[1] / "reference" / "isolated_sparse.py"
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
    folders = [str(tmp_path / name) for name in names]
    found: Any = run_script(SCRIPT, sys.executable, lambda _: {"folders": folders, "texts": TEXTS})
    for name, theirs, ours in zip(names, found, [*expected, *expected], strict=True):
        for side, vectors in ours.items():
            values = torch.tensor(theirs[side])
            torch.testing.assert_close(values, vectors.to_dense(), msg=lambda text, at=(name, side): f"{at}: {text}")
            assert values.max() > 0 and values[:, :5].max() == 0  # special tokens are silent
