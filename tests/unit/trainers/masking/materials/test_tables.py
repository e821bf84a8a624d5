"""Tables, tags and lexicons are what their definitions say, on corpora small enough to count by hand."""

import math

import numpy as np
import pytest

from chinese_modernbert.runtime.counter_random import CounterRandom
from chinese_modernbert.trainers.masking import ColumnUnits, PackedBatch, PhraseTagger, WordTagger, lexicon_tagger
from chinese_modernbert.trainers.masking.materials.similar_words import (
    homophone_lexicon,
    nearest_words,
    neighbor_lexicon,
    word_lexicon,
)
from chinese_modernbert.trainers.masking.materials.tables import (
    difference_table,
    domain_seeds,
    frequency_table,
    idf_table,
    pmi_rate_table,
    rank_table,
    token_counts,
)

DOCUMENTS = [np.array([5, 6, 5, 7], dtype=np.uint16), np.array([5, 8], dtype=np.uint16), np.array([6], dtype=np.uint16)]
TOKENS = ["[P]", "[S]", "北", "京", "大", "学", "很", "好", " cat"]


def test_frequency_follows_the_power_law_with_a_mean_of_one() -> None:
    table = frequency_table(DOCUMENTS, 9, exponent=0.5, floor=1)
    assert token_counts(DOCUMENTS, 9).tolist() == [0, 0, 0, 0, 0, 3, 2, 1, 1]
    assert table[7] / table[5] == pytest.approx(math.sqrt(3))
    assert table[np.concatenate(DOCUMENTS)].mean() == pytest.approx(1, rel=1e-6)
    assert np.ptp(frequency_table(DOCUMENTS, 9, floor=10)) == 0


def test_idf_and_rank() -> None:
    table = idf_table(iter(DOCUMENTS), 9)
    np.testing.assert_allclose(table[[5, 7, 0]], [math.log(4 / 3), math.log(2), math.log(4)], rtol=1e-6)
    ranks = rank_table(DOCUMENTS, 9)
    assert ranks[5] == pytest.approx(1 / 9) and sorted(np.round(ranks * 9).tolist()) == list(range(1, 10))


def test_pmi_rates_are_rates_with_the_wanted_mean_and_favour_informative_pairs() -> None:
    generator = np.random.default_rng(0)
    documents = []
    for _ in range(300):
        topic = generator.integers(0, 4)
        pair = [10 + 2 * topic, 11 + 2 * topic] * 3
        documents.append(generator.permutation([*pair, *generator.integers(20, 26, 14)]))
    table = pmi_rate_table(documents, 30, rate=0.2, draws=20)
    assert (table >= 0).all() and (table <= 1).all()
    assert table[np.concatenate(documents)].mean() == pytest.approx(0.2, rel=1e-4)
    assert table[10:18].min() > table[20:26].max()
    assert table.tobytes() == pmi_rate_table(documents, 30, rate=0.2, draws=20).tobytes()
    assert pmi_rate_table(documents, 30, ignored_ids=[10])[10] == 0


def test_domain_terms_outrank_common_words_and_their_neighbours_weigh_most() -> None:
    general = [np.array([5, 6]), np.array([5, 7]), np.array([5, 6, 7])]
    seeds = domain_seeds([np.array([5, 5, 5, 8, 8])], general, 10, count=1)
    assert seeds.tolist() == [8]
    embeddings = np.eye(10)
    embeddings[9] = embeddings[8] + 0.1 * embeddings[5]
    table = difference_table(embeddings, seeds)
    assert np.argsort(-table)[:3].tolist() == [8, 9, 5] or np.argsort(-table)[:2].tolist() == [8, 9]
    assert table.mean() == pytest.approx(1)
    assert np.ptp(difference_table(embeddings, seeds, blend=0.0)) == 0


def sentence() -> PackedBatch:
    ids = np.array([[1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3]])
    return PackedBatch(input_ids=ids, word_ids=np.array([[-1, 0, 0, 1, 1, 2, 3, 4, -1, 5, 5]]))


def test_words_are_tagged_by_their_text() -> None:
    tagger = WordTagger(TOKENS, lexicon_tagger([["很", "cat"], ["北京", "很"]]))
    assert tagger(sentence()).tolist() == [[-1, 1, 1, -1, -1, 0, -1, 0, -1, 1, 1]]


def test_phrases_take_the_longest_match_and_stop_at_specials() -> None:
    column = PhraseTagger(TOKENS, ["北京", "北京大学", "cat北京", "好"])(sentence())
    batch = sentence()
    batch["tags"] = {"entity": column}
    units = ColumnUnits("entity")(batch, CounterRandom(0, 0, np.zeros(1)))
    assert list(zip(units.start.tolist(), units.length.tolist(), strict=True)) == [(1, 4), (6, 1), (9, 2)]


def test_entries_are_found_with_their_blanks_in_any_width_and_script_and_in_bytes() -> None:
    tokens = ["[P]", "New", " York", "圖", "书", "AI", *(f"<0x{byte:02X}>" for byte in "嚟".encode()), " ", "15"]
    ids = np.array([[1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 9, 10]])
    batch = PackedBatch(input_ids=ids, word_ids=np.array([[0, 1, 2, 2, 3, 4, 4, 4, 5, 6, 7, 8]]))
    phrases = ["New York", "图書", "ＡＩ", "嚟", "New 15", "York 15", "Y"]
    tagger = PhraseTagger(tokens, phrases)
    assert tagger(batch).tolist() == [[0, 0, 2, 2, 3, 4, 4, 4, -1, 6, 6, 6]]
    assert tagger.unmatched == ["York 15", "Y"]
    words = WordTagger(tokens, lexicon_tagger([["York", "图书"], ["Ａｉ", "ＡＩ", "嚟"]]))
    assert words(batch).tolist() == [[-1, 0, 0, 0, 1, 1, 1, 1, -1, -1, -1, -1]]


def encode(word: str) -> list[int]:
    return [ord(character) for character in word]


def test_homophones_share_their_pinyin() -> None:
    pypinyin = pytest.importorskip("pypinyin")
    words = ["公式", "攻势", "公事", "北京", "背景", "学习", "宫"]
    lexicon = homophone_lexicon(words, encode)
    assert len(lexicon) == 5
    for entry in range(len(lexicon)):
        word = "".join(map(chr, lexicon.words[entry]))
        for other in lexicon.alternatives[entry, : lexicon.count[entry]]:
            twin = "".join(map(chr, other))
            assert twin != word and pypinyin.lazy_pinyin(twin) == pypinyin.lazy_pinyin(word)


def test_neighbours_are_close_and_have_as_many_tokens() -> None:
    words = ["甲", "乙", "丙", "甲乙"]
    vectors = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [1.0, 0.0]])
    lexicon = neighbor_lexicon(words, vectors, encode)
    found = {chr(word[0]): chr(other[0, 0]) for word, other in zip(lexicon.words, lexicon.alternatives, strict=True)}
    assert found == {"甲": "乙", "乙": "甲"}
    with pytest.raises(ValueError, match="one vector for each word"):
        neighbor_lexicon(words, vectors[:2], encode)


@pytest.mark.parametrize("lowest", [-1.0, 0.0, 0.6])
@pytest.mark.parametrize("kept", [1, 3, 50])
def test_the_nearest_words_are_those_of_a_slow_loop(kept: int, lowest: float) -> None:
    random = np.random.default_rng(0)
    vectors, groups = random.normal(size=(40, 4)), random.integers(0, 3, 40)
    words = [f"w{number}" for number in range(40)]
    for word, others in nearest_words(words, vectors, groups, kept, lowest).items():
        own = int(word[1:])
        cosines = {
            other: vectors[own] @ vectors[other] / np.linalg.norm(vectors[own]) / np.linalg.norm(vectors[other])
            for other in range(40)
            if other != own and groups[other] == groups[own]
        }
        expected = sorted((one for one in cosines if cosines[one] >= lowest - 1e-6), key=lambda one: -cosines[one])
        assert others == [f"w{other}" for other in expected[:kept]]


def test_a_word_table_becomes_a_lexicon() -> None:
    assert word_lexicon({"甲乙": ["丙丁", "丙"]}, encode).count.tolist() == [1]
