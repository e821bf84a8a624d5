"""The tokenizer in the package: what the recipe asks for, and the report that belongs to it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from chinese_modernbert.cli import SHIPPED_TOKENIZER
from chinese_modernbert.runtime.options import load_recipe
from chinese_modernbert.tokenization import TokenizerArguments, fold_width, load_tokenizer
from chinese_modernbert.tokenization.diagnostics import inspect_vocabulary
from chinese_modernbert.tokenization.pre_tokenization import split_pattern

TRICKY = [
    "𠮷",
    "\U00030000",
    "👩🏽‍🚀",
    "かな",
    "한국어",
    "العربية",
    "e\u0301",
    "\x00\x1b",
    "Ａ９\u3000",
    "嚟咗冇",
    "龘",
    "[MASK]",
]


@pytest.fixture(scope="module")
def shipped() -> PreTrainedTokenizerFast:
    return load_tokenizer(SHIPPED_TOKENIZER)


def test_it_has_the_size_alphabet_and_digits_of_the_recipe(
    shipped: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.loads((SHIPPED_TOKENIZER / "tokenizer.json").read_text(encoding="utf-8"))
    monkeypatch.setenv("CHINESE_MODERNBERT_DATA", "data")
    (recipe,) = load_recipe([TokenizerArguments], "tokenizer_32k")
    assert len(shipped) == recipe.vocab_size == 32_768
    assert len(shipped) % 64 == 0
    assert inspect_vocabulary(shipped)["single_characters"] == recipe.limit_alphabet
    assert content["pre_tokenizer"]["pattern"]["Regex"] == split_pattern(recipe.digits_per_token)
    assert max(map(len, shipped.get_vocab())) <= recipe.max_token_length


def test_its_report_was_made_with_it(shipped: PreTrainedTokenizerFast) -> None:
    (report,) = json.loads((SHIPPED_TOKENIZER / "report.json").read_text(encoding="utf-8"))
    assert report["vocabulary"] == json.loads(json.dumps(inspect_vocabulary(shipped)))
    assert report["by_script"]["simplified"]["characters_per_token"] >= 1.48
    assert report["by_script"]["simplified"]["crossing_tokens_percent"] <= 3.0
    assert report["by_script"]["traditional"]["byte_tokens_percent"] < 0.3
    assert report["total"]["unknown_tokens"] == 0


@settings(deadline=None)
@given(
    text=st.lists(st.one_of(st.sampled_from(TRICKY), st.text(st.characters(exclude_categories=("Cs",))))).map("".join)
)
def test_any_text_comes_back_without_unknown_tokens(shipped: PreTrainedTokenizerFast, text: str) -> None:
    ids = shipped(text.replace("[MASK]", "[mask]"), add_special_tokens=False)["input_ids"]
    assert shipped.decode(ids) == fold_width(text.replace("[MASK]", "[mask]"))
    assert shipped.unk_token_id not in ids
