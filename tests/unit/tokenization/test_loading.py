import json
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from chinese_modernbert.tokenization import check_vocabulary, load_tokenizer, save_tokenizer, tokenizer_hash


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
