"""Going on from a checkpoint, with new tokens: commands from the words to the release, and what is refused."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from chinese_modernbert.cli import main
from chinese_modernbert.modeling import ChineseModernBertForMaskedLM
from chinese_modernbert.runtime.files import model_fingerprint
from chinese_modernbert.tokenization import load_tokenizer, save_tokenizer
from chinese_modernbert.tokenization.extend import new_tokens
from chinese_modernbert.trainers.pretraining.log import read_training_log
from chinese_modernbert.trainers.pretraining.run import build_trainer, check_pretraining, run_pretraining
from chinese_modernbert.trainers.pretraining.run_record import RUN_RECORD
from reference.pretraining_run import Run

EMBEDDING = "model.embeddings.tok_embeddings.weight"
WORDS = ["哺乳动物", "第一条大街", *(f"生活在森林{i}" for i in range(80))]


@pytest.fixture
def checkpoint(make_run: Run) -> Path:
    """Return a checkpoint of a short run."""
    return run_pretraining(make_run("first", max_steps=4, warmup_steps=0))


@pytest.fixture
def extended(checkpoint: Path, tmp_path: Path) -> Path:
    """Return the checkpoint's tokenizer with new tokens, made by the command."""
    (tmp_path / "words.txt").write_text("\n".join(WORDS) + "\n\n", encoding="utf-8")
    words = ["--tokenizer", str(checkpoint), "--tokens", str(tmp_path / "words.txt")]
    assert main(["tokenizer", "extend", *words, "--output_dir", str(tmp_path / "extended")]) == 0
    return tmp_path / "extended"


def test_a_run_with_new_tokens_starts_from_old_rows_and_means_learns_and_is_released(
    checkpoint: Path, extended: Path, make_run: Run, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "corpus.txt").write_text("\n\n".join(f"老虎是哺乳动物，生活在森林{i % 80}。" for i in range(200)))
    words = ["--corpus", str(tmp_path / "corpus.txt"), "--tokenizer", str(extended), "--prepare_workers", "0"]
    assert main(["prepare", *words, "--output_dir", str(tmp_path / "shards")]) == 0
    arguments = make_run(
        "second",
        model=str(checkpoint),
        model_overrides=None,
        tokenizer=str(extended),
        data=str(tmp_path / "shards"),
        eval_data=None,
        max_steps=60,
        save_steps=60,
        warmup_steps=2,
    )
    setup = check_pretraining(arguments)
    old, before = load_tokenizer(checkpoint), load_file(checkpoint / "model.safetensors")[EMBEDDING]
    rows = build_trainer(arguments, setup).model.get_input_embeddings().weight.detach().clone()
    assert len(rows) % 64 == 0 and len(rows) >= len(setup.tokenizer) > len(before)
    assert torch.equal(rows[: len(old)], before[: len(old)])
    for number, pieces in new_tokens(checkpoint, setup.tokenizer).items():
        assert len(pieces) > 1 and torch.allclose(rows[number], before[pieces].mean(dim=0))
    final = run_pretraining(arguments)
    losses = [line["loss"] for line in read_training_log(str(arguments.output_dir)) if "loss" in line]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    assert ChineseModernBertForMaskedLM.from_pretrained(final).config.vocab_size == len(rows)
    assert load_tokenizer(final)("第一条大街", add_special_tokens=False)["input_ids"] == [len(old)]
    assert main(["release", "--model", str(final), "--output_dir", str(tmp_path / "release")]) == 0
    start = json.loads((tmp_path / "release" / "training_provenance.json").read_text(encoding="utf-8"))["start"]
    assert start["model"] == model_fingerprint(checkpoint)
    assert start["before"] == json.loads((checkpoint / RUN_RECORD).read_text(encoding="utf-8"))


def test_the_own_tokenizer_adds_nothing(checkpoint: Path) -> None:
    assert new_tokens(checkpoint, load_tokenizer(checkpoint)) == {}


def test_another_tokenizer_is_refused(checkpoint: Path, extended: Path, make_run: Run, tmp_path: Path) -> None:
    grown = tmp_path / "grown"
    save_tokenizer(load_tokenizer(extended), checkpoint)
    with pytest.raises(ValueError, match=r"is not that of .* with tokens added \(\d+ tokens have other ids"):
        check_pretraining(make_run("second", model=str(checkpoint), model_overrides=None))
    assert not grown.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "holds no word"), ("[MASK]\n", "looks like a special token"), ("老虎\n老虎\n", "occurs twice")],
)
def test_tokens_that_cannot_be_added_are_refused(
    text: str, message: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "words.txt").write_text(text, encoding="utf-8")
    words = ["--tokenizer", str(checkpoint), "--tokens", str(tmp_path / "words.txt")]
    assert main(["tokenizer", "extend", *words, "--output_dir", str(tmp_path / "extended")]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "extended").exists()
