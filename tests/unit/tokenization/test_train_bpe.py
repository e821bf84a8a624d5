import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from chinese_modernbert.tokenization import (
    TokenizerArguments,
    fold_width,
    load_segmenter,
    load_tokenizer,
    run_tokenizer_training,
    tokenizer_hash,
    train_tokenizer,
)
from chinese_modernbert.tokenization.train_bpe import FIXED_TOKENS

TRICKY = st.sampled_from(
    [
        "\U00030000",
        "𠮷",
        "👨‍👩‍👧",
        "かな",
        "한글",
        "العربية",
        "e\u0301",
        "\x00",
        "\ufe0f",
        "\r\n",
        "  ",
        "Ａ１",
        "\u3000",
        "<0xE4>",
    ]
    + ["[MASK]x", "▁", "##", "Ġ", " the", "\u200d", "\ufdd0", "我们在北京", "12345", "……", "\u2028"]
)
ANY_TEXT = st.lists(st.one_of(TRICKY, st.text(st.characters(exclude_categories=("Cs",)), max_size=6))).map("".join)


def test_special_tokens_and_bytes_come_first(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.convert_ids_to_tokens(range(6)) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<0x00>"]
    assert len(tokenizer) == 376
    assert tokenizer.convert_ids_to_tokens(260) == "<0xFF>"


@given(text=ANY_TEXT)
def test_decoding_gives_back_the_folded_text_without_unknown_tokens(
    tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == fold_width(text)
    assert tokenizer.unk_token_id not in ids


# White space in the sense of Unicode, which the offsets leave out; Python's isspace has four control characters more.
BLANKS = "\t\n\x0b\x0c\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"


@given(text=ANY_TEXT)
def test_every_offset_is_the_text_of_its_token_without_its_blanks(
    tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    folded, position = fold_width(text), 0
    for token, (start, end) in zip(encoding.tokens(), encoding["offset_mapping"], strict=True):
        piece = folded[start:end]
        if token.startswith("<0x") and piece != token:  # a byte of one character, or a blank that has no token
            assert len(piece) <= 1
            assert bytes([int(token[3:5], 16)]) in folded[end - 1 : end].encode()
            position = end
            continue
        assert piece == token.strip(BLANKS)
        assert text[position:start].strip(BLANKS) == ""
        position = end
    assert text[position:].strip(BLANKS) == ""


def test_an_answer_never_begins_with_the_blank_of_its_first_token(tokenizer: PreTrainedTokenizerFast) -> None:
    text = "在 The model 大学"
    assert " The" in tokenizer.tokenize(text)
    encoded = tokenizer("北京", text, return_offsets_mapping=True)
    parts = [text[a:b] for (a, b), part in zip(encoded["offset_mapping"], encoded.sequence_ids(), strict=True) if part]
    assert "".join(parts) == text.replace(" ", "")
    assert all(part == part.strip() for part in parts)


def test_merges_stay_inside_words_and_free_merges_do_not() -> None:
    texts = ["我们在北京的图书馆"] * 50
    confined = train_tokenizer(texts, TokenizerArguments(vocab_size=FIXED_TOKENS + 9 + 4))
    free = train_tokenizer(texts, TokenizerArguments(vocab_size=FIXED_TOKENS + 9 + 7, segmenter="none"))
    words = load_segmenter().cut(texts[0])
    assert confined.tokenize(texts[0]) == words
    assert max(map(len, free.tokenize(texts[0]))) > max(map(len, words))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("北京ab12345", ["北京", "ab", "123", "45"]),
        ("ab  cd, ef。\n ", ["ab", " ", " cd", ",", " ef", "。", "\n "]),
        ("カナかな한글Жд", ["カナ", "かな", "한글", "Жд"]),
        (
            "他说:“《书》、『「名」』”……",
            ["他说", ":", "“", "《", "书", "》", "、", "『", "「", "名", "」", "』", "”", "……"],
        ),
        ('》》，，。(([[""<<=>!?――', [*"》》", "，，", "。", *'(([[""', "<<", "=", ">", "!", "?", "――"]),
    ],
)
def test_pre_tokens_part_scripts_digits_spaces_and_punctuation(
    tokenizer: PreTrainedTokenizerFast, text: str, tokens: list[str]
) -> None:
    pieces = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)
    assert [piece for piece, _ in pieces] == tokens


def test_same_input_gives_the_same_file(sentences: list[str], tokenizer: PreTrainedTokenizerFast) -> None:
    again = train_tokenizer(iter(sentences), TokenizerArguments(vocab_size=376, limit_alphabet=75))
    assert tokenizer_hash(again) == tokenizer_hash(tokenizer)


def test_rare_characters_become_bytes_and_never_join_their_neighbours() -> None:
    texts = ["天龘地"] * 30 + ["天", "地"] * 100
    small = train_tokenizer(texts, TokenizerArguments(vocab_size=FIXED_TOKENS + 2, limit_alphabet=2, segmenter="none"))
    assert small.tokenize("天龘地") == ["天", "<0xE9>", "<0xBE>", "<0x98>", "地"]
    with pytest.raises(ValueError, match=f"{FIXED_TOKENS + 2} tokens were possible"):
        train_tokenizer(texts, TokenizerArguments(vocab_size=300, limit_alphabet=2, segmenter="none"))


def test_cross_word_tokens_are_the_most_frequent_pairs_and_leave_words_as_they_were() -> None:
    texts = ["我们在北京的图书馆"] * 50 + ["他在公园"] * 100
    options = {"limit_alphabet": 12, "vocab_size": FIXED_TOKENS + 19}
    crossing = train_tokenizer(texts, TokenizerArguments(cross_word_tokens=2, **options))
    assert crossing.tokenize("他在公园") == ["他在", "公园"]
    assert crossing.tokenize("在公园") == ["在公园"]
    assert crossing.tokenize("我们北京的") == ["我们", "北京", "的"]


def test_transformers_own_retraining_forgets_the_byte_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    """What docs/tokenization.md warns of; where this fails, Transformers has mended it, and the warning can go."""
    again = tokenizer.train_new_from_iterator(["我们在北京"] * 50, 320)
    assert again.unk_token_id in again("𠮷野家")["input_ids"]
    assert tokenizer.unk_token_id not in tokenizer("𠮷野家")["input_ids"]


def test_pairs_padding_truncation_and_split_words_work(tokenizer: PreTrainedTokenizerFast) -> None:
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    first, second = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("北京", "上海的公园"))
    assert tokenizer("北京", "上海的公园")["input_ids"] == [cls, *first, sep, *second, sep]
    batch = tokenizer(["北京", "上海的公园"], padding=True, truncation=True, max_length=4)
    assert [len(row) for row in batch["input_ids"]] == [4, 4]
    assert batch["input_ids"][0][-1] == tokenizer.pad_token_id
    assert sorted(batch) == ["attention_mask", "input_ids"]
    words = ["我们", "在", "北京大学", "工作"]
    encoding = tokenizer(words, is_split_into_words=True)
    assert sorted({i for i in encoding.word_ids() if i is not None}) == [0, 1, 2, 3]
    assert tokenizer("[MASK]京")["input_ids"][1] == tokenizer.mask_token_id


def test_stock_class_loads_the_folder_without_trust(tmp_path: Path, sentences: list[str]) -> None:
    (tmp_path / "corpus.txt").write_text("\n\n".join(sentences), encoding="utf-8")
    args = TokenizerArguments(corpus=[str(tmp_path)], output_dir=str(tmp_path / "out"), vocab_size=376)
    folder = run_tokenizer_training(args)
    assert json.loads((folder / "tokenizer_config.json").read_text())["tokenizer_class"] == "PreTrainedTokenizerFast"
    loaded = AutoTokenizer.from_pretrained(folder)
    assert loaded.model_max_length == 8192
    assert loaded.model_input_names == ["input_ids", "attention_mask"]
    assert loaded.mask_token == "[MASK]"
    assert loaded.decode(loaded("我们 [x]")["input_ids"], skip_special_tokens=True) == "我们 [x]"
    assert tokenizer_hash(load_tokenizer(folder)) == tokenizer_hash(loaded)
    assert {path.name for path in folder.iterdir()} >= {"tokenizer.json", "special_tokens_map.json"}
    with pytest.raises(FileExistsError, match="is not empty"):
        run_tokenizer_training(args)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocab_size": 100}, "vocab_size=100 is too small"),
        ({"vocab_size": 300, "limit_alphabet": 100}, "limit_alphabet=100 does not fit vocab_size=300"),
        ({"min_frequency": 0}, "min_frequency=0 must be at least 1"),
        ({"max_token_length": 0}, "max_token_length=0"),
        ({"sample_share": 0}, "sample_share=0 must be above 0"),
        ({"cross_word_tokens": 32768}, "cross_word_tokens=32768 must be"),
        ({"cross_word_tokens": 1, "segmenter": "none"}, "cross_word_tokens needs a segmenter"),
    ],
)
def test_impossible_arguments_are_refused_at_construction(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TokenizerArguments(**options)  # type: ignore[arg-type]


def test_unusable_corpora_are_clear_errors(sentences: list[str]) -> None:
    with pytest.raises(ValueError, match="vocab_size=32768 is more than this corpus allows"):
        train_tokenizer(sentences, TokenizerArguments())
    with pytest.raises(ValueError, match="no text to train on"):
        train_tokenizer([], TokenizerArguments())
    with pytest.raises(ValueError, match="text 2 holds the lone surrogate"):
        train_tokenizer(["a", "\ud800"], TokenizerArguments())
