"""What a process without this package finds in saved sparse encoders.

Run as `python -P -s isolated_sparse.py job.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sentence_transformers import SparseEncoder


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.modules["chinese_modernbert"] = None  # pyright: ignore[reportArgumentType]
    results = []
    for folder in job["folders"]:
        model = SparseEncoder(folder, trust_remote_code=True, device="cpu")
        queries, documents = model.encode_query(job["texts"]), model.encode_document(job["texts"])
        results.append(
            {"queries": queries.to_dense().tolist(), "documents": documents.to_dense().tolist()}  # pyright: ignore[reportAttributeAccessIssue]
        )
    Path(job["results"]).write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main()
