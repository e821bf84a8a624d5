"""Correction of spelling: what the arms are to each other and to the plain model, losses, edits, saved folders."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from transformers import AutoModelForMaskedLM, AutoModelForTokenClassification, PreTrainedTokenizerFast

from chinese_modernbert.modeling import (
    ChineseModernBertConfig,
    ChineseModernBertForMaskedLM,
    ChineseModernBertForSpellingCorrection,
)
from chinese_modernbert.modeling.characters_chinese_modernbert import CharacterReader
from chinese_modernbert.modeling.spelling_chinese_modernbert import ARMS, SpellingEdit, spelling_inputs
from chinese_modernbert.tokenization.loading import load_tokenizer

TEXTS = [
    "今天天气很好，我们去公园散步。",
    "北京是中国的首都。他喜欢读书写字！",
    "😀ＡＢＣ第３届 ModernBERT",
    "臺灣與香港今天天氣很好，学校和學校",
    "",
    "no Chinese at all",
    "\U00020000散步" * 3,
]


@pytest.fixture(scope="module")
def tokenizer(saved_checkpoint: Path) -> PreTrainedTokenizerFast:
    return load_tokenizer(saved_checkpoint)


def speller(folder: Path, arm: str, **settings: Any) -> ChineseModernBertForSpellingCorrection:
    config = ChineseModernBertConfig.from_pretrained(folder)
    config.spelling = {"arm": arm, **settings}  # pyright: ignore[reportAttributeAccessIssue]
    torch.manual_seed(0)
    return ChineseModernBertForSpellingCorrection.from_pretrained(folder, config=config).eval()


def inputs_of(tokenizer: Any, arm: str, config: ChineseModernBertConfig) -> dict[str, torch.Tensor]:
    reader = CharacterReader(tokenizer)
    return spelling_inputs([reader.read(text) for text in TEXTS if reader.read(text).places], arm, config)


def plain_logits(folder: Path, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    model = ChineseModernBertForMaskedLM.from_pretrained(folder).eval()
    given = {name: inputs[name] for name in ("input_ids", "attention_mask", "target_positions")}
    return model(**given).logits


@torch.no_grad()
def test_tagging_and_relm_give_the_logits_of_the_plain_model(saved_checkpoint: Path, tokenizer: Any) -> None:
    for arm in ("tagging", "relm"):
        model = speller(saved_checkpoint, arm)
        inputs = inputs_of(tokenizer, arm, model.config)
        torch.testing.assert_close(model(**inputs).logits, plain_logits(saved_checkpoint, inputs))


@torch.no_grad()
@pytest.mark.parametrize("wrong", [False, True])
def test_a_soft_mask_of_nothing_is_the_plain_model_and_of_everything_a_text_of_masks(
    wrong: bool, saved_checkpoint: Path, tokenizer: Any
) -> None:
    model = speller(saved_checkpoint, "soft_masked")
    model.detector.weight.zero_()
    model.detector.bias.fill_(1e4 if wrong else -1e4)
    inputs = inputs_of(tokenizer, "soft_masked", model.config)
    expected = copy.deepcopy(inputs)
    if wrong:
        expected["input_ids"].view(-1)[inputs["target_positions"]] = model.config.mask_token_id
    torch.testing.assert_close(model(**inputs).logits, plain_logits(saved_checkpoint, expected))
    everywhere = {name: value for name, value in inputs.items() if name != "target_positions"}
    ids = torch.full_like(inputs["input_ids"], model.config.mask_token_id) if wrong else inputs["input_ids"]
    plain = ChineseModernBertForMaskedLM.from_pretrained(saved_checkpoint).eval()
    real = inputs["attention_mask"].bool()
    logits = plain(input_ids=ids, attention_mask=inputs["attention_mask"]).logits
    torch.testing.assert_close(model(**everywhere).logits[real], logits[real])


@torch.no_grad()
def test_a_soft_mask_between_moves_the_embedding_by_the_probability(saved_checkpoint: Path, tokenizer: Any) -> None:
    model = speller(saved_checkpoint, "soft_masked")
    inputs = inputs_of(tokenizer, "soft_masked", model.config)
    plain = ChineseModernBertForMaskedLM.from_pretrained(saved_checkpoint).eval()
    hidden = plain.model(inputs["input_ids"], inputs["attention_mask"]).last_hidden_state
    wrong = torch.sigmoid(hidden @ model.detector.weight.T + model.detector.bias)
    at_places = torch.zeros(wrong.numel(), 1)
    at_places[inputs["target_positions"]] = wrong.view(-1, 1)[inputs["target_positions"]]
    at_places = at_places.view_as(wrong)
    embedded = plain.get_input_embeddings()(inputs["input_ids"])
    mask = plain.model.embeddings.tok_embeddings.weight[model.config.mask_token_id]
    mixed = at_places * mask + (1 - at_places) * embedded
    expected = plain(inputs_embeds=mixed, attention_mask=inputs["attention_mask"]).logits
    torch.testing.assert_close(model(**inputs).logits, expected.flatten(0, 1)[inputs["target_positions"]])


def test_relm_reads_the_text_and_behind_it_a_mask_for_every_character(saved_checkpoint: Path, tokenizer: Any) -> None:
    config, reader = ChineseModernBertConfig.from_pretrained(saved_checkpoint), CharacterReader(tokenizer)
    text = "今天 😀好。"
    inputs = spelling_inputs([reader.read(text)], "relm", config)
    ids, own = inputs["input_ids"][0].tolist(), reader.read(text).ids
    slots = [4 if tokenizer.convert_ids_to_tokens(one) in "今天好" else one for one in own]
    assert ids == [2, *own, 3, *slots, 3]
    assert inputs["target_positions"].tolist() == [i for i, one in enumerate(ids) if one == 4]


def test_what_is_hidden_is_hidden_where_it_is_read(saved_checkpoint: Path, tokenizer: Any) -> None:
    config, reader = ChineseModernBertConfig.from_pretrained(saved_checkpoint), CharacterReader(tokenizer)
    read = reader.read("今a天")
    for arm in ARMS:
        ids = spelling_inputs([read], arm, config, masked=[{1}])["input_ids"][0].tolist()
        assert ids[: len(read.ids) + 2] == [2, read.ids[0], read.ids[1], 4, 3]


@pytest.mark.parametrize("arm", ARMS)
def test_the_loss_is_that_of_torch_over_candidates_and_detector(
    arm: str, saved_checkpoint: Path, tokenizer: Any
) -> None:
    model = speller(saved_checkpoint, arm, detection_weight=0.3)
    inputs = inputs_of(tokenizer, arm, model.config)
    candidates = torch.tensor(CharacterReader(tokenizer).candidate_ids)
    count = len(inputs["target_positions"])
    draw = torch.Generator().manual_seed(0)
    labels = candidates[torch.randint(0, len(candidates), (count,), generator=draw)]
    labels[:3] = -100
    is_error = torch.randint(0, 2, (count,), generator=draw)
    is_error[2:5] = -100
    outputs = model(**inputs, labels=labels, is_error=is_error, candidate_ids=candidates)
    logits = plain_logits_of(model, inputs)[:, candidates]
    columns = torch.tensor([-100 if one == -100 else candidates.tolist().index(one) for one in labels.tolist()])
    expected = cross_entropy(logits, columns)
    if arm != "relm":
        kept = is_error >= 0
        detected = binary_cross_entropy_with_logits(outputs.detection_logits[kept], is_error[kept].float())
        expected = 0.7 * expected + 0.3 * detected
    torch.testing.assert_close(outputs.loss, expected)
    torch.testing.assert_close(outputs.logits, logits)
    outputs.loss.backward()
    assert all(one.grad is not None and one.grad.isfinite().all() for one in model.parameters())


def plain_logits_of(model: ChineseModernBertForSpellingCorrection, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    return model(**inputs).logits


def test_a_label_that_is_no_candidate_is_not_learned(saved_checkpoint: Path, tokenizer: Any) -> None:
    model, candidates = speller(saved_checkpoint, "tagging"), torch.tensor(CharacterReader(tokenizer).candidate_ids)
    inputs = inputs_of(tokenizer, "tagging", model.config)
    labels = torch.full_like(inputs["target_positions"], -100)
    labels[0] = candidates[3]
    expected = model(**inputs, labels=labels, candidate_ids=candidates).loss
    labels[1:5] = torch.tensor([0, 4, candidates[-1] + 1, candidates[0] - 1])
    torch.testing.assert_close(model(**inputs, labels=labels, candidate_ids=candidates).loss, expected)


@torch.no_grad()
def slow_edits(model: Any, tokenizer: Any, text: str, confusion: dict[str, str] | None) -> list[SpellingEdit]:
    """Find edits with a forward of every text alone, by words, without any of the model's own helpers."""
    vocabulary = tokenizer.get_vocab()
    known = [one for one in vocabulary if len(one) == 1 and "一" <= one <= "龥"]
    ids, places, rest = [2], [], ""

    def flush() -> None:
        nonlocal rest
        ids.extend(tokenizer(rest, add_special_tokens=False)["input_ids"] if rest else [])
        rest = ""

    for offset, character in enumerate(text):
        if character in known or ord(character) >= 0x20000:  # a rare one is a part of its own
            flush()
        if character in known:
            places.append((len(ids), offset))
            ids.append(vocabulary[character])
        else:
            rest += character
            if ord(character) >= 0x20000:
                flush()
    flush()
    ids.append(3)
    if model.settings.arm == "relm":
        at = dict(places)
        slots = [4 if i in at else one for i, one in enumerate(ids)][1:]
        places = [(place + len(ids) - 1, offset) for place, offset in places]
        ids = ids + slots
    given = {"target_positions": torch.tensor([place for place, _ in places])} if places else {}
    outputs = model(input_ids=torch.tensor([ids]), **given)
    edits = []
    for row, (_, offset) in enumerate(places):
        shares = torch.stack([outputs.logits[row, vocabulary[one]] for one in known]).softmax(0)
        allowed = [
            (float(share), one)
            for share, one in zip(shares, known, strict=True)
            if confusion is None or one == text[offset] or one in confusion.get(text[offset], "")
        ]
        share, best = max(allowed)
        if best != text[offset]:
            wrong = 1.0 if outputs.detection_logits is None else float(outputs.detection_logits[row].sigmoid())
            edits.append(SpellingEdit(offset, text[offset], best, share * wrong))
    return edits


@pytest.mark.parametrize("confusion", [None, {"今": "金巾北", "天": "气我是", "步": "国书", "好": ""}])
@pytest.mark.parametrize("arm", ARMS)
def test_edits_of_many_texts_are_those_of_each_alone(
    arm: str, confusion: dict[str, str] | None, saved_checkpoint: Path, tokenizer: Any
) -> None:
    model = speller(saved_checkpoint, arm)
    texts = [text for text in TEXTS if "。他" not in text]  # the twin reads a text as one sentence
    found = model.find_edits(texts, tokenizer, confusion=confusion, tokens_at_once=40)
    assert sum(map(len, found)) > (1 if confusion else 10)
    for text, edits in zip(texts, found, strict=True):
        expected = slow_edits(model, tokenizer, text, confusion)
        assert [(one.offset, one.source, one.target) for one in edits] == [
            (one.offset, one.source, one.target) for one in expected
        ]
        assert [one.probability for one in edits] == pytest.approx([one.probability for one in expected], rel=1e-3)


def test_a_correction_replaces_what_is_above_the_threshold_and_nothing_else(
    saved_checkpoint: Path, tokenizer: Any
) -> None:
    model = speller(saved_checkpoint, "tagging", threshold=0.0)
    found = model.find_edits(TEXTS, tokenizer)
    middle = sorted(edit.probability for edits in found for edit in edits)[5]
    for threshold, kept in ((None, 0.0), (middle, middle), (1.0, 1.0)):
        corrections = model.correct(TEXTS, tokenizer, threshold=threshold)
        for text, edits, done in zip(TEXTS, found, corrections, strict=True):
            assert list(done.edits) == [edit for edit in edits if edit.probability > kept]
            changed = {edit.offset: edit.target for edit in done.edits}
            assert done.text == "".join(changed.get(i, one) for i, one in enumerate(text))
    assert model.correct([], tokenizer) == []


def test_a_long_text_is_read_by_sentences_as_each_alone(saved_checkpoint: Path, tokenizer: Any) -> None:
    model = speller(saved_checkpoint, "tagging", threshold=0.0, longest_sentence=16)
    sentences = ["今天天气很好。", "我们去公园散步！\n", "他喜欢读书写字，读书写字，", "第三届会议在上海举行"]
    (whole,) = model.find_edits(["".join(sentences)], tokenizer)
    parts = model.find_edits(sentences, tokenizer)
    starts = [sum(map(len, sentences[:i])) for i in range(len(sentences))]
    shifted = [(start + one.offset, one.target) for start, own in zip(starts, parts, strict=True) for one in own]
    assert [(one.offset, one.target) for one in whole] == shifted


def test_a_text_of_a_hundred_thousand_characters_keeps_its_length(saved_checkpoint: Path, tokenizer: Any) -> None:
    model = speller(saved_checkpoint, "tagging", threshold=0.0)
    text = ("今天天气很好" * 17 + "😀，" + "我" * 600 + "。") * 142
    assert len(text) > 99_000
    (done,) = model.correct([text], tokenizer)
    assert len(done.text) == len(text) and done.edits
    assert all(text[edit.offset] == edit.source for edit in done.edits)


@pytest.mark.parametrize("arm", ARMS)
def test_a_saved_model_comes_back_by_its_auto_class_and_as_an_encoder(
    arm: str, saved_checkpoint: Path, tokenizer: Any, tmp_path: Path
) -> None:
    model = speller(saved_checkpoint, arm)
    model.change_settings(threshold=0.25)
    model.save_pretrained(tmp_path)
    again = AutoModelForMaskedLM.from_pretrained(tmp_path, trust_remote_code=False)
    assert isinstance(again, ChineseModernBertForSpellingCorrection)
    assert again.settings == model.settings and again.settings.threshold == 0.25
    assert again.find_edits(TEXTS, tokenizer) == model.find_edits(TEXTS, tokenizer)
    tagger = AutoModelForTokenClassification.from_pretrained(tmp_path, trust_remote_code=False)
    tagger.save_pretrained(tmp_path / "tagger")
    saved = ChineseModernBertConfig.from_pretrained(tmp_path / "tagger").auto_map["AutoModelForMaskedLM"]
    assert saved.endswith("ForMaskedLM")


def test_a_plain_model_is_no_speller_and_gets_no_settings(saved_checkpoint: Path) -> None:
    model = AutoModelForMaskedLM.from_pretrained(saved_checkpoint, trust_remote_code=False)
    assert type(model) is ChineseModernBertForMaskedLM
    assert "spelling" not in model.config.to_dict()


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        ({"arm": "tager"}, "arm='tager' is unknown; use one of tagging, soft_masked, relm"),
        ({"threshold": 1.5}, "threshold=1.5 must be a number from 0 to 1"),
        ({"threshold": True}, "threshold=True must be"),
        ({"detection_weight": -1}, "detection_weight=-1 must be"),
        ({"longest_sentence": 0}, "longest_sentence=0 must be a whole number"),
        ({"arms": "relm"}, "must be a mapping with any of arm, threshold"),
        (["relm"], "must be a mapping"),
    ],
)
def test_settings_that_cannot_act_are_refused_at_construction(spelling: Any, message: str, tiny_config: Any) -> None:
    config = tiny_config()
    config.spelling = spelling
    with pytest.raises(ValueError, match=message):
        ChineseModernBertForSpellingCorrection(config)


@pytest.mark.parametrize("broken", ["detector.weight", "head.dense.weight"])
def test_a_model_without_finite_numbers_does_not_pass_for_one_that_finds_nothing(
    broken: str, saved_checkpoint: Path, tokenizer: Any
) -> None:
    model = speller(saved_checkpoint, "tagging")
    with torch.no_grad():
        model.get_parameter(broken).fill_(float("nan"))
    with pytest.raises(ValueError, match="gives probabilities that are not finite"):
        model.correct(TEXTS, tokenizer)


def test_a_threshold_of_a_call_is_checked_and_a_text_is_no_list(saved_checkpoint: Path, tokenizer: Any) -> None:
    model = speller(saved_checkpoint, "tagging")
    with pytest.raises(ValueError, match="threshold=2 must be"):
        model.correct(TEXTS, tokenizer, threshold=2)
    with pytest.raises(ValueError, match="threshold=nan must be"):
        model.correct(TEXTS, tokenizer, threshold=float("nan"))
    with pytest.raises(TypeError, match="give a list"):
        model.correct("今天", tokenizer)
