from pathlib import Path

import pytest
import torch
from transformers import ModernBertConfig, ModernBertForMaskedLM, PreTrainedTokenizerFast

from chinese_modernbert.tokenization import load_tokenizer, save_tokenizer
from chinese_modernbert.tokenization.extend import add_tokens, start_embeddings


@pytest.fixture
def own_tokenizer(tokenizer_folder: Path) -> PreTrainedTokenizerFast:
    return load_tokenizer(tokenizer_folder)


def tiny_model(vocab_size: int, tied: bool) -> ModernBertForMaskedLM:
    config = ModernBertConfig(
        vocab_size=vocab_size,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        tie_word_embeddings=tied,
        decoder_bias=True,
        pad_token_id=0,
        bos_token_id=2,
        cls_token_id=2,
        eos_token_id=3,
        sep_token_id=3,
    )
    return ModernBertForMaskedLM(config)


def test_an_added_token_is_one_token_with_exact_offsets_and_survives_saving(
    own_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    before = len(own_tokenizer)
    added = add_tokens(own_tokenizer, ["心肌梗死", "ＣＴ检查"])
    assert list(added) == [before, before + 1]
    again = load_tokenizer(save_tokenizer(own_tokenizer, tmp_path / "extended"))
    encoding = again("患心肌梗死做ＣＴ检查", add_special_tokens=False, return_offsets_mapping=True)
    assert set(added) <= set(encoding["input_ids"])
    assert (1, 5) in encoding["offset_mapping"]
    assert again.decode(encoding["input_ids"]) == "患心肌梗死做CT检查"


@pytest.mark.parametrize("tied", [True, False])
def test_new_rows_are_the_mean_of_their_pieces(own_tokenizer: PreTrainedTokenizerFast, tied: bool) -> None:
    model = tiny_model(len(own_tokenizer), tied)
    with torch.no_grad():
        model.decoder.bias.normal_()
    inputs, bias = model.get_input_embeddings().weight.detach().clone(), model.decoder.bias.detach().clone()
    outputs = model.decoder.weight.detach().clone()
    added = add_tokens(own_tokenizer, ["心肌梗死", "大学公园"])
    start_embeddings(model, added)
    assert model.get_input_embeddings().weight.shape[0] == 384
    for index, pieces in added.items():
        torch.testing.assert_close(model.get_input_embeddings().weight[index], inputs[pieces].mean(dim=0))
        torch.testing.assert_close(model.decoder.weight[index], outputs[pieces].mean(dim=0))
        torch.testing.assert_close(model.decoder.bias[index], bias[pieces].mean(dim=0))
    torch.testing.assert_close(model.get_input_embeddings().weight[: len(inputs)], inputs)


def test_tokens_of_the_vocabulary_are_left_out(
    own_tokenizer: PreTrainedTokenizerFast, caplog: pytest.LogCaptureFixture
) -> None:
    assert add_tokens(own_tokenizer, ["北京"]) == {}
    assert "1 of 1 new tokens are in the vocabulary already" in caplog.text


@pytest.mark.parametrize(
    ("token", "text"), [("ALT", "SALTY"), ("CT检查", "FCT检查"), ("检查5", "检查52"), ("é检", "né检"), ("ＣＴ", "ACTS")]
)
def test_a_token_that_is_found_inside_longer_words_is_warned_of(
    own_tokenizer: PreTrainedTokenizerFast, caplog: pytest.LogCaptureFixture, token: str, text: str
) -> None:
    added = add_tokens(own_tokenizer, ["心肌梗死", token])
    assert len(added) == 2 and max(added) in own_tokenizer(text)["input_ids"]
    assert "1 new tokens are also found inside longer words" in caplog.text
    assert "心肌梗死" not in caplog.text


def test_chinese_tokens_are_added_without_a_warning(
    own_tokenizer: PreTrainedTokenizerFast, caplog: pytest.LogCaptureFixture
) -> None:
    add_tokens(own_tokenizer, ["心肌梗死", "维A酸", "嚟"])
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["心肌", "心肌"], "occurs twice"),
        (["ＣＴ", "CT"], "occurs twice"),
        (["[URL]"], "looks like a special token"),
        (["<0x41>"], "looks like a special token"),
        (["[MASK]"], "looks like a special token"),
        ([""], "is empty"),
        (["心肌 "], "white space at an end"),
        (["\ud800"], "lone surrogate"),
    ],
)
def test_unusable_tokens_are_refused_and_nothing_is_added(
    own_tokenizer: PreTrainedTokenizerFast, tokens: list[str], message: str
) -> None:
    before = len(own_tokenizer)
    with pytest.raises(ValueError, match=message):
        add_tokens(own_tokenizer, tokens)
    assert len(own_tokenizer) == before


def test_a_model_of_another_vocabulary_is_refused(own_tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ValueError, match="they do not belong together"):
        start_embeddings(tiny_model(270, tied=True), {400: [300, 301]})
