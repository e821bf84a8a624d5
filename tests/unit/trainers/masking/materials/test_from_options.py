"""Objects of presets from plain options: files of words, confusion sets, checkpoints, shards."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chinese_modernbert.evaluation.spelling import ConfusionSet
from chinese_modernbert.modeling import ChineseModernBertForMaskedLM
from chinese_modernbert.tokenization import load_segmenter, load_tokenizer, tokenizer_hash
from chinese_modernbert.trainers.data.shards import TokenShards
from chinese_modernbert.trainers.masking import Masker, MaskVocabulary, PackedBatch, masker_from_options
from chinese_modernbert.trainers.masking.collator import DataCollatorForWholeWordMasking
from chinese_modernbert.trainers.masking.materials.from_options import (
    ENTITY_TAG,
    content_of_options,
    input_embeddings,
)
from chinese_modernbert.trainers.masking.materials.similar_words import confused_words, read_similar_words
from chinese_modernbert.trainers.masking.materials.tables import difference_table, domain_seeds
from chinese_modernbert.trainers.masking.materials.tags import UNIVERSAL_TAGS, token_texts
from reference.shard_folders import random_documents, write_folder
from reference.tiny_checkpoint import write_tiny_checkpoint

TEXT = "北京是中国的首都，天气很好。"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "checkpoint")


def build(checkpoint: Path, name: str, options: dict[str, Any], shards: TokenShards | None = None) -> Masker:
    tokenizer = load_tokenizer(checkpoint)
    return masker_from_options(name, options, MaskVocabulary.from_tokenizer(tokenizer), 0, shards, tokenizer)


def batch_of(checkpoint: Path, text: str) -> PackedBatch:
    rows = DataCollatorForWholeWordMasking(load_tokenizer(checkpoint), segmenter=load_segmenter("jieba"))(
        [{"text": text}]
    )
    return PackedBatch(input_ids=rows["input_ids"].numpy(), word_ids=rows["word_ids"].numpy())


def write(file: Path, text: str) -> str:
    file.write_text(text, encoding="utf-8")
    return str(file)


def replacements(checkpoint: Path, masker: Masker) -> dict[str, set[str]]:
    """Return what stands in place of each token that was replaced, over many passes."""
    tokens, batch = token_texts(load_tokenizer(checkpoint)), batch_of(checkpoint, TEXT)
    seen: dict[str, set[str]] = {}
    for epoch in range(300):
        masked = masker(batch, 0.0, epoch)
        for before, after in zip(batch["input_ids"][0], masked["input_ids"][0], strict=True):
            if before != after:
                seen.setdefault(tokens[before], set()).add(tokens[after])
    return seen


def test_similar_words_come_from_files_confusion_sets_and_embeddings(checkpoint: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "similar_words": write(tmp_path / "similar.txt", "是\t在\n"),
        "confusion": [
            write(tmp_path / "sound.txt", "的\t第\n"),
            write(tmp_path / "shape.json", '{"很": ["很", "公"]}'),
        ],
    }
    masker = build(checkpoint, "macbert", {**options, "rate": 0.5})
    only = {"是": "在", "的": "第", "很": "公"}
    corruption = replace(masker.corruption, similar=1.0, random=0.0, keep=0.0)  # pyright: ignore[reportArgumentType]
    seen = replacements(checkpoint, replace(masker, corruption=corruption))
    assert all(seen[word] == {other} for word, other in only.items())


def test_neighbours_are_those_of_the_centered_embeddings(checkpoint: Path) -> None:
    tokenizer = load_tokenizer(checkpoint)
    model: Any = ChineseModernBertForMaskedLM.from_pretrained(checkpoint)
    table = model.get_input_embeddings().weight
    vectors = input_embeddings(str(checkpoint), tokenizer)
    assert np.array_equal(vectors, table.detach().numpy()[: len(tokenizer)])
    masker = build(checkpoint, "macbert", {"embeddings": str(checkpoint), "alternatives": 1, "minimum_similarity": -1})
    lexicon = masker.corruption.lexicon  # pyright: ignore[reportAttributeAccessIssue]
    tokens = token_texts(tokenizer)
    han = [number for number, token in enumerate(tokens) if all("\u4e00" <= one <= "\u9fff" for one in token)]
    centered = vectors - vectors.mean(axis=0)
    norms = np.linalg.norm(centered[han], axis=1)
    cosine: Any = centered[han] @ centered[han].T / np.outer(norms, norms)
    np.fill_diagonal(cosine, -2)
    nearest = {number: han[int(row.argmax())] for number, row in zip(han, cosine, strict=True)}
    found = {int(word[0]): int(other[0, 0]) for word, other in zip(lexicon.words, lexicon.alternatives, strict=True)}
    assert found == nearest


def test_words_differ_in_one_confused_character() -> None:
    found = confused_words(["权利", "权力", "全力", "利", "力"], ConfusionSet.of([("利", "力"), ("权", "全")]))
    assert found == {"权利": ["权力"], "权力": ["全力", "权利"], "全力": ["权力"], "利": ["力"], "力": ["利"]}


def test_listed_words_get_their_column_from_the_masker(checkpoint: Path, tmp_path: Path) -> None:
    batch = batch_of(checkpoint, TEXT)
    tokens = token_texts(load_tokenizer(checkpoint))
    capital = build(checkpoint, "ernie", {"words": ["中国的首都"]})(batch, 0.0)
    column = capital.get("tags", {})["entity"][0]
    assert "".join(tokens[one] for one in batch["input_ids"][0][column >= 0]) == "中国的首都"
    files = [write(tmp_path / "stop.txt", "的\n很\n"), write(tmp_path / "easy.txt", "天气\n")]
    strata = build(checkpoint, "kidlm", {"word_files": files})(batch, 0.0).get("tags", {})["stratum"][0]
    spelled = ["".join(tokens[one] for one in batch["input_ids"][0][strata == tag]) for tag in (0, 1)]
    assert spelled == ["的很", "天气"]
    # A column that a batch comes with is left as it is.
    batch["tags"] = {"entity": np.full(batch["input_ids"].shape, -1)}
    given = build(checkpoint, "ernie", {"words": ["中国的首都"]})(batch, 0.0)
    assert (given.get("tags", {})["entity"] == -1).all()


def test_nouns_verbs_and_listed_entities_are_eligible(checkpoint: Path) -> None:
    pytest.importorskip("jieba")
    masker = build(checkpoint, "linguistic_entity", {"words": ["首都"], "tags": ["VERB"]})
    batch, tokens = batch_of(checkpoint, TEXT), token_texts(load_tokenizer(checkpoint))
    chosen = np.zeros(batch["input_ids"].shape, dtype=bool)
    for epoch in range(200):
        chosen |= masker(batch, 0.0, epoch)["selected"]
    assert "".join(tokens[one] for one in batch["input_ids"][chosen]) == "是首都"
    parts = masker.taggers["pos"](batch)
    assert (parts[chosen] >= 0).all() and parts.max() == ENTITY_TAG == len(UNIVERSAL_TAGS)


def test_difference_masking_knows_the_terms_of_the_shards(checkpoint: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(checkpoint)
    size, name = len(tokenizer), tokenizer_hash(tokenizer)
    documents = [random_documents([40, 60], size, seed) for seed in (1, 2)]
    folders = [
        write_folder(tmp_path / str(number), [part], size, tokenizer_hash=name) for number, part in enumerate(documents)
    ]
    options = {"embeddings": str(checkpoint), "general": str(folders[1]), "domain_terms": 3}
    masker = build(checkpoint, "difference_masking", options, TokenShards(folders[0]))
    domain, general = ([one.input_ids for one in part] for part in documents)
    seeds = domain_seeds(domain, general, size, 3)
    expected = difference_table(input_embeddings(str(checkpoint), tokenizer), seeds)
    assert np.array_equal(masker.weights.table, expected)  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]


def test_a_masker_with_taggers_goes_to_another_process(checkpoint: Path) -> None:
    pytest.importorskip("jieba")
    batch = batch_of(checkpoint, TEXT)
    for name, options in (("leia", {"words": ["好"]}), ("ernie", {"words": ["首都"]}), ("pos_weighting", {})):
        masker = build(checkpoint, name, options)
        copied = pickle.loads(pickle.dumps(masker))
        assert np.array_equal(copied(batch, 0.5)["labels"], masker(batch, 0.5)["labels"])


def test_files_count_by_content_not_by_name(checkpoint: Path, tmp_path: Path) -> None:
    one, same, other = (
        write(tmp_path / name, text) for name, text in (("a", "是\t在\n"), ("b", "是\t在\n"), ("c", "是\t我\n"))
    )
    first = content_of_options({"rate": 0.2, "similar_words": one, "embeddings": str(checkpoint)})
    assert first == content_of_options({"rate": 0.2, "similar_words": [same], "embeddings": str(checkpoint)})
    assert first != content_of_options({"rate": 0.2, "similar_words": other, "embeddings": str(checkpoint)})
    assert one not in json.dumps(first)
    with pytest.raises(FileNotFoundError):
        content_of_options({"confusion": str(tmp_path / "none")})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("macbert", {"similar_words": "none.txt"}, "none.txt does not exist"),
        ("macbert", {"similar_words": "broken.txt"}, r"broken\.txt:2 is '在'"),
        ("macbert", {"similar_words": "blank.txt"}, "holds no word"),
        ("macbert", {"similar_words": "a.txt", "minimum_similarity": 0.5}, "read with embeddings alone"),
        ("macbert", {"similar_words": "a.txt", "alternatives": 0}, "alternatives=0 must be"),
        ("macbert", {"embeddings": "other", "minimum_similarity": 2}, "must be a cosine"),
        ("kidlm", {"words": ["甲"], "word_files": ["a.txt", "a.txt"]}, "2 strata of words, but 3 lists"),
        ("linguistic_entity", {"tags": ["NOUNS"]}, "unknown NOUNS"),
        ("difference_masking", {"embeddings": "x"}, "needs general; give"),
        ("mslm", {"words": ["甲"]}, "needs term_weight and other_weight; give"),
    ],
)
def test_what_does_not_fit_is_refused(
    name: str, options: dict[str, Any], message: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file, text in (("a.txt", "是\t在\n"), ("broken.txt", "是\t在\n在\n"), ("blank.txt", "\n")):
        write(tmp_path / file, text)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        build(checkpoint, name, options)


def test_a_checkpoint_of_another_vocabulary_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    other = load_tokenizer(checkpoint)
    other.add_tokens(["龙"])
    with pytest.raises(ValueError, match="has another vocabulary"):
        input_embeddings(str(checkpoint), other)


def test_lines_of_one_word_add_up(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", "是\t在 为\r\n\n在\t再\n是\t系\n")
    assert read_similar_words(file) == {"是": ["在", "为", "系"], "在": ["再"]}
