"""Semantic search over a corpus: an index of usearch on disk, vectors of one byte per value, the texts next to it.

    python examples/semantic_search.py MODEL INDEX_FOLDER --corpus texts.jsonl more.txt
    python examples/semantic_search.py MODEL INDEX_FOLDER --query "长城有多长"

MODEL is a released folder, or `final` of `chinese-modernbert sts`. A document is encoded whole, up to the length of the
model (8,192 tokens); what is longer is cut there. Needs `pip install 'chinese-modernbert[eval]'`.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer
from usearch.index import Index

from chinese_modernbert.evaluation.retrieval.loading import model_digest
from chinese_modernbert.runtime.files import write_text_atomically
from chinese_modernbert.tokenization import read_documents

# What the model is called whose vectors the index has, is written last: without it the index is not whole.
INDEX, TEXTS, MODEL = "index.usearch", "texts.jsonl", "model.txt"


def build_index(model: SentenceTransformer, corpus: list[str], folder: Path) -> int:
    """Encode every document and write index and texts; return how many there are."""
    texts = [document.text for document in read_documents(corpus)]
    vectors = np.asarray(model.encode_document(texts, batch_size=32, show_progress_bar=True))
    index = Index(ndim=vectors.shape[1], metric="cos", dtype="i8")
    index.add(np.arange(len(texts)), vectors)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL).unlink(missing_ok=True)
    index.save(str(folder / INDEX))
    write_text_atomically(folder / TEXTS, "".join(json.dumps(text, ensure_ascii=False) + "\n" for text in texts))
    write_text_atomically(folder / MODEL, model_digest(model) + "\n")
    return len(texts)


def search(model: SentenceTransformer, query: str, folder: Path, count: int = 5) -> list[tuple[float, str]]:
    """Return the nearest documents with their cosines, nearest first; the index is mapped, not read."""
    written_by = (folder / MODEL).read_text(encoding="utf-8").strip() if (folder / MODEL).is_file() else "no model"
    if written_by != model_digest(model):
        raise SystemExit(f"{folder} holds an index of {written_by}, not of this model; build it with --corpus")
    texts = [json.loads(line) for line in (folder / TEXTS).read_text(encoding="utf-8").removesuffix("\n").split("\n")]
    index = Index.restore(str(folder / INDEX), view=True)
    assert index is not None, f"{folder / INDEX} is no index"
    hits = index.search(np.asarray(model.encode_query(query)), count)
    return [(1 - float(hit.distance), texts[int(hit.key)]) for hit in hits]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--corpus", nargs="+")
    parser.add_argument("--query")
    arguments = parser.parse_args()
    model = SentenceTransformer(arguments.model, trust_remote_code=True)
    if arguments.corpus:
        print(f"{build_index(model, arguments.corpus, arguments.folder):,} documents")
    if arguments.query:
        for cosine, text in search(model, arguments.query, arguments.folder):
            print(f"{cosine:.3f} {text[:80]}")


if __name__ == "__main__":
    main()
