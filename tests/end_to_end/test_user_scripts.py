"""What a user writes: plain Transformers and sentence-transformers scripts on a release, without this package."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from chinese_modernbert.cli import imported, split_command
from chinese_modernbert.commands import COMMANDS
from chinese_modernbert.hub_release.builder import ReleaseArguments, build_release
from chinese_modernbert.runtime.options import accepted_names
from chinese_modernbert.runtime.recipes import find_recipe
from reference.processes import run
from reference.tiny_checkpoint import write_tiny_checkpoint

ROOT = Path(__file__).parents[2]

# The first lines of each script: this package cannot be imported, so the code must come from the folder.
ISOLATED = """
import sys
sys.modules["chinese_modernbert"] = None
folder, output = sys.argv[1:]
"""

TRANSFORMERS = """
import torch
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer, pipeline
from transformers import DataCollatorForLanguageModeling, DataCollatorWithPadding, Trainer, TrainingArguments

fill = pipeline("fill-mask", folder, trust_remote_code=True)
answers = fill("老虎是哺乳[MASK]。", top_k=3)
assert len(answers) == 3 and all(0 < answer["score"] < 1 for answer in answers), answers

tokenizer = AutoTokenizer.from_pretrained(folder)
rows = [{**tokenizer(text), "labels": label} for text, label in [("老虎会游泳。", 1), ("北京在南方吗？", 0)] * 4]
quiet = dict(output_dir=output, max_steps=2, per_device_train_batch_size=4, report_to=[], save_strategy="no",
             use_cpu=True, disable_tqdm=True)
model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True, num_labels=2)
before = {name: value.clone() for name, value in model.state_dict().items()}
trainer = Trainer(model, TrainingArguments(**quiet), train_dataset=rows, processing_class=tokenizer,
                  data_collator=DataCollatorWithPadding(tokenizer))
assert trainer.train().training_loss > 0
still = [name for name, value in model.state_dict().items() if torch.equal(value, before[name])]
assert not still, still

texts = [{"input_ids": tokenizer(text)["input_ids"]} for text in ["老虎会游泳。", "北京是中国的首都。"] * 4]
masked = AutoModelForMaskedLM.from_pretrained(folder, trust_remote_code=True)
Trainer(masked, TrainingArguments(**quiet), train_dataset=texts,
        data_collator=DataCollatorForLanguageModeling(tokenizer)).train()

trainer.save_model(output + "/saved")
again = AutoModelForSequenceClassification.from_pretrained(output + "/saved", trust_remote_code=True).eval()
batch = tokenizer(["老虎", "北京是中国的首都。"], padding=True, return_tensors="pt")
with torch.no_grad():
    torch.testing.assert_close(model.eval()(**batch).logits, again(**batch).logits)
"""

SENTENCE_TRANSFORMERS = """
import numpy
from sentence_transformers import SentenceTransformer

model = SentenceTransformer(folder, trust_remote_code=True, device="cpu")
texts = ["北京是中国的首都。", "中国的首都叫北京。", "老虎", ""]
vectors = model.encode(texts)
assert vectors.shape == (4, model.get_sentence_embedding_dimension()) and numpy.isfinite(vectors).all()
alone = numpy.concatenate([model.encode([text]) for text in texts])
numpy.testing.assert_allclose(vectors, alone, atol=1e-5)  # neighbours and padding change nothing
model.save(output + "/saved")
again = SentenceTransformer(output + "/saved", trust_remote_code=True, device="cpu")
numpy.testing.assert_allclose(again.encode(texts), vectors, atol=1e-5)
"""


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("users")
    checkpoint = write_tiny_checkpoint(folder / "checkpoint")
    return build_release(ReleaseArguments(str(checkpoint), str(folder / "release")))


@pytest.mark.parametrize("script", [TRANSFORMERS, SENTENCE_TRANSFORMERS], ids=["transformers", "sentence_transformers"])
def test_it_runs_without_this_package(script: str, release: Path, tmp_path: Path) -> None:
    if script is SENTENCE_TRANSFORMERS:
        pytest.importorskip("sentence_transformers")
    words = [sys.executable, "-c", ISOLATED + script, str(release), str(tmp_path)]
    done = run(words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("page", [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").rglob("*.md"))], ids=str)
def test_every_command_on_a_page_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in re.findall(r"^ *chinese-modernbert (.+)$", text, flags=re.MULTILINE):
        command, options = split_command(line.partition("#")[0].split())
        if command.startswith("--") or command == "COMMAND":
            continue
        assert command in COMMANDS, line
        known = accepted_names(imported(COMMANDS[command].arguments)) | {"config", "help", "help_all"}
        known |= {f"no_{name}" for name in known}  # turns a switch off
        named = {word[2:].partition("=")[0] for word in options if word.startswith("--")}
        assert named <= known, line
        for before, after in zip(options, options[1:], strict=False):
            if before == "--config" and not after.endswith(".yaml"):
                find_recipe(after)
