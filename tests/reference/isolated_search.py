"""What a process without this package finds in saved models for search.

Run as `python -P -s isolated_search.py job.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import sentence_transformers


def numbers_of(name: str, folder: str, texts: list[str]) -> dict[str, Any]:
    """Return the vectors of both sides as lists; of a reranker the scores of each text with every text."""
    model = getattr(sentence_transformers, name)(folder, trust_remote_code=True, device="cpu")
    if name == "CrossEncoder":
        return {"scores": model.predict([(a, b) for a in texts for b in texts]).tolist()}
    found = {"queries": model.encode_query(texts), "documents": model.encode_document(texts)}
    if name == "SparseEncoder":
        found = {side: vectors.to_dense() for side, vectors in found.items()}
    return {side: [vectors.tolist() for vectors in rows] for side, rows in found.items()}


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.modules["chinese_modernbert"] = None  # pyright: ignore[reportArgumentType]
    results = [numbers_of(name, folder, job["texts"]) for name, folder in job["folders"]]
    Path(job["results"]).write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main()
