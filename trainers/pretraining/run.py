"""The command `pretrain`: checks before any work, model, data, resume, run, final checkpoint."""

import inspect
import json
import logging
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import PreTrainedTokenizerFast, set_seed

from ...evaluation.language_modeling.masked_words import UnigramBaseline
from ...modeling import PRESETS, ChineseModernBertConfig, ChineseModernBertForMaskedLM
from ...modeling.loading import own_config
from ...runtime.files import write_text_atomically
from ...runtime.folder_lock import is_occupied
from ...runtime.options import recorded_options
from ...runtime.processes import hold_folder_together, on_every_process, on_main_process, require_agreement
from ...runtime.settings import differing_settings
from ...runtime.training_arguments import default_arguments
from ...tokenization.extend import new_tokens, start_embeddings
from ...tokenization.loading import VOCABULARY_MULTIPLE, check_vocabulary, load_tokenizer, tokenizer_hash
from ..data.batch_plan import plan_batches
from ..data.packing import PackedRows, SpecialIds
from ..data.shards import TokenShards
from ..data.stages import StagedBatches, stage_ends, stage_weights
from ..masking import Masker, MaskVocabulary, chinese_modernbert
from ..masking.options import masker_from_options
from .arguments import PretrainingArguments, check_compiling
from .averages import WeightAveraging
from .callbacks import EXIT_TO_RESUME
from .checkpoints import WRITING, CheckpointWriter
from .evaluation import Evaluation
from .guards import BatchGuard
from .identity import IDENTITY, RECIPE, find_resume, identity_of
from .log import LOG_FILE
from .objectives import PLAIN, build_objective, check_objective
from .optimizers import check_moments, check_optimizer
from .run_record import RUN_RECORD, run_record
from .schedules import schedule_of_run
from .trainer import PretrainingTrainer
from .vocabulary import FREQUENCIES, check_decoder_start, start_decoder_bias

logger = logging.getLogger(__name__)

FINAL = "final"
FINAL_AVERAGED = "final_averaged"
MACHINE_FIELDS = (
    *("data", "eval_data", "tokenizer", "output_dir", "model", "logging_dir", "run_name", "resume", "use_cpu"),
    *("local_rank", "ddp_backend"),
)


@dataclass(frozen=True)
class Setup:
    """Everything that the checks have opened."""

    tokenizer: PreTrainedTokenizerFast
    shards: TokenShards
    eval_shards: TokenShards | None
    config: ChineseModernBertConfig
    ends: list[int]
    micro_batches_per_step: int
    resume_from: Path | None
    identity: dict[str, Any]


def run_pretraining(arguments: PretrainingArguments) -> Path:
    """Pre-train a model over all its stages.

    Args:
        arguments: see `PretrainingArguments`

    Returns:
        The folder of the final checkpoint, with tokenizer and recipe.

    Raises:
        FileNotFoundError: If data, tokenizer or checkpoint are missing.
        FileExistsError: If the output folder holds another run, or one works in it.
        ValueError: If settings, data, tokenizer and model do not fit together, or a bad step is not to be skipped.
        OSError: If a checkpoint cannot be written.
        SystemExit: With `EXIT_TO_RESUME` after SIGTERM or SIGUSR1, once the running step is saved.
    """
    _require_folders(arguments)
    output = Path(arguments.output_dir or "")
    with hold_folder_together(output):  # no other run may take a checkpoint away between its choice and its loading
        return _run(arguments, output)


def _run(arguments: PretrainingArguments, output: Path) -> Path:
    """Check, train and write `final`, in a folder that this run holds."""
    setup = on_every_process(lambda: check_pretraining(arguments))
    require_agreement({**setup.identity, "checkpoint to go on from": str(setup.resume_from)})
    on_main_process(lambda: _prepare_output(output, arguments, setup))
    set_seed(arguments.seed)
    trainer = build_trainer(arguments, setup)
    try:
        trainer.train(resume_from_checkpoint=str(setup.resume_from) if setup.resume_from else None)
    finally:
        trainer.stop_on_signal.stop_listening()
    if trainer.stop_on_signal.received:
        logger.warning("stopped by %s with a checkpoint; --resume auto goes on", trainer.stop_on_signal.received)
        raise SystemExit(EXIT_TO_RESUME)
    evaluated = any("eval_loss" in log and log["step"] == arguments.max_steps for log in trainer.state.log_history)
    if setup.eval_shards is not None and not evaluated:
        trainer.evaluate()
    with trainer.writer.write(FINAL) as folder:
        trainer.save_model(str(folder))
    if trainer.averages is not None:
        with trainer.writer.write(FINAL_AVERAGED) as folder, trainer.averaged_weights():
            trainer.save_model(str(folder))
    logger.info("final checkpoint in %s%s", output / FINAL, ", its average beside it" if trainer.averages else "")
    return output / FINAL


def check_pretraining(arguments: PretrainingArguments) -> Setup:
    """Open and compare data, tokenizer, model and output folder before any work; sets `max_steps`.

    Raises:
        See `run_pretraining`.
    """
    _require_folders(arguments)
    _check_watching(arguments)
    check_compiling(arguments)
    check_objective(arguments.objective, arguments.objective_options)
    tokenizer = load_tokenizer(arguments.tokenizer)
    made_with = tokenizer_hash(tokenizer)
    # One process of each machine compares; the others wait for it before they read.
    compares = arguments.check_hashes and arguments.local_process_index == 0
    shards = TokenShards(arguments.data, made_with, compares)
    _check_data_options(arguments, shards)
    eval_shards = TokenShards(arguments.eval_data, made_with, compares) if arguments.eval_data else None
    config = _model_config(arguments, tokenizer)
    micro_batches = arguments.gradient_accumulation_steps * arguments.world_size
    if arguments.max_tokens:
        arguments.max_steps = arguments.steps_of_budget(arguments.max_tokens, micro_batches)
    ends = stage_ends(arguments.stages, arguments.max_steps)
    arguments.max_steps = ends[-1]
    # What does not fit is refused before the output folder is touched.
    contexts = [stage.context_length for stage in arguments.stages]
    plan_batches(contexts, ends, micro_batches, arguments.tokens_per_micro_batch, arguments.batch_size_warmup)
    schedule_of_run(arguments, torch.optim.SGD([torch.zeros(1)], lr=1.0), ends[-1])
    longest = max(arguments.eval_context_length or 0, *contexts)
    if longest > config.max_position_embeddings:
        raise ValueError(
            f"context_length={longest} is over the model's max_position_embeddings={config.max_position_embeddings}; "
            "shorten the stage (or eval_context_length) or add model_overrides: {max_position_embeddings: ...}"
        )
    if eval_shards is None and arguments.eval_strategy != "no":
        logger.warning("nothing is evaluated, whatever eval_strategy says: there is no eval_data")
        arguments.eval_strategy = "no"  # pyright: ignore[reportAttributeAccessIssue]
    identity = identity_of(arguments, shards, eval_shards, micro_batches)
    resume_from = find_resume(arguments, identity, shards)
    if arguments.overwrite and resume_from is not None and _lies_in(resume_from, arguments.output_dir):
        raise ValueError(f"overwrite would take {resume_from} away, which resume goes on from; give one of them")
    return Setup(tokenizer, shards, eval_shards, config, ends, micro_batches, resume_from, identity)


def _lies_in(checkpoint: Path, output: str | None) -> bool:
    return checkpoint.resolve().parent == Path(output or "").resolve()


def _require_folders(arguments: PretrainingArguments) -> None:
    for name in ("data", "tokenizer", "output_dir"):
        if not getattr(arguments, name):
            raise ValueError(f"{name} is not given; set it in the recipe or with --{name}")


def build_trainer(arguments: PretrainingArguments, setup: Setup) -> PretrainingTrainer:
    """Build model, data and trainer from what the checks opened."""
    tokenizer, stages = setup.tokenizer, arguments.stages
    specials = SpecialIds.from_tokenizer(tokenizer)
    seed = arguments.data_seed if arguments.data_seed is not None else arguments.seed
    batches = StagedBatches(
        setup.shards,
        stages,
        setup.ends,
        setup.micro_batches_per_step,
        arguments.tokens_per_micro_batch,
        seed,
        specials,
        arguments.source_weights,
        arguments.batch_size_warmup,
    )
    masker = build_masker(arguments, tokenizer, seed, setup.shards)
    model = _build_model(arguments, setup.config, tokenizer, setup.shards)
    objective = build_objective(
        arguments.objective,
        arguments.objective_options,
        model,
        masker,
        tokenizer.all_special_ids,
        setup.shards.token_counts,
    )
    record = {
        RECIPE: _recipe_text(arguments),
        IDENTITY: json.dumps(setup.identity, indent=1) + "\n",
        RUN_RECORD: run_record(setup.shards.folder, None if arguments.model in PRESETS else arguments.model),
    }
    writer = CheckpointWriter(Path(arguments.output_dir or ""), arguments.should_save, tokenizer, record)
    evaluation = _build_evaluation(arguments, setup, specials)
    return PretrainingTrainer(model, arguments, batches, masker, writer, evaluation, objective)


def _build_evaluation(arguments: PretrainingArguments, setup: Setup, specials: SpecialIds) -> Evaluation | None:
    """Return what the run evaluates on, or None without evaluation data."""
    if setup.eval_shards is None:
        return None
    context = arguments.eval_context_length or max(stage.context_length for stage in arguments.stages)
    rows = PackedRows(setup.eval_shards, context, seed=0, epoch=0, specials=specials)
    # The same masks for every method and seed, or their scores could not be compared.
    masker = chinese_modernbert(MaskVocabulary.from_tokenizer(setup.tokenizer))
    masker = replace(masker, rate=arguments.eval_mask_rate)
    return Evaluation(rows, UnigramBaseline(setup.shards.token_counts()), masker, arguments.tokens_per_micro_batch)


def _check_data_options(arguments: PretrainingArguments, shards: TokenShards) -> None:
    """Refuse weights that do not fit the data, and options of the library that would change what a step reads."""
    for number in range(len(arguments.stages)):
        stage_weights(shards, arguments.stages, number, arguments.source_weights or {})
    options = arguments.accelerator_config
    for name in ("split_batches", "dispatch_batches"):
        if getattr(options, name, False):
            raise ValueError(
                f"accelerator_config has {name}: true, but a process reads whole micro-batches; leave it out"
            )


def build_masker(
    arguments: PretrainingArguments, tokenizer: PreTrainedTokenizerFast, seed: int, shards: TokenShards | None = None
) -> Masker:
    """Return the masker of the recipe; the paper's rate peaks where the learning rate's warm-up ends."""
    options = dict(arguments.masking_options or {})
    if arguments.masking == "chinese_modernbert":
        options.setdefault("warmup_share", arguments.get_warmup_steps(arguments.max_steps) / arguments.max_steps)
    vocabulary = MaskVocabulary.from_tokenizer(tokenizer)
    masker = masker_from_options(arguments.masking, options, vocabulary, seed, shards, tokenizer)
    if masker.sampler != "absolute" and not any(masker.target_rate(step / 100) for step in range(101)):
        raise ValueError(f"masking_options={options} mask nothing in the whole run; give a rate above 0")
    return masker


def _check_watching(arguments: PretrainingArguments) -> None:
    """Check what watches over the run, what changes the weights, and what is left.

    Raises:
        ValueError: For values out of range, options that would not act, or a choice of the best checkpoint.
        ImportError: If this torch lacks the optimizer.
    """
    BatchGuard.of_run(arguments)
    check_optimizer(arguments)
    if arguments.take_optimizer:
        _check_taken_optimizer(arguments)
    if arguments.ema_decay is not None:
        WeightAveraging(arguments.ema_decay)
    if arguments.ema_evaluation and (arguments.ema_decay is None or not arguments.eval_data):
        raise ValueError("ema_evaluation: true needs an average (ema_decay) and something to evaluate on (eval_data)")
    if arguments.eval_on_start and not arguments.eval_data:
        raise ValueError("eval_on_start: true needs something to evaluate on (eval_data)")
    for name in ("z_loss", "causal_share"):
        value = getattr(arguments, name)
        if value and arguments.objective != PLAIN:
            raise ValueError(f"{name}={value} is a part of the plain loss; set it to 0, or objective: {PLAIN}")
    if arguments.save_strategy == "best":
        raise ValueError(
            "save_strategy: best does not fit, the schedule ends at the last step; pick a checkpoint by hand"
        )


def _check_taken_optimizer(arguments: PretrainingArguments) -> None:
    """Refuse to take an optimizer that would not fit or is not there.

    Raises:
        ValueError: For a new model, an objective with weights of its own, or a sharded optimizer.
        FileNotFoundError: If the checkpoint holds none.
    """
    if arguments.model in PRESETS:
        raise ValueError(f"take_optimizer: true goes on from a checkpoint, but model='{arguments.model}' is a new one")
    if arguments.objective != PLAIN or arguments.fsdp:
        raise ValueError(
            f"take_optimizer: true is for objective: {PLAIN} on whole weights; leave out fsdp, or take_optimizer"
        )
    check_moments(Path(arguments.model))


def _model_config(arguments: PretrainingArguments, tokenizer: PreTrainedTokenizerFast) -> ChineseModernBertConfig:
    """Return the configuration of a new model, or of the checkpoint to go on from, checked against the tokenizer."""
    overrides = arguments.model_overrides or {}
    if arguments.model in PRESETS:
        known = inspect.signature(ChineseModernBertConfig).parameters.keys() - {"kwargs"}
        if unknown := sorted(overrides.keys() - known):
            raise ValueError(f"model_overrides has no such field of the configuration: {', '.join(unknown)}")
        rows = -(-len(tokenizer) // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE
        kinds = ("pad", "unk", "cls", "sep", "mask")
        ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in kinds}
        config = ChineseModernBertConfig.preset(arguments.model, **{"vocab_size": rows, **ids, **overrides})
    else:
        if not (Path(arguments.model) / "config.json").is_file():
            presets = ", ".join(PRESETS)
            raise FileNotFoundError(f"model='{arguments.model}' is neither a size ({presets}) nor a checkpoint folder")
        if overrides:
            raise ValueError("model_overrides is for a new model; a checkpoint keeps its own configuration")
        config = own_config(arguments.model)
        if config is None:
            kind = json.loads((Path(arguments.model) / "config.json").read_text(encoding="utf-8")).get("model_type")
            raise ValueError(
                f"{arguments.model} is a checkpoint of model type '{kind}', not "
                f"'{ChineseModernBertConfig.model_type}'; convert it first"
            )
        if max(new_tokens(arguments.model, tokenizer), default=0) >= config.vocab_size:
            config.vocab_size = -(-len(tokenizer) // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE
    check_vocabulary(tokenizer, config.vocab_size)
    check_decoder_start(arguments.decoder_starts_at, config, is_new=arguments.model in PRESETS)
    return config


def _build_model(
    arguments: PretrainingArguments,
    config: ChineseModernBertConfig,
    tokenizer: PreTrainedTokenizerFast,
    shards: TokenShards,
) -> ChineseModernBertForMaskedLM:
    """Make a new model, or load one with float32 master weights, and rows for new tokens of the tokenizer."""
    if arguments.model in PRESETS:
        model = ChineseModernBertForMaskedLM(config)
        if arguments.decoder_starts_at == FREQUENCIES:
            start_decoder_bias(model, shards.token_counts())
        return model
    model = ChineseModernBertForMaskedLM.from_pretrained(arguments.model, dtype=torch.float32)
    start_embeddings(model, new_tokens(arguments.model, tokenizer))
    return model


def _prepare_output(output: Path, arguments: PretrainingArguments, setup: Setup) -> None:
    """Make the output folder, or clear an older run of ours out of it when `overwrite` says so.

    Raises:
        FileExistsError: If the folder is not empty, holds another run than the one to go on with, and is not to be
            overwritten.
    """
    if is_occupied(output) and not _holds_this_run(output, setup):
        if not (output / IDENTITY).is_file():
            raise FileExistsError(f"{output} is not empty and holds no run of ours; give output_dir another name")
        if not (arguments.overwrite or arguments.resume == "auto"):
            raise FileExistsError(f"{output} holds a run; add --resume auto to go on, or --overwrite to replace it")
        for path in (*output.glob("checkpoint-*"), output / FINAL, output / FINAL_AVERAGED, output / WRITING):
            shutil.rmtree(path, ignore_errors=True)
        (output / LOG_FILE).unlink(missing_ok=True)
    write_text_atomically(output / IDENTITY, json.dumps(setup.identity, indent=1) + "\n")


def _holds_this_run(output: Path, setup: Setup) -> bool:
    """Return whether the checkpoint to go on from, if any, is one of the folder's own, or of a run equal to its run."""
    if setup.resume_from is None:
        return False
    file = output / IDENTITY
    is_equal = file.is_file() and not differing_settings(json.loads(file.read_text(encoding="utf-8")), setup.identity)
    return is_equal or _lies_in(setup.resume_from, str(output))


def _recipe_text(arguments: PretrainingArguments) -> str:
    """Return the settings that differ from the defaults as a recipe, without the paths of this machine."""
    values = recorded_options(arguments, default_arguments(PretrainingArguments), MACHINE_FIELDS)
    if "stages" in values:
        values["stages"] = [asdict(stage) for stage in arguments.stages]
    plain = json.loads(json.dumps(values, default=str))
    if arguments.model in PRESETS:
        plain["model"] = arguments.model
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
