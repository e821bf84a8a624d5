"""Pseudo-log-likelihoods against a loop that masks, runs and reads one unit of one text at a time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from chinese_modernbert.evaluation.language_modeling import score_texts
from chinese_modernbert.evaluation.language_modeling.loading import load_masked_language_model
from chinese_modernbert.evaluation.language_modeling.pseudo_likelihood import MaskedRows
from chinese_modernbert.tokenization.word_segmentation import LexiconSegmenter
from reference.tiny_bert import write_tiny_bert

TEXTS = ["我们去公园散步。", "我们去会议散步。", "第三届会议在上海举行", "", "他"]
SEGMENTER = LexiconSegmenter(["我们", "公园", "散步", "会议", "上海", "举行", "第三届"])


@pytest.fixture(params=["ours", "bert"])
def model_and_tokenizer(request: pytest.FixtureRequest, saved_checkpoint: Path, tmp_path: Path) -> tuple[Any, Any]:
    folder = saved_checkpoint if request.param == "ours" else write_tiny_bert(tmp_path / "bert")
    model, _ = load_masked_language_model(str(folder), "float32", use_cpu=True, trust_remote_code=False)
    return model, AutoTokenizer.from_pretrained(folder)


def units(tokenizer: Any, text: str, masking: str) -> list[list[int]]:
    """Return the positions, [CLS] at 0, that are masked together."""
    spans = tokenizer(text, return_offsets_mapping=True)["offset_mapping"][1:-1]
    if masking == "token":
        return [[place] for place in range(1, len(spans) + 1)]
    words, end = [], 0
    for word in SEGMENTER.cut(text):
        words.append((end, end := end + len(word)))
    groups: list[list[int]] = []
    reach = 0
    for place, (start, stop) in enumerate(spans, start=1):
        if start >= reach:
            groups.append([])
        groups[-1].append(place)
        reach = max(reach, *(last for first, last in words if first < max(stop, start + 1) and last > start))
    return groups


@torch.no_grad()
def slow_scores(model: Any, tokenizer: Any, text: str, masking: str) -> list[float]:
    found = []
    for group in units(tokenizer, text, masking):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        wanted = ids[0, group].clone()
        ids[0, group] = tokenizer.mask_token_id
        logits = model(input_ids=ids).logits[0, group]
        found += torch.log_softmax(logits, dim=-1)[range(len(group)), wanted].tolist()
    return found


@pytest.mark.parametrize("tokens_per_batch", [1, 8_192])
@pytest.mark.parametrize("masking", ["token", "word"])
def test_scores_are_those_of_one_unit_at_a_time(
    model_and_tokenizer: tuple[Any, Any], masking: Any, tokens_per_batch: int
) -> None:
    found = score_texts(*model_and_tokenizer, TEXTS, SEGMENTER, masking, tokens_per_batch)
    for text, given in zip(TEXTS, found.log_probabilities, strict=True):
        np.testing.assert_allclose(given, slow_scores(*model_and_tokenizer, text, masking), atol=2e-5)


def test_no_loss_is_computed(saved_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = load_masked_language_model(str(saved_checkpoint), "float32", use_cpu=True, trust_remote_code=False)
    losses = []
    model.register_forward_hook(lambda module, given, output: losses.append(output.loss))
    score_texts(model, AutoTokenizer.from_pretrained(saved_checkpoint), TEXTS, SEGMENTER)
    assert losses == [None]


def test_some_words_have_several_tokens_here(saved_checkpoint: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(saved_checkpoint)
    assert any(len(group) > 1 for text in TEXTS for group in units(tokenizer, text, "word"))


@pytest.mark.parametrize("masking", ["token", "word"])
def test_a_row_that_two_texts_share_goes_through_the_model_once(saved_checkpoint: Path, masking: Any) -> None:
    work = MaskedRows(AutoTokenizer.from_pretrained(saved_checkpoint), LexiconSegmenter(["京", "海"]), masking)
    work.add(["北京", "北海", "北京"])
    rows = {tuple(row.tolist()) for row in work.rows}
    assert len(rows) == len(work.rows) < len(work.requests)
    assert len(work.requests) == sum(work.lengths)


def test_a_tokenizer_without_a_mask_is_refused(saved_checkpoint: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(saved_checkpoint)
    tokenizer.mask_token = None
    with pytest.raises(ValueError, match=r"lacks \[CLS\], \[SEP\] or \[MASK\]"):
        MaskedRows(tokenizer, SEGMENTER, "token")


def test_a_model_that_diverged_is_refused(saved_checkpoint: Path) -> None:
    model, _ = load_masked_language_model(str(saved_checkpoint), "float32", use_cpu=True, trust_remote_code=False)
    with torch.no_grad():
        model.decoder.weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="not finite"):
        score_texts(model, AutoTokenizer.from_pretrained(saved_checkpoint), ["他"], SEGMENTER)


def test_an_encoder_without_the_head_is_refused(tmp_path: Path, tiny_config: Callable[..., Any]) -> None:
    from chinese_modernbert.modeling import ChineseModernBertForSequenceClassification

    ChineseModernBertForSequenceClassification(tiny_config()).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="lacks weights of a masked language model"):
        load_masked_language_model(str(tmp_path), "float32", use_cpu=True, trust_remote_code=False)
