"""The Python blocks of docs/tokenization.md, executed as they stand."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import DataCollatorForTokenClassification, Trainer, TrainingArguments

from chinese_modernbert.modeling import ChineseModernBertForMaskedLM
from chinese_modernbert.tokenization import check_vocabulary, load_tokenizer
from reference.tiny_checkpoint import write_tiny_checkpoint

PAGE = Path(__file__).parents[3] / "docs" / "tokenization.md"
ENTITIES, TRAIN, EXTEND = re.findall(r"```python\n(.+?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


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


def test_the_block_on_entities_gives_exact_spans_in_the_pipeline_of_transformers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiny_checkpoint(tmp_path / "checkpoint")
    before, comment, after = re.split(r"(# train: .+\n)", ENTITIES)
    names: dict[str, Any] = {}
    exec(before, names)
    assert "DataCollatorForTokenClassification(tagging.tokenizer)" in comment
    rows = [{name: row[name] for name in ("input_ids", "attention_mask", "labels")} for row in names["rows"]]
    arguments = TrainingArguments(
        "out", max_steps=60, learning_rate=3e-3, use_cpu=True, report_to=[], save_strategy="no"
    )
    collator = DataCollatorForTokenClassification(names["tagging"].tokenizer)
    Trainer(names["model"].train(), arguments, data_collator=collator, train_dataset=rows).train()  # pyright: ignore[reportArgumentType]
    exec(after, names)
    found = [
        [(one["start"], one["end"], one["entity_group"]) for one in names["find"](text)]
        for text in ("小明住在New York", "他1998年在北京")
    ]
    assert found == [[(0, 2, "person"), (4, 12, "place")], [(7, 9, "place")]]


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
