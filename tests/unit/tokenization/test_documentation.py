"""The Python blocks of docs/tokenization.md, executed as they stand."""

import re
from pathlib import Path

import pytest
import torch

from chinese_modernbert.modeling import ChineseModernBertForMaskedLM
from chinese_modernbert.tokenization import check_vocabulary, load_tokenizer
from reference.tiny_checkpoint import write_tiny_checkpoint

PAGE = Path(__file__).parents[3] / "docs" / "tokenization.md"
TRAIN, EXTEND = re.findall(r"```python\n(.+?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_block_that_trains_and_looks_makes_tokenizer_and_report(
    sentences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("texts").mkdir()
    Path("texts/a.txt").write_text("\n\n".join(sentences), encoding="utf-8")
    assert "32_768" in TRAIN
    exec(TRAIN.replace("32_768", "376"), {})
    assert len(load_tokenizer("my_tokenizer")) == 376
    assert {file.name for file in Path("tokenizer_report").iterdir()} == {"report.txt", "report.json", "report.png"}


def test_the_block_that_extends_makes_a_checkpoint_with_the_new_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiny_checkpoint(tmp_path / "checkpoint")
    names: dict[str, object] = {}
    exec(EXTEND, names)
    tokenizer, model = load_tokenizer("extended"), ChineseModernBertForMaskedLM.from_pretrained("extended")
    before = ChineseModernBertForMaskedLM.from_pretrained("checkpoint").get_input_embeddings().weight
    check_vocabulary(tokenizer, model.config.vocab_size)
    added = names["added"]
    assert isinstance(added, dict)
    assert tokenizer.convert_ids_to_tokens(list(added)) == ["心肌梗死", "阿司匹林", "嚟", "唔該", "醫學影像"]
    for index, pieces in added.items():
        torch.testing.assert_close(model.get_input_embeddings().weight[index], before[pieces].mean(dim=0))
    text = "佢食咗阿司匹林,唔該嚟睇心肌梗死嘅醫學影像"
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    assert set(added) <= set(ids[0].tolist())
    assert tokenizer.decode(ids[0], skip_special_tokens=True) == text
    assert model(ids).logits.isfinite().all()
