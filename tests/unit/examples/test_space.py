"""The page for a release: answers against the model asked by hand, messages, and what it lets through as HTML."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from chinese_modernbert.modeling import ChineseModernBertForSequenceClassification

SPACE = Path(__file__).parents[3] / "examples" / "space"


@pytest.fixture(scope="module")
def modules() -> Iterator[tuple[ModuleType, ModuleType]]:
    """The page's own modules, found as the Hub finds them: beside each other."""
    sys.path.insert(0, str(SPACE))
    yield importlib.import_module("answers"), importlib.import_module("rendering")
    sys.path.remove(str(SPACE))
    for name in ("answers", "rendering"):
        del sys.modules[name]


@pytest.fixture(scope="module")
def answers(modules: tuple[ModuleType, ModuleType]) -> ModuleType:
    return modules[0]


@pytest.fixture(scope="module")
def rendering(modules: tuple[ModuleType, ModuleType]) -> ModuleType:
    return modules[1]


@pytest.fixture(scope="module")
def reader(answers: ModuleType, saved_release: Path) -> Any:
    return answers.Reader(str(saved_release))


def test_the_candidates_of_one_blank_are_the_models_own(reader: Any) -> None:
    """Asked alone, a blank of one token has the probabilities of the model, without special tokens and bytes."""
    filling = reader.fill("北京是[MASK]。")
    ids = reader.tokenizer("北京是[MASK]。", return_tensors="pt")["input_ids"]
    logits = reader.model(input_ids=ids).logits[0, (ids[0] == reader.tokenizer.mask_token_id).nonzero().item()]
    logits[reader._unwanted] = -torch.inf
    probability, token = torch.softmax(logits, -1).max(-1)
    assert filling.candidates[0][0].word == reader.tokenizer.decode([int(token)]).strip()
    assert filling.candidates[0][0].probability == pytest.approx(probability.item(), abs=1e-5)
    assert filling.pieces == ["北京是", "。"]


def test_a_model_that_fills_no_blanks_is_refused(answers: ModuleType, saved_release: Path, tmp_path: Path) -> None:
    """Transformers would give it a head of random weights, and the page would show noise."""
    ChineseModernBertForSequenceClassification.from_pretrained(saved_release, num_labels=2).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is ChineseModernBertForSequenceClassification, which fills no blanks"):
        answers.Reader(str(tmp_path))


def test_blanks_side_by_side_are_one_word_and_every_spelling_counts(reader: Any) -> None:
    filling = reader.fill("北[MASK][MASK]的首__，▢。")
    assert len(filling.words) == len(filling.candidates) == 3 and filling.pieces == ["北", "的首", "，", "。"]
    assert len(reader.tokenizer(filling.words[0], add_special_tokens=False)["input_ids"]) <= 2


def test_ranking_and_table_agree_with_sentence_transformers(reader: Any) -> None:
    texts = ["今天天气很好", "首都在北京", "他读书"]
    expected = reader.encoder.similarity(*[reader.encoder.encode(texts)] * 2)
    torch.testing.assert_close(torch.tensor(reader.similarities(texts, False)), expected, atol=1e-5, rtol=0)
    ranked = reader.rank("今天天气很好", texts, False)
    assert ranked[0].position == 0 and ranked[0].score == pytest.approx(1.0, abs=1e-5)


def test_passages_are_whole_sentences_and_lose_nothing(answers: ModuleType) -> None:
    document = "第一句。第二句！\n" + "很长的一句" * 30 + "。最后"
    passages = answers.split_passages(document)
    assert "".join(passages) == document.replace("\n", "")
    assert passages[0] == "第一句。第二句！"


def test_tokens_show_the_text_once_and_masks_take_whole_units(reader: Any) -> None:
    text = "北京是中国的首都。𠮷"
    rows = reader.tokens(text, rate=0.5, seed=3)
    assert "".join(row.text for row in rows) == text
    masked = {row.unit for row in rows if row.is_masked}
    assert masked and all(row.is_masked for row in rows if row.unit in masked)


def test_the_share_of_masked_tokens_is_the_one_asked_for_on_average(answers: ModuleType) -> None:
    units = [0, 0, 0, 1, 2, 2, 3, 4, 4, 5]
    shares = [sum(unit in answers.choose_units(units, 0.3, seed) for unit in units) / 10 for seed in range(4_000)]
    assert sum(shares) / len(shares) == pytest.approx(0.3, abs=0.015)


@pytest.mark.parametrize(
    ("call", "key"),
    [
        (lambda reader: reader.fill("  "), "empty"),
        (lambda reader: reader.fill("没有空格"), "no_mask"),
        (lambda reader: reader.fill("[MASK] " * 13), "too_many_masks"),
        (lambda reader: reader.fill("字" * 100_000), "too_long"),
        (lambda reader: reader.fill("字" * 500 + "[MASK]"), "too_many_tokens"),
        (lambda reader: reader.tokens("字" * 100_000), "too_long"),
        (lambda reader: reader.search("问", "字" * 100_000, True), "too_long"),
        (lambda reader: reader.search("", "文", True), "empty"),
    ],
)
def test_a_users_mistake_has_a_message_in_both_languages(answers: ModuleType, reader: Any, call: Any, key: str) -> None:
    with pytest.raises(answers.UserMistakeError) as raised:
        call(reader)
    assert raised.value.key == key
    words = json.loads((SPACE / "texts.json").read_text(encoding="utf-8"))
    for language in ("zh", "en"):
        assert "{" not in words[language][key].format(**raised.value.values)


def test_both_languages_say_the_same_things() -> None:
    words = json.loads((SPACE / "texts.json").read_text(encoding="utf-8"))
    assert words["zh"].keys() == words["en"].keys()


def test_what_a_user_types_is_text_and_never_markup(rendering: ModuleType, reader: Any) -> None:
    attack = "<img src=x onerror=alert(1)>"
    words = json.loads((SPACE / "texts.json").read_text(encoding="utf-8"))["en"]
    pages = [
        rendering.filling(reader.fill(f"{attack}[MASK]"), words["blank"]),
        rendering.ranking(reader.rank("问", [attack], False)),
        rendering.table([attack, "文"], [[1.0, 0.1], [0.1, 1.0]]),
        rendering.document(reader.search("问", attack, False)),
        rendering.tokens(reader.tokens(attack), reader.tokens(attack, 0.3), words),
        rendering.message(attack),
    ]
    assert not [page for page in pages if "<img" in page]
