"""Words for blanks against twins that mask, run and read one row at a time, and against the stock pipeline."""

import logging
import math
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline

from chinese_modernbert.modeling.blanks_chinese_modernbert import WordTokens
from chinese_modernbert.modeling.filling_chinese_modernbert import WordFiller, fill_words
from reference.tiny_bert import write_tiny_bert

EVERYTHING = 100_000


@pytest.fixture(scope="module", params=["ours", "bert"])
def loaded(request: pytest.FixtureRequest, saved_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    is_bert = request.param == "bert"
    folder = write_tiny_bert(tmp_path_factory.mktemp("model") / "bert") if is_bert else saved_checkpoint
    return AutoModelForMaskedLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def ours(saved_checkpoint: Path) -> Any:
    return AutoModelForMaskedLM.from_pretrained(saved_checkpoint).eval(), AutoTokenizer.from_pretrained(
        saved_checkpoint
    )


def ids_of(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@torch.no_grad()
def mask_logs(model: Any, tokenizer: Any, pieces: list[Any]) -> torch.Tensor:
    """Return log-probabilities `(masks, vocabulary)` of a row of given texts and tokens."""
    ids = [tokenizer.cls_token_id]
    for piece in pieces:
        ids += ids_of(tokenizer, piece) if isinstance(piece, str) else list(piece)
    row = torch.tensor([[*ids, tokenizer.sep_token_id]])
    return model(input_ids=row).logits[row == tokenizer.mask_token_id].log_softmax(-1)


def slow_log(model: Any, tokenizer: Any, before: list[Any], word: list[int], after: list[Any], shown: bool) -> float:
    """Return the log-probability of a word's tokens; `shown`: each with those before it in sight."""
    mask, total = tokenizer.mask_token_id, 0.0
    for place, token in enumerate(word):
        seen = word[:place] if shown else []
        logs = mask_logs(model, tokenizer, [*before, [*seen, *[mask] * (len(word) - len(seen))], *after])
        total += float(logs[place - len(seen), token])
    return total


# One blank


def test_a_word_of_two_tokens_has_the_product_of_what_the_stock_pipeline_gives_each_mask(ours: Any) -> None:
    served = pipeline("fill-mask", model=ours[0], tokenizer=ours[1], top_k=len(ours[1]))
    first, second = served("北京是[MASK][MASK]。")  # two lists that know nothing of each other
    scores = [{one["token"]: one["score"] for one in own} for own in (first, second)]
    (found,) = fill_words(*ours, ["北京是{mask}。"], tokens=2, top=30)
    for one in found:
        a, b = one.words[0].ids
        assert one.words[0].probability == pytest.approx(scores[0][a] * scores[1][b], rel=1e-3)


@pytest.mark.parametrize("tokens_per_batch", [1, 8_192])
def test_the_first_words_are_the_best_of_all_pairs_of_characters(loaded: Any, tokens_per_batch: int) -> None:
    model, tokenizer = loaded
    names = [name for name in tokenizer.get_vocab() if len(name) == 1 and "一" <= name <= "鿿"]
    logs = mask_logs(model, tokenizer, ["北京是", [tokenizer.mask_token_id] * 2, "。"])
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in names}
    pairs = {a + b: float(logs[0, ids[a]] + logs[1, ids[b]]) for a, b in product(names, names)}
    filler = WordFiller(model, tokenizer, tokens_per_batch, width=len(tokenizer))
    (found,) = filler.fill(["北京是{mask}。"], tokens=2, top=EVERYTHING, accept=lambda word: word in pairs)
    assert len(found) > 8
    assert [one.words[0].text for one in found] == sorted(pairs, key=lambda pair: -pairs[pair])[: len(found)]
    assert [one.score for one in found] == pytest.approx(
        [log / math.sqrt(2) for log in sorted(pairs.values())[::-1][: len(found)]], abs=1e-3
    )


@pytest.mark.parametrize("reveal", ["at_once", "one_by_one"])
def test_logs_are_those_of_one_row_at_a_time(loaded: Any, reveal: Any) -> None:
    filler = WordFiller(*loaded, width=12)
    (found,) = filler.fill(["北京是{mask}天气。"], tokens=(1, 3), top=EVERYTHING, reveal=reveal)
    assert {len(one.words[0].ids) for one in found} == {1, 2, 3}
    for one in found[::4]:
        word = one.words[0]
        expected = slow_log(*loaded, ["北京是"], list(word.ids), ["天气。"], reveal == "one_by_one")
        assert sum(word.logs) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("reveal", ["at_once", "one_by_one"])
def test_given_words_are_ranked_by_all_of_their_tokens(ours: Any, reveal: Any) -> None:
    words = ["上海", "饕餮", "𠮷", "首都"]
    (found,) = fill_words(*ours, ["北京是{mask}。"], candidates=words, reveal=reveal)
    assert sorted(one.words[0].text for one in found) == sorted(words)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for one in found:
        ids = ids_of(ours[1], one.words[0].text)
        expected = slow_log(*ours, ["北京是"], ids, ["。"], reveal == "one_by_one")
        assert sum(one.words[0].logs) == pytest.approx(expected, abs=1e-3)
    assert len(ids_of(ours[1], "饕餮")) == 6  # spelled in bytes here


# Several blanks


def slow_fillings(loaded: Any, parts: list[str], words: list[str], order: list[int] | None) -> dict[str, float]:
    """Return every filling of blanks with given words of one token, filled in an order or the surest first."""
    model, tokenizer = loaded
    mask, found = [tokenizer.mask_token_id], {}

    def go_on(chosen: dict[int, str], score: float) -> None:
        count = len(parts) - 1
        if len(chosen) == count:
            found["".join(part + chosen.get(number, "") for number, part in enumerate(parts))] = score
            return
        empty = [number for number in range(count) if number not in chosen]
        pieces: list[Any] = []
        for number, part in enumerate(parts):
            pieces += [part] + ([chosen.get(number, mask)] if number < count else [])
        rows = dict(zip(empty, mask_logs(model, tokenizer, pieces), strict=True))
        logs = {place: {word: float(row[ids_of(tokenizer, word)[0]]) for word in words} for place, row in rows.items()}
        surest = max(empty, key=lambda place: max(logs[place].values()))
        place = order[len(chosen)] if order else surest
        for word, log in logs[place].items():
            go_on({**chosen, place: word}, score + log)

    go_on({}, 0.0)
    return found


@pytest.mark.parametrize("order", ["confidence", "left_to_right", [2, 0, 1]])
def test_blanks_are_filled_in_any_order_as_the_twin_does(loaded: Any, order: Any) -> None:
    words, parts = ["京", "天", "书"], ["北", "是", "气，读", "。"]
    expected = slow_fillings(
        loaded, parts, words, {"left_to_right": [0, 1, 2]}.get(order) if isinstance(order, str) else order
    )
    filler = WordFiller(*loaded, width=EVERYTHING)
    (found,) = filler.fill(["{mask}".join(parts)], candidates=words, order=order, top=EVERYTHING)
    assert {one.text: one.score for one in found} == pytest.approx(expected, abs=1e-3)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert len(found) == 27


def test_each_blank_of_each_text_may_have_words_of_its_own(ours: Any) -> None:
    texts, words = ["{mask}是{mask}。", "他{mask}书"], [[["北京", "上海"], ["首都"]], [["读"]]]
    found = fill_words(*ours, texts, candidates=words)
    assert {one.text for one in found[0]} == {"北京是首都。", "上海是首都。"}
    assert [one.text for one in found[1]] == ["他读书"]


# What is given and what is suggested


@pytest.mark.parametrize(
    "text",
    [
        "ＡＢＣ，１２３{mask}！",
        "繁體中文的{mask}很漂亮",
        "好😀👨‍👩‍👧{mask}\t\n 。",
        "[CLS]他说[SEP]{mask}[MASK]",
        "{mask}",
        "é{mask}e\u0301",
    ],
)
def test_given_text_never_changes(ours: Any, text: str) -> None:
    before, after = text.split("{mask}")
    (found,) = fill_words(*ours, [text], top=10)
    assert found
    for one in found:
        assert one.text == before + one.words[0].text + after


def test_a_special_token_in_the_text_is_read_as_plain_text(ours: Any) -> None:
    (found,) = fill_words(*ours, ["[MASK]是{mask}。"], tokens=1, top=1)
    tokenizer = ours[1]
    plain = tokenizer("[MASK]是", add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert tokenizer.mask_token_id not in plain
    logs = mask_logs(*ours, [plain, [tokenizer.mask_token_id], "。"])
    assert found[0].words[0].logs[0] == pytest.approx(float(logs[0, found[0].words[0].ids[0]]), abs=1e-4)


def test_nothing_but_words_is_ever_suggested(ours: Any) -> None:
    filler = WordFiller(*ours, width=40)
    found = filler.fill(["北京是{mask}。", "iPhone{mask}和{mask}4"], tokens=(1, 2), top=EVERYTHING)
    special = set(ours[1].all_special_ids)
    for one in [one for own in found for one in own]:
        for word in one.words:
            assert word.text and not special & set(word.ids) and "\ufffd" not in word.text
            assert not any(character.isspace() for character in word.text)
            assert len({character.isalnum() for character in word.text}) == 1
    first, second = {one.words[0].text for one in found[1]}, {one.words[1].text for one in found[1]}
    assert not any(word[0].isascii() and word[0].isalnum() for word in first)
    assert not any(word[-1].isascii() and word[-1].isalnum() for word in second)


def test_bytes_make_whole_characters_and_every_character_can_be_made(ours: Any) -> None:
    tokens = WordTokens(ours[1], len(ours[1]))
    for word in ("饕", "𠮷", "é", "饕餮", "京𠮷"):
        ids = tuple(ids_of(ours[1], word))
        steps = [tokens.may_follow(ids[:place], ids[place], len(ids) - place - 1) for place in range(len(ids))]
        assert all(steps) and all(tokens.allowed[one] for one in ids) and tokens.word(ids) == word
        assert not all(tokens.may_follow(ids[:place], one, len(ids) - place - 2) for place, one in enumerate(ids[:-1]))
    byte_ids = ours[1].convert_tokens_to_ids([f"<0x{byte:02X}>" for byte in range(256)])
    accepted = [pair for pair in product(range(256), repeat=2) if _is_made(tokens, [byte_ids[one] for one in pair])]
    decoded = [pair for pair in product(range(256), repeat=2) if _is_utf8(bytes(pair))]
    assert accepted == [pair for pair in decoded if _is_word(bytes(pair).decode())]


def _is_made(tokens: WordTokens, ids: list[int]) -> bool:
    steps = [tokens.may_follow(tuple(ids[:place]), one, len(ids) - place - 1) for place, one in enumerate(ids)]
    return all(steps) and all(tokens.allowed[one] for one in ids) and tokens.word(ids) is not None


def _is_utf8(content: bytes) -> bool:
    try:
        return bool(content.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def _is_word(text: str) -> bool:
    is_shown = all(one.isprintable() and not one.isspace() for one in text)
    return is_shown and (all(map(str.isalnum, text)) or (len(text) == 1 and not text.isalnum()))


def test_two_ways_to_write_one_word_are_joined(saved_checkpoint: Path, ours: Any) -> None:
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(saved_checkpoint).eval(), ours[1]
    name = next(one for one in tokenizer.get_vocab() if len(one) == 2 and all("一" <= part <= "鿿" for part in one))
    ways = [[tokenizer.convert_tokens_to_ids(name)], tokenizer.convert_tokens_to_ids(list(name))]
    with torch.no_grad():  # both are among the best
        model.decoder.bias[[one for way in ways for one in way]] += 8.0
    scores = [slow_log(model, tokenizer, ["他"], way, ["书"], False) / math.sqrt(len(way)) for way in ways]
    (found,) = fill_words(model, tokenizer, ["他{mask}书"], tokens=(1, 2), top=EVERYTHING)
    assert set(Counter(one.text for one in found).values()) == {1}
    (joined,) = [one for one in found if one.words[0].text == name]
    assert math.exp(joined.score) == pytest.approx(sum(map(math.exp, scores)), rel=1e-3)
    assert min(map(math.exp, scores)) > 1e-2 * sum(map(math.exp, scores))


# Drawing


def test_a_seed_draws_words_by_their_probabilities(ours: Any) -> None:
    words = ["京", "天", "书"]
    (best,) = fill_words(*ours, ["他{mask}书"], candidates=words)
    total = sum(math.exp(one.score) for one in best)
    texts = ["他{mask}书"] * 600
    drawn = fill_words(*ours, texts, candidates=words, seed=1)
    assert (
        drawn
        == fill_words(*ours, texts, candidates=words, seed=1)
        != fill_words(*ours, texts, candidates=words, seed=2)
    )
    assert all(sorted(one.text for one in own) == sorted(one.text for one in best) for own in drawn)
    counts = Counter(own[0].text for own in drawn)
    for one in best:
        share = math.exp(one.score) / total
        assert counts[one.text] / 600 == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 600) + 1e-3)


# Input that does not fit


def test_of_a_long_text_the_model_sees_what_is_around_the_blank(ours: Any, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("transformers").propagate = True
    long = "他喜欢读书。" * 8_000 + "北京是{mask}，" + "天气很好。" * 10_000
    with caplog.at_level("WARNING"):
        (found,) = fill_words(*ours, [long], tokens=1)
    assert "is longer than the 128 tokens" in caplog.text and "it sees 62 before the first blank and 63" in caplog.text
    before, after = (ids_of(ours[1], part) for part in long.split("{mask}"))
    logs = mask_logs(*ours, [before[-62:], [ours[1].mask_token_id], after[:63]])
    assert found[0].text == long.replace("{mask}", found[0].words[0].text)
    assert found[0].score == pytest.approx(float(logs[0, found[0].words[0].ids[0]]), abs=1e-3)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "text 0, '', has no blank '{mask}'; mark each word to find"),
        ("北京[MASK]", {}, "it holds [MASK], which is plain text here"),
        ("北{mask}", {"tokens": 0}, "give 1 or more"),
        ("北{mask}", {"tokens": (3, 2)}, "the fewest tokens before the most"),
        ("北{mask}", {"top": 0}, "top=0: give 1 or more"),
        ("北{mask}", {"candidates": ["京", ""]}, "the candidate '' has no token"),
        ("北{mask}", {"candidates": []}, "there is no candidate"),
        ("北{mask}", {"candidates": [[["京"], ["海"]]]}, "hold lists for [2] blanks, the texts have [1]"),
        ("北{mask}", {"candidates": ["京"], "tokens": 1}, "candidates have their own number of tokens"),
        ("北{mask}", {"order": [1]}, "order=[1] does not fit the 1 blanks of text 0"),
        ("北\ud800{mask}", {}, "text 0 holds half of a surrogate pair at 1"),
        ("{mask}" + "天气很好" * 40 + "{mask}", {}, "its 2 blanks lie too far apart for the 128 tokens"),
    ],
)
def test_what_cannot_be_filled_is_one_line(ours: Any, text: str, options: Any, message: str) -> None:
    with pytest.raises(ValueError) as error:
        fill_words(*ours, [text], **options)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_given_words_that_the_model_cannot_tell_apart_are_refused(loaded: Any, ours: Any) -> None:
    # Of a tokenizer without bytes every unknown character is the same token, and two words of such are one.
    if loaded[1].unk_token_id in ids_of(loaded[1], "饕餮"):
        with pytest.raises(ValueError, match="the candidate '饕餮' has a character that the vocabulary lacks"):
            fill_words(*loaded, ["北{mask}"], candidates=["京", "饕餮"])
    else:
        (found,) = fill_words(*loaded, ["北{mask}"], candidates=["京", "饕餮", "熊猫"])
        assert {one.words[0].text for one in found} == {"京", "饕餮", "熊猫"}
    with pytest.raises(ValueError, match="the candidates 'Ａ' and 'A' are the same tokens; give one of them"):
        fill_words(*ours, ["北{mask}"], candidates=["Ａ", "京", "A"])
    (found,) = fill_words(*ours, ["北{mask}"], candidates=["京", "京", "海"])  # the same word twice is one
    assert {one.words[0].text for one in found} == {"京", "海"} and len(found) == 2


def test_no_text_has_no_filling_and_a_text_without_a_fitting_word_an_empty_list(ours: Any) -> None:
    assert fill_words(*ours, []) == []
    assert fill_words(*ours, ["北{mask}", "他{mask}书"], accept=lambda word: False) == [[], []]


def test_a_tokenizer_without_a_mask_is_refused(saved_checkpoint: Path, ours: Any) -> None:
    tokenizer = AutoTokenizer.from_pretrained(saved_checkpoint)
    tokenizer.mask_token = None
    with pytest.raises(ValueError, match=r"lacks \[CLS\], \[SEP\] or \[MASK\]"):
        WordFiller(ours[0], tokenizer)
