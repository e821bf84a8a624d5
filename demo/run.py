"""The demo: the whole path from generated text to a verified Hub folder, in minutes on a CPU.

Every step is the library's own command with small settings; nothing here is a shortcut around it.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

from transformers import set_seed

from ..hub_release.builder import ReleaseArguments, build_release
from ..hub_release.verification.verify import verify_release
from ..modeling import ChineseModernBertForMaskedLM
from ..runtime.files import new_output_folder, write_text_atomically
from ..runtime.options import load_recipe
from ..tokenization import TokenizerArguments, run_tokenizer_training
from ..tokenization.loading import load_tokenizer
from ..trainers.data.prepare import PrepareArguments, run_prepare
from ..trainers.pretraining.arguments import PretrainingArguments
from ..trainers.pretraining.curves import draw_curves
from ..trainers.pretraining.log import read_training_log
from ..trainers.pretraining.run import check_pretraining, run_pretraining
from .arguments import DemoArguments
from .corpus import DemoCorpus, generate_demo_corpus, write_demo_corpus
from .report import DemoReport, compare_fill_mask, render_report, similarity_matrix

logger = logging.getLogger(__name__)

MARKER = "report.json"
CURVES = "curves.png"


def run_demo(arguments: DemoArguments) -> Path:
    """Run the whole path and write the report.

    Args:
        arguments: see `DemoArguments`

    Returns:
        The Hub folder.

    Raises:
        FileExistsError: For an output folder that holds something else, or an earlier demo without `overwrite`.
        RuntimeError: Where the release does not pass its own verification.
    """
    output = Path(arguments.output_dir)
    with new_output_folder(output, overwrite=arguments.overwrite, marker=MARKER) as folder:
        _run_in(folder, output, arguments)
    logger.info((output / "report.md").read_text(encoding="utf-8"))
    return output / "release"


def _run_in(folder: Path, output: Path, arguments: DemoArguments) -> None:
    """Do every step in `folder`, which becomes `output` when all of them have succeeded."""
    started = time.perf_counter()
    logger.info("1/6 corpus: writing true sentences from tables of facts")
    corpus = generate_demo_corpus(arguments.seed)
    write_demo_corpus(corpus, folder / "corpus")
    logger.info("2/6 tokenizer: %d tokens", arguments.vocab_size)
    tokenizer = run_tokenizer_training(
        TokenizerArguments(
            corpus=[str(folder / "corpus" / "train.jsonl")],
            output_dir=str(folder / "tokenizer"),
            vocab_size=arguments.vocab_size,
            # Every character of a small corpus of many subjects; a third of the vocabulary would spell some by bytes.
            limit_alphabet=arguments.vocab_size // 2,
        )
    )
    logger.info("3/6 shards: ids and word starts")
    for part in ("train", "validation"):
        run_prepare(
            PrepareArguments(
                corpus=[str(folder / "corpus" / f"{part}.jsonl")],
                tokenizer=str(tokenizer),
                output_dir=str(folder / "shards" / part),
                prepare_workers=0,
            )
        )
    logger.info("4/6 pre-training: two stages")
    settings = _pretraining_arguments(folder, arguments)
    set_seed(settings.seed)  # as the run does, so that this is the model that it starts from
    untrained = ChineseModernBertForMaskedLM(check_pretraining(settings).config)
    checkpoint = run_pretraining(settings)
    draw_curves(folder / "pretraining", folder / CURVES, title="Demo pre-training")
    logger.info("5/6 release: a Hub folder")
    release = build_release(
        ReleaseArguments(
            model=str(checkpoint), output_dir=str(folder / "release"), model_name="chinese-modernbert-demo"
        )
    )
    logger.info("6/6 verify: a fresh process without this package")
    report = verify_release(release, checkpoint)
    if not report.is_ok:
        raise RuntimeError(f"the demo's release failed its verification: {report.failed}")
    _write_report(folder, output, corpus, untrained, checkpoint, report.summary(), time.perf_counter() - started)


def _pretraining_arguments(folder: Path, arguments: DemoArguments) -> PretrainingArguments:
    """Return the recipe with this demo's folders."""
    overrides: dict[str, object] = {
        "data": str(folder / "shards" / "train"),
        "eval_data": str(folder / "shards" / "validation"),
        "tokenizer": str(folder / "tokenizer"),
        "output_dir": str(folder / "pretraining"),
        "seed": arguments.seed,
    }
    if arguments.max_steps:
        overrides["max_steps"] = arguments.max_steps
    return load_recipe([PretrainingArguments], arguments.recipe, overrides)[0]


def _write_report(
    folder: Path,
    output: Path,
    corpus: DemoCorpus,
    untrained: ChineseModernBertForMaskedLM,
    checkpoint: Path,
    verification: str,
    seconds: float,
) -> None:
    """Measure what the model learned and write it down as Markdown and JSON."""
    tokenizer = load_tokenizer(checkpoint)
    trained = ChineseModernBertForMaskedLM.from_pretrained(checkpoint).eval()
    log = read_training_log(folder / "pretraining")
    report = DemoReport(
        seconds=seconds,
        training_characters=sum(map(len, corpus.documents)),
        parameters=trained.num_parameters(),
        evaluations=[line for line in log if "eval_word_accuracy" in line],
        losses=[line for line in log if "loss" in line],
        fill_mask=compare_fill_mask(untrained.eval(), trained, tokenizer, corpus.fill_mask),
        sentences=list(corpus.similarity_sentences),
        similarities=similarity_matrix(folder / "release", corpus.similarity_sentences),
        verification=verification.split("\n")[-1].partition(":")[0],
        release=str(output / "release"),
        curves=CURVES,
    )
    (folder / "report.md").write_text(render_report(report), encoding="utf-8")
    write_text_atomically(folder / MARKER, json.dumps(report.to_json(), ensure_ascii=False, indent=1) + "\n")
