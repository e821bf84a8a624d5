"""examples/semantic_search.py on invented text, and what a released folder gives in sentence-transformers."""

import copy
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from chinese_modernbert.hub_release.builder import ReleaseArguments, build_release
from reference.tiny_checkpoint import CHARACTERS, write_tiny_checkpoint

EXAMPLE = Path(__file__).parents[3] / "examples" / "semantic_search.py"


@pytest.fixture(scope="module")
def example() -> Any:
    pytest.importorskip("usearch", reason="the example needs usearch")
    found = importlib.util.spec_from_file_location("semantic_search", EXAMPLE)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    checkpoint = write_tiny_checkpoint(folder / "checkpoint", max_position_embeddings=8192)
    return build_release(ReleaseArguments(str(checkpoint), str(folder / "release")))


@pytest.fixture(scope="module")
def model(release: Path) -> SentenceTransformer:
    return SentenceTransformer(str(release), trust_remote_code=True, device="cpu")


def test_each_text_of_a_corpus_finds_itself_in_the_index_on_disk(
    example: Any, model: SentenceTransformer, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list(CHARACTERS), 12)) for _ in range(60)]
    (tmp_path / "corpus.txt").write_text("\n\n".join(texts), encoding="utf-8")
    assert example.build_index(model, [str(tmp_path / "corpus.txt")], tmp_path / "index") == 60
    vectors = model.encode(texts)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for number in (0, 17, 59):
        hits = example.search(model, texts[number], tmp_path / "index", count=3)
        assert hits[0][1] == texts[number] and hits[0][0] == pytest.approx(1, abs=0.02)
        for cosine, text in hits:
            assert cosine == pytest.approx(unit[number] @ unit[texts.index(text)], abs=0.03)


def test_an_index_of_another_model_or_one_that_was_cut_off_is_refused(
    example: Any, model: SentenceTransformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "corpus.txt").write_text("北京是首都\n\n天气很好", encoding="utf-8")
    corpus, index = [str(tmp_path / "corpus.txt")], tmp_path / "index"
    example.build_index(model, corpus, index)
    other = copy.deepcopy(model)
    with torch.no_grad():
        next(other.parameters()).mul_(1.01)
    with pytest.raises(SystemExit, match=r"holds an index of \w{16}, not of this model; build it with --corpus"):
        example.search(other, "北京", index)
    monkeypatch.setattr(example, "write_text_atomically", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        example.build_index(model, corpus, index)
    with pytest.raises(SystemExit, match="holds an index of no model"):
        example.search(model, "北京", index)


def test_a_released_folder_truncates_prompts_and_compares(release: Path, model: SentenceTransformer) -> None:
    texts = ["北京是中国的首都", "我们去公园散步"]
    vectors = model.encode(texts)
    short = SentenceTransformer(str(release), trust_remote_code=True, device="cpu", truncate_dim=8)
    assert short.encode(texts) == pytest.approx(vectors[:, :8], abs=1e-6)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert np.asarray(model.similarity(vectors, vectors)) == pytest.approx(unit @ unit.T, abs=1e-5)
    assert model.encode(texts, prompt="今天") == pytest.approx(
        model.encode([f"今天{text}" for text in texts]), abs=1e-5
    )


def test_documents_are_read_up_to_8192_tokens_and_cut_there(model: SentenceTransformer) -> None:
    random = np.random.default_rng(0)
    long = "".join(random.choice(list(CHARACTERS), 100_000))
    ids = model.tokenizer(long, add_special_tokens=False)["input_ids"]
    assert len(ids) > 8190 and model.max_seq_length == 8192
    kept, less = (model.tokenizer.decode(ids[:count]) for count in (8190, 4000))
    whole, same, half = model.encode([long]), model.encode([kept]), model.encode([less])
    assert np.isfinite(whole).all() and np.abs(whole - half).max() > 1e-4
    assert whole == pytest.approx(same, abs=1e-3)
