"""benchmarks/character_bert.py: the pieces of the peer, their masks in each pass, and options that would not act."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from chinese_modernbert.trainers.masking.collator import DataCollatorForWholeWordMasking
from chinese_modernbert.trainers.masking.corruption import MaskVocabulary
from chinese_modernbert.trainers.masking.presets import bert_wwm

FILE = Path(__file__).parents[3] / "benchmarks" / "character_bert.py"
found = importlib.util.spec_from_file_location("character_bert", FILE)
assert found is not None and found.loader is not None
script: Any = importlib.util.module_from_spec(found)
found.loader.exec_module(script)

DOCUMENTS = ["老虎是哺乳动物，生活在森林里。" * 20, "北京是中国的首都。" * 4]


def test_a_piece_has_other_masks_in_each_pass(tmp_path: Path) -> None:
    length = sum(map(len, DOCUMENTS))
    rows = list(script.pieces(DOCUMENTS, 3 * length, seed=1))
    assert sum(len(row["text"]) for row in rows) == 3 * length
    assert max(len(row["text"]) for row in rows) == script.PIECE
    tokenizer = script.train_tokenizer(DOCUMENTS, 1_200, str(tmp_path))
    collator = DataCollatorForWholeWordMasking(tokenizer, bert_wwm(MaskVocabulary.from_tokenizer(tokenizer), seed=1))
    same = [row for row in rows if row["text"] == rows[0]["text"]]
    masks = {tuple(collator([row])["labels"][0].tolist()) for row in same}
    assert len(same) == len(masks) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--muon_learning_rate", "0.01"], "does nothing under --optimizer adamw"),
        (["--vocab_size", "1000"], "leaves no room for characters"),
        ([], "holds a model; give another --output_dir"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "config.json").touch()
    given = ["--corpus", "none.txt", "--characters", "9", "--output_dir", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["script", *given, *words])
    with pytest.raises(SystemExit, match="2"):
        script.read_options()
    assert message in capsys.readouterr().err
