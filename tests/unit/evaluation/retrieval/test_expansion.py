"""Terms of sparse vectors as a reader sees them, against the library's own decoding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sparse_encoder.modules import SpladePooling

from chinese_modernbert import cli
from chinese_modernbert.evaluation.retrieval.expansion import BROKEN, explain, term_text
from chinese_modernbert.tokenization.loading import load_tokenizer

TEXTS = ["北京是中国的首都", "今天天气很好"]


@pytest.fixture(scope="module")
def model(saved_checkpoint: Path) -> SparseEncoder:
    code = {"trust_remote_code": True}
    options: dict[str, Any] = {"model_kwargs": code, "config_kwargs": code, "processor_kwargs": code}
    module = Transformer(str(saved_checkpoint), transformer_task="fill-mask", **options)
    return SparseEncoder(modules=[module, SpladePooling("max")], device="cpu").eval()


def test_terms_are_those_of_the_library_and_say_which_stand_in_the_text(model: SparseEncoder) -> None:
    expected: Any = model.decode(model.encode(TEXTS))
    for text, found, decoded in zip(TEXTS, explain(model, TEXTS, top=None), expected, strict=True):
        assert found.text == text and found.active == len(found.terms) == len(decoded)
        assert sorted(term.weight for term in found.terms) == pytest.approx(sorted(weight for _, weight in decoded))
        by_weight = {round(weight, 5): token for token, weight in decoded}
        for term in found.terms:
            named = by_weight[round(term.weight, 5)]
            is_letter = named.startswith("<0x") and 0x20 < int(named[3:5], 16) < 0x7F
            assert term.term == (chr(int(named[3:5], 16)) if is_letter else named.strip())
            assert not term.in_text or term.term in text or term.term.startswith("[")
        assert any(term.in_text for term in found.terms) and not all(term.in_text for term in found.terms)


def test_only_the_heaviest_are_shown_heaviest_first(model: SparseEncoder) -> None:
    (found,) = explain(model, TEXTS[:1], top=5)
    weights = [term.weight for term in found.terms]
    assert len(weights) == 5 and weights == sorted(weights, reverse=True)
    assert weights[0] == pytest.approx(torch.max(model.encode(TEXTS[:1]).to_dense()).item())


def test_bytes_of_a_character_have_their_names_and_characters_are_characters(saved_checkpoint: Path) -> None:
    tokenizer = load_tokenizer(saved_checkpoint)
    pieces = [term_text(tokenizer, one) for one in tokenizer("龘北", add_special_tokens=False)["input_ids"]]
    assert pieces == [f"<0x{byte:02X}>" for byte in "龘".encode()] + ["北"]
    assert all(BROKEN not in term_text(tokenizer, one) for one in range(len(tokenizer)))


def test_the_command_prints_lines_or_json(
    model: SparseEncoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model.save(str(tmp_path / "model"))
    words = ["retrieval", "explain", str(tmp_path / "model"), *TEXTS, "--top", "3"]
    assert cli.main(words) == 0
    shown = capsys.readouterr().out
    assert all(text in shown for text in TEXTS) and shown.count("3 of ") == 2
    assert cli.main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["text"] for one in found] == TEXTS and [len(one["terms"]) for one in found] == [3, 3]


@pytest.mark.parametrize(
    ("texts", "top", "message"),
    [([" "], 3, "text 1 is empty"), ("好", 3, "texts is one text"), (["好"], 0, "shows no term")],
)
def test_what_has_no_terms_is_refused(model: SparseEncoder, texts: list[str], top: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        explain(model, texts, top)
