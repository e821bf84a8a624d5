"""Maskers from names and plain options, as recipes give them."""

from pathlib import Path

import numpy as np
import pytest

from chinese_modernbert.trainers.data.shards import TokenShards
from chinese_modernbert.trainers.masking import MaskVocabulary, PackedBatch
from chinese_modernbert.trainers.masking.materials.tables import frequency_table
from chinese_modernbert.trainers.masking.options import masker_from_options
from reference.shard_folders import random_documents, write_folder

VOCABULARY = MaskVocabulary(64, 4)
BATCH = PackedBatch(
    input_ids=np.arange(5, 61)[None].repeat(40, 0),
    word_ids=np.repeat(np.arange(28), 2)[None].repeat(40, 0),
    sample_ids=np.arange(40),
)


def test_options_reach_the_preset() -> None:
    masker = masker_from_options("chinese_modernbert", {"low": 0.2, "high": 0.4, "warmup_share": 0.5}, VOCABULARY, 1)
    assert [masker.target_rate(progress) for progress in (0, 0.5, 1)] == pytest.approx([0.2, 0.4, 0.2])
    assert masker.seed == 1


def test_token_units_split_words_and_word_units_do_not() -> None:
    halves = {}
    for units in ("words", "tokens"):
        selected = masker_from_options("chinese_modernbert", {"units": units}, VOCABULARY, 0)(BATCH, 0.05)["selected"]
        halves[units] = int((selected[:, ::2] != selected[:, 1::2]).sum())
    assert halves["words"] == 0 and halves["tokens"] > 100


def test_a_mix_of_masks_alone_leaves_no_selected_token_visible() -> None:
    masked = masker_from_options("chinese_modernbert", {"mix": [1.0, 0.0, 0.0]}, VOCABULARY, 0)(BATCH, 0.05)
    assert masked["selected"].any() and (masked["input_ids"][masked["selected"]] == 4).all()


def test_a_table_is_counted_on_the_shards(tmp_path: Path) -> None:
    shards = TokenShards(write_folder(tmp_path, [random_documents([30, 50], vocab_size=64)], vocab_size=64))
    weights = masker_from_options("weighted_sampling", None, VOCABULARY, 0, shards).weights
    expected = frequency_table([shards[0].input_ids, shards[1].input_ids], 64)
    assert weights is not None and np.array_equal(weights(BATCH), expected[BATCH["input_ids"]].astype(np.float32))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("chinese_bert", {}, "preset 'chinese_bert' is unknown"),
        ("chinese_modernbert", {"hig": 0.4}, "no option 'hig'; did you mean 'high'"),
        ("chinese_modernbert", {"units": "letters"}, "units='letters' is unknown"),
        ("chinese_modernbert", {"mix": [1.0]}, "must hold three shares"),
        ("chinese_modernbert", {"high": "much"}, "do not fit"),
        ("weighted_sampling", {}, "needs a table counted on text"),
        ("macbert", {}, "needs similar words; give similar_words or confusion"),
        ("macbert", {"lexicon": "words.txt"}, "an object of Python code; give similar_words or confusion"),
        ("amlm", {"feedback": 5}, "an object of Python code; leave it out"),
        ("ernie", {"column": "names", "words": ["北京"]}, "names a column that only Python code brings"),
        ("ernie", {}, "give words, or word_files"),
        ("mslm", {"words": ["北京"]}, "reads the text of tokens"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        masker_from_options(name, options, VOCABULARY, 0)
    assert "\n" not in str(caught.value)
