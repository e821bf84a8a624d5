"""`chinese-modernbert mask`: the text is shown whole, the rate follows the step, and what a preset lacks is named."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from chinese_modernbert.cli import SHIPPED_TOKENIZER, main
from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM
from chinese_modernbert.tokenization import load_tokenizer
from chinese_modernbert.tokenization.loading import save_tokenizer
from chinese_modernbert.trainers.masking import MASKING_PRESETS
from chinese_modernbert.trainers.masking import preview_command as masking_preview
from chinese_modernbert.trainers.masking.materials.from_options import MATERIALS
from chinese_modernbert.trainers.masking.materials.tags import token_texts
from chinese_modernbert.trainers.masking.options import MaskArguments
from chinese_modernbert.trainers.masking.preview_command import build_preset

TEXT = "使用语言模型来预测下一个词的概率。"


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(["mask", "--text", TEXT, *words]) == 0
    return capsys.readouterr().out


def test_the_text_is_whole_and_words_are_boxed(capsys: pytest.CaptureFixture[str]) -> None:
    output = shown(capsys, "--masking", "forty_percent")
    assert TEXT in re.sub(r"[\[\]\n▢>]", "", output)
    output = shown(capsys, "--masking", "bert_wwm")
    assert "[语言]" in output
    assert ">▢" in shown(capsys, "--masking", "bert_wwm", "--seed", "3")


def test_the_rate_is_that_of_the_step(capsys: pytest.CaptureFixture[str]) -> None:
    for step, rate in (("0", "15.0%"), ("50", "30.0%"), ("525", "22.5%"), ("1000", "15.0%")):
        assert f"target {rate}" in shown(capsys, "--step", step)


def write_tiny_checkpoint_of(tokenizer: Path, folder: Path) -> None:
    """Write a random model of the vocabulary of a tokenizer."""
    loaded = load_tokenizer(tokenizer)
    sizes = {"vocab_size": len(loaded), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    ChineseModernBertForMaskedLM(ChineseModernBertConfig.preset("tiny", **sizes)).save_pretrained(folder)
    save_tokenizer(loaded, folder)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("counted")
    rows = [json.dumps({"text": TEXT * (1 + n % 3)}, ensure_ascii=False) for n in range(20)]
    (folder / "corpus.jsonl").write_text("\n".join(rows), encoding="utf-8")
    words = ["--corpus", f"{folder}/corpus.jsonl", "--output_dir", f"{folder}/shards", "--prepare_workers", "0"]
    assert main(["prepare", *words]) == 0
    return folder / "shards"


@pytest.mark.parametrize("preset", MASKING_PRESETS)
def test_every_preset_is_shown_or_says_what_it_lacks(
    preset: str, shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["mask", "--text", TEXT, "--masking", preset]
    lacks, options = "", list[str]()
    if preset == "macbert":
        (shards.parent / "similar.txt").write_text("语言\t文字\n概率\t可能性 比率\n", encoding="utf-8")
        options = ["--masking_options", f"{{similar_words: {shards.parent}/similar.txt}}"]
        lacks = "similar_words or confusion"
    elif preset == "difference_masking":
        write_tiny_checkpoint_of(SHIPPED_TOKENIZER, shards.parent / "checkpoint")
        named = f"{{embeddings: {shards.parent}/checkpoint, general: {shards}}}"
        options, lacks = ["--data", str(shards), "--masking_options", named], "needs embeddings and general"
    elif preset in MATERIALS and MATERIALS[preset].counts:
        options, lacks = ["--data", str(shards)], "--data"
    elif preset in MATERIALS and "words" in MATERIALS[preset].options:
        options, lacks = ["--words", "语言模型", "概率"], "" if preset == "linguistic_entity" else "--words"
    if lacks:
        assert main(words) == 2
        assert lacks in capsys.readouterr().err
    assert main(words + options) == 0
    assert preset in capsys.readouterr().out


def test_only_pieces_of_wordpiece_lose_their_mark() -> None:
    pieces = Tokenizer(models.WordPiece({"[UNK]": 0, "北": 1, "##京": 2}, unk_token="[UNK]"))  # type: ignore[call-arg]
    assert token_texts(PreTrainedTokenizerFast(tokenizer_object=pieces)) == ["[UNK]", "北", "京"]
    shipped = load_tokenizer(SHIPPED_TOKENIZER)
    assert token_texts(shipped)[shipped.convert_tokens_to_ids("##")] == "##"


def test_listed_phrases_are_one_unit(capsys: pytest.CaptureFixture[str]) -> None:
    assert "[语言模型]" in shown(capsys, "--masking", "ernie", "--words", "语言模型")


def test_the_picture_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mask.png"
    shown(capsys, "--picture", str(path))
    assert path.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masking": "wwm"}, "unknown"),
        ({"step": 5, "max_steps": 4}, "max_steps=4"),
        ({"step": -1}, "step=-1"),
        ({"corpus": ["texts"]}, "corpus is read for the picture alone"),
        ({"part_of_speech": True}, "part_of_speech is read for the picture alone"),
        ({"text_field": "body", "picture": "a.png"}, "give --corpus"),
    ],
)
def test_wrong_arguments_are_refused_at_construction(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MaskArguments(**changes)


@pytest.mark.parametrize(("option", "message"), [("--words", "reads no words"), ("--data", "counts no table")])
def test_what_a_preset_does_not_read_is_refused(option: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mask", "--text", TEXT, option, "语言"]) == 2
    assert f"preset 'chinese_modernbert' {message}" in capsys.readouterr().err


def test_the_picture_is_measured_on_the_field_of_a_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []
    monkeypatch.setattr(
        masking_preview, "_draw", lambda masker, batch, size, args: measured.append(len(batch["input_ids"]))
    )
    (tmp_path / "a.jsonl").write_text(f'{{"body": "{TEXT}"}}\n' * 3, encoding="utf-8")
    words = ["--corpus", str(tmp_path), "--text_field", "body", "--picture", str(tmp_path / "mask.png")]
    assert main(["mask", *words]) == 0
    assert measured == [3]


def test_the_seed_reaches_the_masker() -> None:
    tokenizer = load_tokenizer(SHIPPED_TOKENIZER)
    assert build_preset(MaskArguments(seed=7), tokenizer).seed == 7


def test_an_empty_text_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mask", "--text", ""]) == 2
    assert "text 1 is empty" in capsys.readouterr().err


def test_the_picture_shows_parts_of_speech(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    drawn: list[dict] = []
    monkeypatch.setattr(masking_preview, "draw_curves", lambda masker, chances, *rest: drawn.append(chances))
    assert main(["mask", "--text", TEXT, "--part_of_speech", "--picture", str(tmp_path / "mask.png")]) == 0
    assert {"NOUN", "VERB"} <= set(drawn[0]["part of speech"])
