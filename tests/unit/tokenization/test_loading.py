import builtins
import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from chinese_modernbert.modeling.configuration_chinese_modernbert import AUTO_MAP
from chinese_modernbert.tokenization import check_vocabulary, load_tokenizer, save_tokenizer, tokenizer_hash
from chinese_modernbert.trainers.masking.corruption import MaskVocabulary
from reference.tiny_bert import write_tiny_bert


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def test_a_round_trip_keeps_hash_and_ids(tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path) -> None:
    loaded = load_tokenizer(tokenizer_folder)
    assert tokenizer_hash(loaded) == tokenizer_hash(tokenizer)
    assert loaded("我们在北京ＡＢ")["input_ids"] == tokenizer("我们在北京ＡＢ")["input_ids"]


def test_truncation_and_padding_of_a_call_are_neither_hashed_nor_saved(tokenizer_folder: Path, tmp_path: Path) -> None:
    loaded = load_tokenizer(tokenizer_folder)
    before = tokenizer_hash(loaded)
    loaded(["我们"], padding="max_length", truncation=True, max_length=3)
    assert tokenizer_hash(loaded) == before
    saved = json.loads((save_tokenizer(loaded, tmp_path / "again") / "tokenizer.json").read_text(encoding="utf-8"))
    assert saved["truncation"] is None
    assert saved["padding"] is None


@pytest.mark.parametrize("how", ["with a role", "as a token"])
def test_special_tokens_of_ones_own_survive_and_are_never_masked(
    how: str, tokenizer_folder: Path, tmp_path: Path
) -> None:
    given = load_tokenizer(tokenizer_folder)
    if how == "with a role":
        given.add_special_tokens({"additional_special_tokens": ["[ENT]", "[/ENT]"], "eos_token": "[SEP]"})
    else:
        given.add_tokens(["[ENT]", "[/ENT]"], special_tokens=True)
    again = load_tokenizer(save_tokenizer(given, tmp_path / "again"))
    ids = given.convert_tokens_to_ids(["[ENT]", "[/ENT]"])
    assert not set(ids) & set(MaskVocabulary.from_tokenizer(again).ordinary_ids.tolist())
    assert again.get_special_tokens_mask([*ids, 9], already_has_special_tokens=True) == [1, 1, 0]
    assert again.eos_token == given.eos_token
    assert again("[ENT]北京[/ENT]")["input_ids"] == given("[ENT]北京[/ENT]")["input_ids"]
    assert json.loads((tmp_path / "again" / "special_tokens_map.json").read_text("utf-8"))[
        "additional_special_tokens"
    ] == ["[ENT]", "[/ENT]"]


def test_a_tokenizer_of_another_class_keeps_its_class_and_loses_truncation(tmp_path: Path) -> None:
    given = AutoTokenizer.from_pretrained(write_tiny_bert(tmp_path / "bert"))
    given(["北京" * 9], padding=True, truncation=True, max_length=5)
    again = AutoTokenizer.from_pretrained(save_tokenizer(given, tmp_path / "again"))
    assert type(again) is type(given) is not PreTrainedTokenizerFast
    content = json.loads((tmp_path / "again" / "tokenizer.json").read_text(encoding="utf-8"))
    assert content["truncation"] is content["padding"] is None
    assert again("北京的")["input_ids"] == given("北京的")["input_ids"]


def test_no_question_is_asked_about_the_model_beside_a_tokenizer(
    tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of a type that nobody has registered, as where this package's models are not imported.
    config = {"model_type": "of_nobody", "auto_map": AUTO_MAP}
    (tokenizer_folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    asked: list[str] = []
    monkeypatch.setattr(builtins, "input", lambda text="": asked.append(text) or "n")
    assert load_tokenizer(tokenizer_folder)("北京")["input_ids"] and not asked
    AutoTokenizer.from_pretrained(tokenizer_folder)
    assert asked, "Transformers asks no more: load_tokenizer need not say anything"


def test_the_hash_sees_an_added_token(tokenizer_folder: Path) -> None:
    loaded = load_tokenizer(tokenizer_folder)
    before = tokenizer_hash(loaded)
    loaded.add_tokens(["心肌梗死"])
    assert tokenizer_hash(loaded) != before


def test_a_missing_or_broken_folder_is_a_clear_error(tokenizer_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no tokenizer.json in"):
        load_tokenizer(tmp_path / "none")
    (tokenizer_folder / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="cannot be read as a tokenizer"):
        load_tokenizer(tokenizer_folder)


def test_missing_special_tokens_and_templates_are_clear_errors(tokenizer_folder: Path) -> None:
    edit(tokenizer_folder / "tokenizer.json", post_processor=None)
    with pytest.raises(ValueError, match=r"does not wrap a text as \[CLS\] x \[SEP\]"):
        load_tokenizer(tokenizer_folder)
    (tokenizer_folder / "special_tokens_map.json").unlink()
    edit(tokenizer_folder / "tokenizer_config.json", mask_token=None)
    with pytest.raises(ValueError, match="has no mask_token"):
        load_tokenizer(tokenizer_folder)


@pytest.mark.parametrize("vocab_size", [376, 384, 439])
def test_rows_up_to_the_padding_fit(tokenizer: PreTrainedTokenizerFast, vocab_size: int) -> None:
    check_vocabulary(tokenizer, vocab_size)


@pytest.mark.parametrize("vocab_size", [375, 440, 32768])
def test_other_vocabularies_do_not_fit(tokenizer: PreTrainedTokenizerFast, vocab_size: int) -> None:
    with pytest.raises(ValueError, match=f"vocab_size={vocab_size} but the tokenizer has 376 tokens"):
        check_vocabulary(tokenizer, vocab_size)
