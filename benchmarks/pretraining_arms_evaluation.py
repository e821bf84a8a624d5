"""Score the final checkpoints of pretraining_arms.py by position in the document, and with every chosen token masked.

python benchmarks/pretraining_arms_evaluation.py --runs FOLDER --eval_data SHARDS --results FILE.jsonl

Rows of 1,024 tokens, whole words at 15 %, the same masks for every run: once 80/10/10 as in training, once all [MASK].
Positions are those within the document. Runs that the results file holds are left out.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from chinese_modernbert.evaluation.language_modeling import MaskedLanguageModelingScores, MaskedTokens, UnigramBaseline
from chinese_modernbert.modeling import ChineseModernBertForMaskedLM
from chinese_modernbert.tokenization import load_tokenizer
from chinese_modernbert.trainers.data.packing import PackedRows, SpecialIds
from chinese_modernbert.trainers.data.shards import TokenShards
from chinese_modernbert.trainers.data.stages import stack_rows
from chinese_modernbert.trainers.masking import MaskVocabulary, chinese_modernbert
from chinese_modernbert.trainers.masking.feedback_callback import labelled_positions
from chinese_modernbert.trainers.masking.trainer import mask_tensors

CONTEXT, ROWS = 1_024, 4
BINS = (0, 256, 512, 1_024)
NAMES = [f"{low}-{high - 1}" for low, high in zip(BINS, BINS[1:], strict=False)]
MIXES = {"80/10/10": (0.8, 0.1, 0.1), "all [MASK]": (1.0, 0.0, 0.0)}


@torch.no_grad()
def score(run: Path, rows: PackedRows, mix: tuple[float, float, float]) -> dict[str, object]:
    """Return the scores of one checkpoint, over everything and by bin of positions."""
    folder = run / "run" / "final"
    model = ChineseModernBertForMaskedLM.from_pretrained(folder).eval()
    vocabulary = MaskVocabulary.from_tokenizer(load_tokenizer(folder))
    masker = chinese_modernbert(vocabulary, warmup_share=0.0, low=0.15, high=0.15, mix=mix)
    scores = MaskedLanguageModelingScores(UnigramBaseline(rows.shards.token_counts()), NAMES)
    for first in range(0, len(rows), ROWS):
        batch = stack_rows([rows[number] for number in range(first, min(first + ROWS, len(rows)))])
        documents = batch["document_ids"].numpy()
        inputs, masked = mask_tensors(masker, batch, progress=1.0, epoch=0)
        places = labelled_positions(inputs.pop("labels"))
        logits = model(**inputs, target_positions=places).logits
        selected = masked["selected"]
        labels = masked["labels"][selected]
        chosen = masked["units"].take(masked["chosen"])
        starts = np.diff(documents, axis=1, prepend=-2) != 0
        begins = np.maximum.accumulate(np.where(starts, np.arange(CONTEXT), 0), axis=1)
        position = np.arange(CONTEXT) - begins
        scores.update(
            MaskedTokens(
                labels=labels,
                predictions=logits.argmax(-1).numpy(),
                losses=torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels), reduction="none").numpy(),
                words=np.repeat(np.arange(len(chosen.length)), chosen.length),
                sources=np.searchsorted(BINS, position[selected], side="right") - 1,
            )
        )
    return {"all": scores.compute(), "by_position": scores.compute_by_source()}


def main() -> None:
    """Score what is not scored yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("runs", "eval_data", "results"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    done = set()
    if options.results.exists():
        lines = options.results.read_text(encoding="utf-8").split("\n")
        done = {(json.loads(line)["run"], json.loads(line)["mix"]) for line in lines if line}
    torch.set_num_threads(1)
    runs = sorted(path for path in options.runs.iterdir() if (path / "run" / "final" / "config.json").is_file())
    specials = SpecialIds.from_tokenizer(load_tokenizer(runs[0] / "run" / "final"))
    rows = PackedRows(TokenShards(options.eval_data), CONTEXT, seed=0, epoch=0, specials=specials)
    for run in runs:
        for name, mix in MIXES.items():
            if (run.name, name) not in done:
                line = json.dumps({"run": run.name, "mix": name, **score(run, rows, mix)})
                with options.results.open("a", encoding="utf-8") as stream:
                    stream.write(f"{line}\n")


if __name__ == "__main__":
    main()
