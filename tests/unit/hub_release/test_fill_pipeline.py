"""The pipeline that a release of a masked language model brings, in a process that cannot import this package."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline

from chinese_modernbert.modeling.filling_chinese_modernbert import fill_words

TASK: Any = "fill-words"  # no name that Transformers' types know
TEXTS = ["{mask}是中国的{mask}。", "他{mask}书"]
STRANGER = """
import json, sys
sys.modules["chinese_modernbert"] = None
from transformers import pipeline
fill = pipeline("fill-words", model=sys.argv[1], trust_remote_code=True, top=3)
fill.model.save_pretrained(sys.argv[2])
print(json.dumps([fill(json.loads(sys.argv[3])), fill("他{mask}书", candidates=["读", "饕餮"], top=1)]))
"""


def test_a_stranger_gets_the_words_of_this_library(saved_release: Path, saved_checkpoint: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-c", STRANGER, str(saved_release), str(tmp_path / "copy"), json.dumps(TEXTS)]
    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules")}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found, (given,) = json.loads(done.stdout.split("\n")[-2])
    model = AutoModelForMaskedLM.from_pretrained(saved_checkpoint).eval()
    expected = fill_words(model, AutoTokenizer.from_pretrained(saved_checkpoint), TEXTS, top=3)
    for own, row in zip(expected, found, strict=True):
        assert [one.text for one in own] == [one["sequence"] for one in row]
        for one, told in zip(own, row, strict=True):
            assert told["probabilities"] == pytest.approx([word.probability for word in one.words], rel=1e-3)
            assert told["tokens"] == [list(word.ids) for word in one.words]
    assert given["words"][0] in ("读", "饕餮")
    # What was loaded can be saved: Transformers puts classes into the configuration while it looks the pipeline up.
    saved = json.loads((tmp_path / "copy" / "config.json").read_text(encoding="utf-8"))
    assert saved["custom_pipelines"]["fill-words"]["pt"] == ["AutoModelForMaskedLM"]


def test_an_unknown_option_is_named(saved_release: Path) -> None:
    with pytest.raises(ValueError, match="width: no option of fill-words"):
        pipeline(TASK, model=str(saved_release), trust_remote_code=True, width=3)


def test_without_trust_no_code_of_the_folder_runs(saved_release: Path) -> None:
    with pytest.raises(ValueError, match="trust_remote_code"):
        pipeline(TASK, model=str(saved_release), trust_remote_code=False)
