from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from chinese_modernbert.tokenization import DocumentEncoder, WordSegmenter, encode_documents, fold_width, load_segmenter
from chinese_modernbert.tokenization.word_starts import word_ids_from_starts, word_starts_from_offsets
from reference.word_starts import word_starts as slow_word_starts

MIXED = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "我们",
                "北京大学",
                "图书馆",
                "在",
                "Hello",
                " world",
                "don't",
                " ",
                "\n",
                "３．１４",
                "1,024.5",
                "𠮷",
                "👨‍👩‍👧",
            ]
        ),
        st.sampled_from(
            ["http://a.b/c?d=1", "me@example.com", "[MASK]", "<0x41>", "。", "……", "é", "カタカナ", "한국"]
        ),
        st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=5),
    ),
    max_size=12,
).map("".join)


def units(tokenizer: PreTrainedTokenizerFast, segmenter: WordSegmenter, text: str) -> list[str]:
    (document,) = encode_documents(tokenizer, segmenter, [text])
    groups: list[list[int]] = []
    for index, starts in zip(document.input_ids.tolist(), document.word_starts.tolist(), strict=True):
        if starts:
            groups.append([])
        groups[-1].append(index)
    return [tokenizer.decode(group) for group in groups]


@given(text=MIXED)
def test_starts_equal_the_components_of_the_overlap_graph(
    tokenizer: PreTrainedTokenizerFast, segmenter: WordSegmenter, text: str
) -> None:
    (document,) = encode_documents(tokenizer, segmenter, [text])
    encoding = DocumentEncoder(tokenizer, segmenter)._backend.encode(fold_width(text), add_special_tokens=False)
    assert document.input_ids.tolist() == encoding.ids
    folded = fold_width(text)
    assert document.word_starts.tolist() == slow_word_starts(folded, segmenter.cut(folded), encoding.offsets)


@given(texts=st.lists(MIXED, max_size=5))
def test_a_batch_gives_what_its_texts_give_alone(
    tokenizer: PreTrainedTokenizerFast, segmenter: WordSegmenter, texts: list[str]
) -> None:
    together = encode_documents(tokenizer, segmenter, texts)
    alone = [encode_documents(tokenizer, segmenter, [text])[0] for text in texts]
    assert [d.input_ids.tolist() for d in together] == [d.input_ids.tolist() for d in alone]
    assert [d.word_starts.tolist() for d in together] == [d.word_starts.tolist() for d in alone]


def test_a_text_with_another_length_in_tokens_sends_its_batch_through_the_offsets(
    tokenizer_folder: object, segmenter: WordSegmenter
) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tokenizer_folder)
    tokenizer.add_tokens([AddedToken("心肌梗死", lstrip=True)])
    texts = ["我们在北京", "患  心肌梗死𠮷", ""]
    first, second, empty = encode_documents(tokenizer, segmenter, texts)
    assert first.word_starts.tolist() == encode_documents(tokenizer, segmenter, texts[:1])[0].word_starts.tolist()
    assert int(second.word_starts.sum()) == 3
    assert len(empty.word_starts) == 0


def test_words_numbers_addresses_and_latin_words_are_units(
    tokenizer: PreTrainedTokenizerFast, segmenter: WordSegmenter
) -> None:
    text = "北京大学用1,024.5元,don't看https://a.cn/b?c=1和me@example.com"
    expected = ["北京大学", "用", "1,024.5", "元", ",", "don't", "看", "https://a.cn/b?c=1", "和", "me@example.com"]
    assert units(tokenizer, segmenter, text) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["5G网络", "在", "T恤", "上"], ["5G网络", "在", "T恤", "上"]),
        (["1月", "1", "日", "维生素C", "不足"], ["1月", "1", "日", "维生素C", "不足"]),
        (["列夫·托尔斯泰", "的", "New York", "。"], ["列夫·托尔斯泰", "的", "New York", "。"]),
        (["Ha", "l", "lo", "世", "界"], ["Hallo", "世", "界"]),
        (["bo\u0301", "o\u0304k", "书"], ["bo\u0301o\u0304k", "书"]),
    ],
)
def test_words_may_mix_scripts_but_never_cut_a_latin_word(
    tokenizer: PreTrainedTokenizerFast, words: list[str], expected: list[str]
) -> None:
    class Given:
        def cut(self, text: str) -> list[str]:
            return words

    assert units(tokenizer, Given(), "".join(words)) == expected


def test_a_token_across_a_word_border_joins_both_words(tokenizer: PreTrainedTokenizerFast) -> None:
    class OneCharacterWords:
        def cut(self, text: str) -> list[str]:
            return list(text)

    assert len(tokenizer.tokenize("图书馆北京")) == 2
    assert units(tokenizer, OneCharacterWords(), "图书馆北京") == ["图书馆", "北京"]


def test_a_leading_space_belongs_to_its_latin_word(
    tokenizer: PreTrainedTokenizerFast, segmenter: WordSegmenter
) -> None:
    assert units(tokenizer, segmenter, "The model, version") == ["The", " model", ",", " version"]


class GivenLengths:
    """Words of given lengths."""

    def __init__(self, lengths: list[int]) -> None:
        self.lengths = lengths

    def cut(self, text: str) -> list[str]:
        ends = [0, *accumulate(self.lengths)]
        return [text[start:end] for start, end in pairwise(ends)]


@given(words=st.lists(st.integers(1, 4), min_size=1, max_size=8), tokens=st.lists(st.integers(1, 5), max_size=9))
def test_starts_from_offsets_equal_the_overlap_graph_with_pieces_of_a_character_and_with_special_tokens(
    words: list[int], tokens: list[int]
) -> None:
    text = "".join(chr(0x4E00 + number) for number in range(sum(words)))
    ends = [0, *(end for end in accumulate(tokens) if end <= len(text))]
    spans = [span for span in pairwise(ends) for _ in range(1 + 2 * (span[1] - span[0] == 1))]  # a character in bytes
    segmenter = GivenLengths(words)
    expected = slow_word_starts(text, segmenter.cut(text), spans)
    assert word_starts_from_offsets(text, spans, segmenter).tolist() == expected
    special = np.array([True, *[False] * len(spans), True])
    starts = word_starts_from_offsets(text, [(0, 0), *spans, (0, 0)], segmenter)
    found = word_ids_from_starts(starts, np.zeros(len(special), dtype=int), special)
    assert found[special].tolist() == [-1, -1]
    assert (np.diff(found[1:-1], prepend=-1) != 0).tolist() == expected


def test_blanks_that_the_offsets_leave_out_are_units_all_the_same(
    tokenizer: PreTrainedTokenizerFast, segmenter: WordSegmenter
) -> None:
    text = " 我们 在  北京 The\nmodel 大学 "
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    assert any(start == end for start, end in encoded["offset_mapping"])
    starts = word_starts_from_offsets(text, encoded["offset_mapping"], segmenter)
    assert starts.tolist() == encode_documents(tokenizer, segmenter, [text])[0].word_starts.tolist()


def test_special_tokens_never_come_from_text(tokenizer: PreTrainedTokenizerFast, segmenter: WordSegmenter) -> None:
    text = "".join(tokenizer.all_special_tokens) + "<0x41>"
    (document,) = encode_documents(tokenizer, segmenter, [text])
    assert not set(document.input_ids.tolist()) & set(tokenizer.all_special_ids)
    assert tokenizer.decode(document.input_ids) == text
    assert tokenizer.mask_token_id in tokenizer(text)["input_ids"]  # the user's own tokenizer is left as it was


def test_bytes_of_one_character_are_one_unit(tokenizer: PreTrainedTokenizerFast, segmenter: WordSegmenter) -> None:
    (document,) = encode_documents(tokenizer, segmenter, ["𠮷,𠮷"])
    assert document.word_starts.tolist() == [True, False, False, False, True, True, False, False, False]


def test_empty_and_long_texts_and_settings_of_earlier_calls_do_no_harm(
    tokenizer: PreTrainedTokenizerFast, segmenter: WordSegmenter
) -> None:
    tokenizer("我们", padding="max_length", truncation=True, max_length=8)
    empty, long = encode_documents(tokenizer, segmenter, ["", "好" * 1_000_000])
    assert len(empty.input_ids) == len(empty.word_starts) == 0
    assert len(long.input_ids) == len(long.word_starts) == len(tokenizer.tokenize("好")) * 1_000_000
    assert (str(long.input_ids.dtype), str(long.word_starts.dtype)) == ("uint32", "bool")


def test_added_tokens_are_seen_after_they_were_added(tokenizer_folder: object, segmenter: WordSegmenter) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tokenizer_folder)
    before = encode_documents(tokenizer, segmenter, ["心肌梗死"])[0]
    tokenizer.add_tokens(["心肌梗死"])
    after = encode_documents(tokenizer, segmenter, ["心肌梗死"])[0]
    assert len(before.input_ids) > 1
    assert after.input_ids.tolist() == [len(tokenizer) - 1]


def test_a_tokenizer_that_rewrites_the_text_is_handled_by_its_offsets(segmenter: WordSegmenter) -> None:
    backend = Tokenizer(models.WordLevel({"[UNK]": 0, "北京": 1, "大学": 2, "hello": 3}, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    (document,) = encode_documents(tokenizer, segmenter, ["北京  Hello 天 大学"])
    assert document.input_ids.tolist() == [1, 3, 0, 2]
    assert document.word_starts.tolist() == [True] * 4


def test_bad_texts_and_bad_segmenters_are_clear_errors(
    tokenizer: PreTrainedTokenizerFast, segmenter: WordSegmenter
) -> None:
    class Stripping:
        def cut(self, text: str) -> list[str]:
            return text.split()

    with pytest.raises(ValueError, match="text 1 of the batch holds the lone surrogate"):
        encode_documents(tokenizer, segmenter, ["好", "\udc00"])
    with pytest.raises(ValueError, match="Stripping have 2 characters, the text 3"):
        encode_documents(tokenizer, Stripping(), ["a b"])


@pytest.mark.parametrize("name", ["jieba", "none"])
def test_other_segmenters_fit_the_same_way(tokenizer: PreTrainedTokenizerFast, name: str) -> None:
    assert "".join(units(tokenizer, load_segmenter(name), "我们在北京大学 model 3.5")) == "我们在北京大学 model 3.5"
