"""Every folder below hub_release/models is a release that verifies, small, native, and able to do what it is for."""

import json
from pathlib import Path

import pytest
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

from chinese_modernbert.cli import main
from chinese_modernbert.modeling.filling_chinese_modernbert import fill_words

MODELS = Path(__file__).parents[2] / "hub_release" / "models"
MOST_BYTES = 40_000_000
NONE = pytest.param(None, marks=pytest.mark.skip(reason="hub_release/models holds no release yet"), id="none")
FOLDERS = sorted(path for path in MODELS.glob("*") if path.is_dir())


@pytest.fixture(params=FOLDERS or [NONE], ids=lambda path: path.name)
def released(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_a_shipped_model_verifies(released: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(released)]) == 0, capsys.readouterr().out


def test_a_shipped_model_is_small_and_loads_without_trust(released: Path) -> None:
    assert sum(path.stat().st_size for path in released.rglob("*") if path.is_file()) <= MOST_BYTES
    config = json.loads((released / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "modernbert" and config["dtype"] == "bfloat16"
    model = AutoModel.from_pretrained(released, trust_remote_code=False)
    assert type(model).__module__.startswith("transformers.")


def test_a_shipped_model_does_what_it_is_for(released: Path) -> None:
    config = json.loads((released / "config.json").read_text(encoding="utf-8"))
    if config["architectures"] == ["ModernBertForMaskedLM"]:
        model = AutoModelForMaskedLM.from_pretrained(released, trust_remote_code=False).eval()
        tokenizer = AutoTokenizer.from_pretrained(released, trust_remote_code=False)
        (found,) = fill_words(model, tokenizer, ["他生病了，今天要去{mask}看医生。"], tokens=1)
        assert found[0].words[0].text == "医院" and found[0].words[0].probability > 0.5
    else:
        encoder = SentenceTransformer(str(released), trust_remote_code=False, device="cpu")
        texts = ["怎么把手机里的照片传到电脑上？", "手机照片如何导入电脑？", "今天晚饭吃什么？"]
        (same, other) = encoder.similarity(encoder.encode(texts[:1]), encoder.encode(texts[1:]))[0].tolist()
        assert same > other + 0.2
