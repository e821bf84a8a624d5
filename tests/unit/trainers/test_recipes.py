"""Every shipped recipe of pre-training and search is read into its dataclass and fits together."""

from pathlib import Path

import pytest

from chinese_modernbert.evaluation.sentences.files import find_set
from chinese_modernbert.modeling import ChineseModernBertConfig
from chinese_modernbert.runtime.options import load_recipe
from chinese_modernbert.runtime.recipes import RECIPES_FOLDER
from chinese_modernbert.trainers.contrastive.arguments import RetrievalArguments
from chinese_modernbert.trainers.data.batch_plan import BatchSizeWarmup
from chinese_modernbert.trainers.data.stages import stage_ends, steps_for_positions
from chinese_modernbert.trainers.pretraining.arguments import PretrainingArguments
from chinese_modernbert.trainers.pretraining.schedules import DampedCosine

RECIPES = sorted(path.stem for path in RECIPES_FOLDER.glob("pretrain_*.yaml"))
SEARCH_RECIPES = sorted(path.stem for path in RECIPES_FOLDER.glob("search_*.yaml"))


def read(name: str, tmp_path: Path, *words: str) -> PretrainingArguments:
    given = ["--output_dir", str(tmp_path), "--use_cpu", "true", "--bf16", "false", "--torch_compile", "false", *words]
    return load_recipe([PretrainingArguments], name, given)[0]


def steps_of(arguments: PretrainingArguments) -> int:
    if not arguments.max_tokens:
        return arguments.max_steps
    ramp = BatchSizeWarmup(arguments.batch_size_warmup_share, arguments.batch_size_warmup_start)
    micro_batches = arguments.gradient_accumulation_steps
    return steps_for_positions(
        arguments.max_tokens, arguments.stages, micro_batches, arguments.tokens_per_micro_batch, ramp
    )


def test_the_sizes_ship() -> None:
    assert {f"pretrain_{name}" for name in ("smoke", "tiny", "mini", "base", "large")} <= set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_read_and_its_stages_model_and_schedule_fit(name: str, tmp_path: Path) -> None:
    arguments = read(name, tmp_path)
    config = ChineseModernBertConfig.preset(arguments.model, **(arguments.model_overrides or {}))
    steps = steps_of(arguments)
    assert stage_ends(arguments.stages, steps)[-1] == steps
    assert 0 < arguments.get_warmup_steps(steps) < steps
    DampedCosine(arguments.lr_cycles, arguments.lr_gamma, arguments.lr_floor)
    for stage in arguments.stages:
        assert arguments.tokens_per_micro_batch % stage.context_length == 0
        assert stage.context_length <= config.max_position_embeddings


@pytest.mark.parametrize("name", [*RECIPES, *SEARCH_RECIPES, "spell", "spell_synthetic"])
def test_a_recipe_says_where_it_comes_from_on_what_it_runs_and_how(name: str) -> None:
    comments = [line for line in (RECIPES_FOLDER / f"{name}.yaml").read_text().split("\n") if line.startswith("#")]
    header = "\n".join(comments)
    assert all(word in header for word in ("Source:", "Hardware:", "Command:"))


@pytest.mark.parametrize("name", ["pretrain_base", "pretrain_large"])
def test_the_full_recipes_have_the_two_published_stages_and_thetas(name: str, tmp_path: Path) -> None:
    stages = read(name, tmp_path).stages
    assert [stage.context_length for stage in stages] == [1024, 8192]
    assert stages[-1].global_rope_theta == 80_000
    assert stages[-1].local_rope_theta == 10_000


@pytest.mark.parametrize("name", ["pretrain_base", "pretrain_large"])
def test_the_growing_batch_of_the_full_recipes_ends_before_the_warm_up_and_keeps_the_budget(
    name: str, tmp_path: Path
) -> None:
    arguments = read(name, tmp_path)
    per_device = arguments.tokens_per_micro_batch * arguments.gradient_accumulation_steps
    steps, full = steps_of(arguments), -(-(arguments.max_tokens or 0) // per_device)
    assert 0 < arguments.batch_size_warmup_share < arguments.warmup_steps
    assert 1.01 < steps / full < 1.03
    assert [stage.long_share for stage in arguments.stages] == [None, 0.5]


def test_a_recipe_can_be_shortened_from_the_command_line(tmp_path: Path) -> None:
    assert read("pretrain_smoke", tmp_path, "--max_steps", "20").max_steps == 20


@pytest.mark.parametrize("name", SEARCH_RECIPES)
def test_a_recipe_for_search_names_sets_and_losses_that_its_kind_has(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHINESE_MODERNBERT_DATA", "data")
    arguments = load_recipe([RetrievalArguments], name, ["--model", "any", "--output_dir", "any"])[0]
    assert name == f"search_{arguments.kind}" and arguments.stages
    for text in [one for stage in arguments.stages for one in stage.data] + arguments.retrieval:
        bare, _, split = text.partition(":")
        assert (split or "train") in find_set(bare).files
