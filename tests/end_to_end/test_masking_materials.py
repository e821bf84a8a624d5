"""Presets that read more than the vocabulary, from recipes: they train, go on exactly, know a file by its content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chinese_modernbert.runtime.options import load_recipe
from chinese_modernbert.trainers.pretraining.arguments import PretrainingArguments
from chinese_modernbert.trainers.pretraining.run import check_pretraining, run_pretraining
from reference.pretraining_run import Run, assert_same_weights, run_until, settings


def confusion(folder: Path, name: str, line: str) -> str:
    (folder / name).write_text(f"的\t在\n有\t也\n{line}", encoding="utf-8")
    return str(folder / name)


def test_similar_words_train_and_a_resume_knows_them_by_content(make_run: Run, tmp_path: Path) -> None:
    one, renamed, other = (
        {"masking": "macbert", "masking_options": {"confusion": [confusion(tmp_path, name, line)]}}
        for name, line in (("a.txt", "会\t是\n"), ("b.txt", "会\t是\n"), ("c.txt", "会\t共\n"))
    )
    expected = run_pretraining(make_run("straight", **one))
    run_until(5, make_run("broken", **one))
    with pytest.raises(ValueError, match="settings: masking_options was"):
        check_pretraining(make_run("broken", resume="auto", **other))
    again = make_run("broken", resume="auto", dataloader_num_workers=1, **renamed)
    assert_same_weights(expected, run_pretraining(again))


@pytest.mark.parametrize(
    "changes",
    [
        {"masking": "pos_weighting"},  # its table follows the model, by a column that the masker makes
        {"masking": "mslm", "masking_options": {"words": ["老虎"], "term_weight": 2.0, "other_weight": 0.8}},
    ],
)
def test_columns_are_made_as_batches_are_masked(make_run: Run, changes: dict[str, Any]) -> None:
    straight = run_pretraining(make_run("straight", **changes))
    run_until(5, make_run("broken", **changes))
    assert_same_weights(straight, run_pretraining(make_run("broken", resume="auto", **changes)))


def test_the_recipe_runs_with_neighbors_of_a_checkpoint(make_run: Run, data: Path, tmp_path: Path) -> None:
    first = run_pretraining(make_run("first"))
    given = {**settings(data, tmp_path / "run"), "bf16": False, "dataloader_num_workers": 0, "max_tokens": None}
    given.pop("masking", None)
    options = {"embeddings": str(first), "minimum_similarity": -1.0}
    arguments = load_recipe([PretrainingArguments], "pretrain_macbert", {**given, "masking_options": options})[0]
    assert arguments.masking == "macbert"
    assert (run_pretraining(arguments) / "model.safetensors").is_file()
    with pytest.raises(ValueError, match="preset 'macbert' needs similar words; give"):
        run_pretraining(load_recipe([PretrainingArguments], "pretrain_macbert", given | {"overwrite": True})[0])
