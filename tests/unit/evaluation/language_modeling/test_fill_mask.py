"""Words for a blank: products of the probabilities that the stock pipeline gives for each of its masks."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline

from chinese_modernbert.evaluation.language_modeling import fill_blank, rank_words
from reference.tiny_checkpoint import write_tiny_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("model"))


def test_a_word_of_two_tokens_has_the_product_of_what_the_pipeline_gives_each_blank(folder: Path) -> None:
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    served = pipeline("fill-mask", model=model, tokenizer=tokenizer, top_k=3)
    first, second = served("北京是[MASK][MASK]。")  # two lists that know nothing of each other
    words = fill_blank(model, tokenizer, "北京是{mask}。", tokens=2, top=4)
    expected = sorted((a["score"] * b["score"] for a in first for b in second), reverse=True)[:4]
    assert [one.probability for one in words] == pytest.approx(expected, rel=1e-3)
    (alone,) = [one for one in served("北京是[MASK]。")[:1]]
    assert fill_blank(model, tokenizer, "北京是{mask}。", tokens=1)[0].probability == pytest.approx(alone["score"])


def test_given_words_are_ranked_by_all_of_their_tokens(folder: Path) -> None:
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    words = ["上海", "饕餮", "𠮷"]
    found = {one.word: one.probability for one in rank_words(model, tokenizer, "北京是{mask}。", words)}
    assert list(found.values()) == sorted(found.values(), reverse=True) and set(found) == set(words)
    for word in words:
        ids = tokenizer(word, add_special_tokens=False)["input_ids"]
        batch = tokenizer("北京是" + "[MASK]" * len(ids) + "。", return_tensors="pt")
        chances = model(**batch).logits.softmax(-1)[0][batch["input_ids"][0] == tokenizer.mask_token_id]
        expected = torch.stack([row[one] for row, one in zip(chances, ids, strict=True)]).prod()
        assert found[word] == pytest.approx(expected.item(), rel=1e-3)
    assert len(tokenizer("饕餮", add_special_tokens=False)["input_ids"]) > 2  # spelled in bytes here


@pytest.mark.parametrize(("text", "tokens"), [("北京。", 1), ("{mask}是{mask}。", 1), ("北京是{mask}。", 0)])
def test_a_text_without_one_blank_is_refused(text: str, tokens: int, folder: Path) -> None:
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    with pytest.raises(ValueError, match="give it once, for 1 or more"):
        fill_blank(model, tokenizer, text, tokens)
