"""Every folder below hub_release/models is a release that verifies today, small, native, and able to fill a blank."""

import json
from pathlib import Path

import pytest
from transformers import AutoModelForMaskedLM, AutoTokenizer

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
    model = AutoModelForMaskedLM.from_pretrained(released).eval()
    assert type(model).__module__.startswith("transformers.")
    (found,) = fill_words(model, AutoTokenizer.from_pretrained(released), ["北京是中国的{mask}。"], tokens=1)
    assert len(found) == 5 and found[0].words[0].probability > 1e-3
