"""Changed texts: what must stay, what must go, and what a seed decides."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from chinese_modernbert.cli import main
from chinese_modernbert.evaluation.rewriting import SimilarityFloor, augment_texts, read_lexicon, rewrite_texts
from chinese_modernbert.evaluation.rewriting.pieces import cut_pieces
from chinese_modernbert.evaluation.rewriting.similarity import mean_encoder
from chinese_modernbert.modeling.filling_chinese_modernbert import WordFiller
from chinese_modernbert.runtime.counter_random import CounterRandom
from chinese_modernbert.tokenization.word_segmentation import LexiconSegmenter

TEXTS = ["我们去公园散步。", "他喜欢读书，ＯＫ😀 “北京”是首都[MASK]{mask}", "", "天气很好"]
SEGMENTER = LexiconSegmenter(["我们", "公园", "散步", "喜欢", "读书", "北京", "首都", "天气"])


@pytest.fixture(scope="module")
def loaded(saved_checkpoint: Path) -> Any:
    return AutoModelForMaskedLM.from_pretrained(saved_checkpoint).eval(), AutoTokenizer.from_pretrained(
        saved_checkpoint
    )


@pytest.fixture(scope="module")
def filler(loaded: Any) -> WordFiller:
    return WordFiller(*loaded)


def lengths(vectors: dict[str, list[float]]) -> Any:
    return lambda texts: np.array([vectors.get(text, [0.0, 1.0]) for text in texts])


# Augment


def test_nothing_changes_where_no_word_is_chosen(filler: WordFiller) -> None:
    assert augment_texts(filler, SEGMENTER, TEXTS, share=0.0, copies=2) == [[text, text] for text in TEXTS]


def test_the_same_seed_gives_the_same_texts_whatever_stands_beside_them(filler: WordFiller) -> None:
    found = augment_texts(filler, SEGMENTER, TEXTS, share=0.8, copies=2, seed=3)
    assert found == augment_texts(filler, SEGMENTER, TEXTS, share=0.8, copies=2, seed=3)
    assert found != augment_texts(filler, SEGMENTER, TEXTS, share=0.8, copies=2, seed=4)
    assert found[1:2] == augment_texts(filler, SEGMENTER, TEXTS[1:2], share=0.8, copies=2, seed=3, first=1)
    assert found[0][0] != found[0][1]


def test_what_is_no_chinese_word_stays_and_no_special_token_is_drawn(filler: WordFiller, loaded: Any) -> None:
    special = [token for token in loaded[1].all_special_tokens if token != "[MASK]"]
    for (copy,) in augment_texts(filler, SEGMENTER, TEXTS[1:2] * 8, share=1.0, among=20):
        assert copy.endswith("[MASK]{mask}") and "，ＯＫ😀 “" in copy
        assert copy.count("[MASK]") == 1 and not any(token in copy for token in special)


def test_a_text_below_the_floor_is_not_taken(filler: WordFiller) -> None:
    floor = SimilarityFloor(lengths({TEXTS[0]: [1.0, 0.0]}), 0.5)
    assert augment_texts(filler, SEGMENTER, TEXTS[:1], share=1.0, floor=floor) == [TEXTS[:1]]


@pytest.mark.parametrize("options", [{"share": 1.1}, {"copies": 0}, {"among": 0}])
def test_numbers_out_of_range_are_refused(filler: WordFiller, options: Any) -> None:
    with pytest.raises(ValueError, match="give a share from 0 to 1"):
        augment_texts(filler, SEGMENTER, TEXTS, **options)


# Rewrite


def test_a_text_without_listed_words_stays_and_no_listed_word_is_left(filler: WordFiller, loaded: Any) -> None:
    floor = SimilarityFloor(mean_encoder(*loaded), -1.0)
    lexicon = {"公园": 1.0, "读书": 1.0, "北京": 1.0, "很": 1.0}
    found = rewrite_texts(filler, TEXTS, lexicon, floor)
    assert found[2] == "" and rewrite_texts(filler, TEXTS, {"熊猫": 1.0}, floor) == TEXTS
    for text, changed in zip(TEXTS[:2] + TEXTS[3:], found[:2] + found[3:], strict=True):
        assert changed is not None and changed != text
        assert not any(word in LexiconSegmenter(lexicon).cut(changed) for word in lexicon)
    assert str(found[1]).endswith("[MASK]{mask}") and str(found[0]).startswith("我们去")


def test_the_most_alike_filling_is_taken_and_none_below_the_floor(filler: WordFiller) -> None:
    vectors = {TEXTS[3]: [1.0, 0.0]}
    assert rewrite_texts(filler, TEXTS[3:], {"天气": 1.0}, SimilarityFloor(lengths(vectors), 0.5)) == [None]
    (best,) = rewrite_texts(filler, TEXTS[3:], {"天气": 1.0}, SimilarityFloor(lengths({}), -1.0))
    third = filler.fill(["{mask}很好"], top=3)[0][2].text
    assert third != best
    floor = SimilarityFloor(lengths({**vectors, third: [2.0, 0.1]}), 0.5)
    assert rewrite_texts(filler, TEXTS[3:], {"天气": 1.0}, floor) == [third]


def test_words_with_less_than_half_of_the_highest_score_stay(filler: WordFiller) -> None:
    floor = SimilarityFloor(lengths({}), -1.0)
    (found,) = rewrite_texts(filler, TEXTS[:1], {"公园": 0.9, "散步": 0.4}, floor)
    assert found is not None and "公园" not in found and "散步" in found
    assert rewrite_texts(filler, TEXTS[:1], {"公园": 0.9}, floor, least_score=1.0) == TEXTS[:1]


def test_own_vectors_are_the_mean_over_tokens(loaded: Any) -> None:
    model, tokenizer = loaded
    texts = [TEXTS[0], TEXTS[3]]
    with torch.no_grad():
        expected = [model.model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0) for text in texts]
    np.testing.assert_allclose(mean_encoder(*loaded)(texts), torch.stack(expected).numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no word"),
        ("坏\tx\n", ":1: 'x' is no score"),
        ("坏\t-1", ":1:"),
        ("好\n坏\tnan", ":2: 'nan'"),
        ("好\n坏\tinf", ":2: 'inf'"),
        ("好\n坏\t\n", ":2: '' is no score"),
        ("好\n\t0.5\n", ":2: '0.5' is no score above 0 of ''"),
        ("坏\t1\t2", ":1:"),
        ("坏\t1\n好\n坏\t2", ":3: '坏' has the scores 1 and 2"),
    ],
)
def test_a_broken_lexicon_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "words.txt").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_lexicon(tmp_path / "words.txt")


def test_a_lexicon_is_read_with_blanks_around_and_lines_that_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_bytes("\ufeff坏\t2\r\n\n  很 坏 \t 0.5\n坏\t2.0\nABC\n".encode())
    assert read_lexicon(tmp_path / "words.txt") == {"坏": 2.0, "很 坏": 0.5, "ABC": 1.0}


# Long texts. The tiny model reads 128 tokens, so pieces have 31 characters.


def test_pieces_join_to_the_text_and_end_where_sentences_do(filler: WordFiller) -> None:
    words = [*"我们去公园散步。", *"他喜欢读书！", *("天气很好，" * 10), "a" * 100, *"好。\n", *("😀" * 40)]
    pieces = cut_pieces(words, filler)
    assert [word for piece in pieces for word in piece] == words
    texts = ["".join(piece) for piece in pieces]
    assert texts[0] == "我们去公园散步。他喜欢读书！" and "a" * 100 in texts
    assert all(len(text) <= 31 or text == "a" * 100 for text in texts)
    assert all(len(filler.tokenizer(text)["input_ids"]) <= 128 for text in texts)
    assert cut_pieces(list("天气很好"), filler) == [list("天气很好")] and cut_pieces([], filler) == [[]]


def test_a_text_of_a_hundred_thousand_characters_is_rewritten_as_its_pieces_alone(filler: WordFiller) -> None:
    floor = SimilarityFloor(lengths({}), -1.0)
    piece, other = TEXTS[0] * 3, "他喜欢读书写字。" * 3
    text = other * 2_083 + piece + other * 2_083
    assert len(text) > 99_000
    found = rewrite_texts(filler, [piece, text, other], {"公园": 1.0}, floor)
    assert found[0] not in (None, piece) and found[2] == other
    assert found[1] == other * 2_083 + str(found[0]) + other * 2_083
    # Where one piece finds no words the text has none, and half of the highest score is that of the whole text.
    barred = SimilarityFloor(lengths({piece: [1.0, 0.0]}), 0.5)
    assert rewrite_texts(filler, [other + piece], {"公园": 1.0}, barred) == [None]
    (kept,) = rewrite_texts(filler, [other + piece], {"公园": 0.4, "读书": 1.0}, floor)
    assert kept is not None and kept.endswith(piece) and "读书" not in kept


def test_of_a_text_of_a_hundred_thousand_characters_the_words_that_chance_names_change(filler: WordFiller) -> None:
    text = TEXTS[0] * 12_500
    words = SEGMENTER.cut(text)
    row, places = np.zeros(len(words), dtype=np.int64), np.arange(len(words))
    chosen = CounterRandom(5, 0, np.array([0]))("chosen", row, places) < 2e-4
    assert 5 < sum(map(bool, chosen)) < 30
    ((copy,),) = augment_texts(filler, SEGMENTER, [text], share=2e-4, seed=5)
    is_word = [one and word != "。" for one, word in zip(chosen, words, strict=True)]
    pattern = "".join("[一-龥]+" if one else re.escape(word) for one, word in zip(is_word, words, strict=True))
    assert copy != text and re.fullmatch(pattern, copy)


# The commands


def test_the_commands_keep_the_other_fields(saved_checkpoint: Path, tmp_path: Path) -> None:
    rows = [{"text": "我们去公园散步。", "label": 3}, {"text": "天气很好", "label": 1}]
    data, output, words = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "words.txt"
    data.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    words.write_text("公园\n散步\t1\n", encoding="utf-8")
    given = ["--model", str(saved_checkpoint), "--input_file", str(data), "--output_file", str(output), "--overwrite"]
    for command, text in (("fill", "text"), ("augment", "original"), ("rewrite", "text")):
        own = {
            "rewrite": ["--lexicon", str(words)],
            "augment": ["--copies", "2"],
            "fill": ["--blank", "很", "--top", "2"],
        }
        if command == "fill":
            data.write_text("\n".join(json.dumps({**row, "text": f"他很好{row['label']}"}) for row in rows), "utf-8")
        assert main([command, *given, *own[command]]) == 0
        data.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
        found = [json.loads(line) for line in output.read_text(encoding="utf-8").split("\n")[:-1]]
        assert {row["label"] for row in found} == {1, 3} and len(found) == (4 if command == "augment" else 2)
        assert all(row[text] for row in found)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fill", "--model", "m"], "give one of both"),
        (["fill", "--model", "m", "--texts", "a", "--input_file", "b"], "give one of both"),
        (["fill", "--model", "m", "--input_file", "nowhere"], "no texts at nowhere"),
        (["fill", "--model", "m", "--texts", "a", "--tokens", "1..2", "--candidates", "b"], "have their own tokens"),
        (
            ["fill", "--model", "m", "--texts", "a", "--output_file", "b", "--form", "table"],
            "form=table is for the screen",
        ),
        (["rewrite", "--model", "m", "--texts", "a"], "no lexicon is given"),
        (["augment", "--model", "m", "--texts", "a", "--share", "2"], "share=2.0 is not a number in [0, 1]"),
        (["augment", "--model", "m", "--texts", "a", "--min_similarity", "nan"], "min_similarity=nan is not a number"),
        (["augment", "--model", "m", "--texts", "a", "--similarity_model", "s"], "with min_similarity alone"),
    ],
)
def test_a_wrong_option_is_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert message in capsys.readouterr().err
