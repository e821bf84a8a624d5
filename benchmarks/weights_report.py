r"""What the page of a released model needs, from a finished run: scores, the released folder, and its check.

python benchmarks/weights_report.py --weights FOLDER --name mini [--steps pairs clue ...]

FOLDER is that of `make weights`. Every step is a command of this package, and one that is finished is not run again;
stop it at any time and start it again with the same words. FOLDER/report/record.md holds the commands, their time, and
the figures; beside it lie the reports of the commands. The release goes to hub_release/models/NAME, that of the
sentence encoder made from it to NAME-sentences; their cards hold the reports that are there by then.
"""

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from chinese_modernbert.evaluation.clue.task_section import format_spread
from chinese_modernbert.hub_release.card.training_facts import is_evaluated
from chinese_modernbert.runtime.environment import describe_environment
from chinese_modernbert.runtime.files import model_fingerprint, write_text_atomically
from chinese_modernbert.runtime.markdown import markdown_table
from chinese_modernbert.trainers.pretraining import read_training_log

MODELS = Path(__file__).parents[1] / "hub_release" / "models"
# Words in capitals are folders: the run, its weights, its shards, the reports, the releases; and what their cards add.
STEPS = {
    "curves": "pretrain plot RUN --picture REPORT/curves.png",
    "pairs": "minimal-pairs MODEL --output_dir REPORT/pairs --overwrite",
    "blanks": "fill evaluate MODEL --output_dir REPORT/blanks --overwrite",
    "clue": "clue --config clue_mini --model MODEL --output_dir REPORT/clue",
    "words": "pretrain --config pretrain_mini_bag_of_words --model MODEL --data SHARDS --output_dir REPORT/words "
    "--resume auto",
    "sentences": "sts --config sts_mini --model REPORT/words/final --output_dir REPORT/sentences",
    "release": "release --model MODEL --output_dir RELEASE --dtype bfloat16 --notes NOTES "
    "--clue_report REPORT/clue/report.json --overwrite",
    "verify": "verify RELEASE --checkpoint MODEL",
    "release_sentences": "release --model REPORT/sentences/final --output_dir SENTENCES --dtype bfloat16 --notes NOTES "
    "--sts_report REPORT/sentences --overwrite",
    "verify_sentences": "verify SENTENCES --checkpoint REPORT/sentences/final",
}
NEEDED_BY = {
    "sentences": ("words",),
    "verify": ("release",),
    "release_sentences": ("sentences",),
    "verify_sentences": ("release_sentences",),
}


def folders_of(weights: Path, name: str) -> dict[str, Path]:
    """Return what the words in capitals stand for; the averaged weights are the final ones where there are such."""
    run = weights / "run"
    model = next((run / one for one in ("final_averaged", "final") if (run / one / "config.json").is_file()), None)
    if model is None:
        raise SystemExit(f"{run} is not finished: it has no final weights; go on with it by make weights")
    return {
        "RUN": run,
        "MODEL": model,
        "SHARDS": weights / "shards" / "train",
        "REPORT": weights / "report",
        "RELEASE": MODELS / name,
        "SENTENCES": MODELS / f"{name}-sentences",
        "NOTES": MODELS / "notes.md",
    }


def filled(word: str, folders: dict[str, Path]) -> str:
    """Return a word with its folder filled in."""
    first, _, rest = word.partition("/")
    return str(folders[first] / rest) if first in folders else word


def words_of(step: str, folders: dict[str, Path]) -> list[str]:
    """Return the words of a step, without a report that is not there."""
    words = STEPS[step].split()
    for option in [word for word in words if word.endswith("_report")]:
        at = words.index(option)
        if not Path(filled(words[at + 1], folders)).exists():
            del words[at : at + 2]
    return words


def command_of(step: str, folders: dict[str, Path]) -> list[str]:
    """Return the words of a step with its folders filled in."""
    return [filled(word, folders) for word in words_of(step, folders)]


def read_state(file: Path, model: Path) -> dict[str, Any]:
    """Return what is done, about these weights and no others."""
    fingerprint = model_fingerprint(model)
    state = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"model": fingerprint, "steps": {}}
    if state["model"] != fingerprint:
        raise SystemExit(f"{file} is about {state['model']}, not {fingerprint}; move its folder away")
    return state


def is_about_release(step: str) -> bool:
    """Return whether a step writes or reads a release, whose folder has the name that was given."""
    return bool({"RELEASE", "SENTENCES"} & set(STEPS[step].split()))


def is_done(step: str, state: dict[str, Any], folders: dict[str, Path]) -> bool:
    """Return whether a step is finished, one about a release under this name."""
    name = folders["RELEASE"].name
    return step in state["steps"] and state["steps"][step].get("name", name) == name


def run_steps(names: list[str], folders: dict[str, Path]) -> dict[str, Any]:
    """Run what is not finished, one after another; the first that fails ends it."""
    file = folders["REPORT"] / "steps.json"
    state = read_state(file, folders["MODEL"])
    for step in names:
        if is_done(step, state, folders):
            continue
        if lacking := [one for one in NEEDED_BY.get(step, ()) if not is_done(one, state, folders)]:
            raise SystemExit(f"{step} needs {', '.join(lacking)}; name it too, before {step}")
        began, words = time.perf_counter(), words_of(step, folders)
        command = [sys.executable, "-m", "chinese_modernbert.cli", *command_of(step, folders)]
        if code := subprocess.run(command, check=False).returncode:
            raise SystemExit(f"{step} ended with code {code}; the same command goes on here")
        seconds = round(time.perf_counter() - began, 1)
        done = {"command": shlex.join(["chinese-modernbert", *words]), "seconds": seconds}
        state["steps"][step] = {**done, "name": folders["RELEASE"].name} if is_about_release(step) else done
        write_text_atomically(file, json.dumps(state, indent=1) + "\n")
    return state


def masked_words(run: Path) -> list[list[str]]:
    """Return the rows of the run's last evaluation, which it has: all positions, then each bin."""
    scores = next(line for line in reversed(read_training_log(run)) if "eval_loss" in line)
    names = [name.partition("/")[2] for name in scores if name.startswith("eval_loss/position_")]
    rows = []
    for name in ("", *names):
        end = f"/{name}" if name else ""
        loss, tokens, words = (scores[f"eval_{kind}{end}"] for kind in ("loss", "token_accuracy", "word_accuracy"))
        title = name.removeprefix("position_").replace("_", " to ") or "all"
        rows.append([title, f"{loss:.3f}", f"{100 * tokens:.2f}", f"{100 * words:.2f}"])
        rows[-1].append(f"{scores[f'eval_masked_tokens{end}']:,.0f}")
    return rows


def summary_of(report: Path) -> list[list[str]]:
    """Return (what, figure) of the reports that are there."""

    def read(step: str) -> Any:
        file = report / step / "report.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"models": [], "tasks": []}

    rows = []
    for one in read("pairs")["models"]:
        for masking, scores in one["scores"].items():
            found = ", ".join(f"{name} {100 * each['overall']['value']:.2f}" for name, each in scores.items())
            rows.append([f"minimal pairs right, one {masking} masked at once", f"{found} %"])
    for one in read("blanks")["models"]:
        rows.append(["everyday sentences right", f"{one['right']} of {len(one['sentences'])}, {one['first']} at first"])
    for one in read("clue")["tasks"]:
        rows.append([f"{one['task']}, dev, {one['metric']}", format_spread(one["dev"])])
    return rows


def write_record(state: dict[str, Any], folders: dict[str, Path]) -> Path:
    """Write commands, time and figures, without a folder of this machine."""
    commands = [[f"`{one['command']}`", f"{one['seconds']:,.0f}"] for one in state["steps"].values()]
    lines = [f"# {folders['RELEASE'].name}: {state['model']}", ""]
    lines += markdown_table(("command", "seconds"), commands)
    if is_evaluated(folders["MODEL"]):
        lines += ["", "Masked words of held-out text, by position in the document; accuracies in percent.", ""]
        lines += markdown_table(("positions", "loss", "tokens", "words", "masked tokens"), masked_words(folders["RUN"]))
    else:
        lines += ["", "The run evaluated its last weights, these are their average: no figures of masked words."]
    lines += ["", *markdown_table(("score", "figure"), summary_of(folders["REPORT"]))]
    weights = folders["RELEASE"] / "model.safetensors"
    if weights.is_file():
        whole = sum(path.stat().st_size for path in folders["RELEASE"].rglob("*") if path.is_file())
        lines += ["", f"Released: {weights.stat().st_size / 1e6:.1f} MB of weights, {whole / 1e6:.1f} MB in all."]
    lines += ["", "## Machine", "", *(f"- {name}: {value}" for name, value in describe_environment().items())]
    write_text_atomically(folders["REPORT"] / "record.md", "\n".join(lines) + "\n")
    return folders["REPORT"] / "record.md"


def main() -> None:
    """Run the steps and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="folder of make weights")
    parser.add_argument("--name", required=True, help="of the folder below hub_release/models")
    parser.add_argument("--steps", nargs="+", choices=list(STEPS), default=list(STEPS), help="default: all")
    options = parser.parse_args()
    folders = folders_of(options.weights, options.name)
    print(write_record(run_steps(options.steps, folders), folders))


if __name__ == "__main__":
    main()
