"""The options of `predict`."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from pathlib import Path

from ...runtime.options import argument

OUTPUT_FORMS = (".jsonl", ".csv", ".tsv")


@dataclass
class PredictArguments:
    """Which rows to read, which fine-tuned model answers, where its answers go."""

    model: str = argument(MISSING, "Folder or Hub name of a fine-tuned model; may stand first.", group="Model and data")
    data: str = argument(MISSING, "File of rows: .jsonl, .json, .csv, .tsv or .txt, alone or with .gz.")
    fields: list[str] = argument(list, "Columns of the texts; if none: text, or question and context.", names=True)
    columns: list[str] = argument(list, "Names of the columns where the first line is a row.", names=True)
    kind: str = argument("", "choice: the one output of the model scores the choices of a row.")
    tokenizer: str = argument("", "Folder or name of the tokenizer, if it is not the model's.")
    trust_remote_code: bool = argument(False, "Allow the model's own code from its folder or the Hub.")

    output_file: str = argument("predictions.jsonl", "File to write: .jsonl, .csv or .tsv.", group="Output")
    overwrite: bool = argument(False, "Replace output_file.")

    max_length: int = argument(
        0, "Longest input in tokens, what is longer is cut; 0: all that the model takes.", group="Machine"
    )
    batch_size: int = argument(32, "Rows at once.")
    bf16: bool = argument(False, "Autocast to bfloat16.")
    use_cpu: bool = argument(False, "Do not use a GPU.")

    def __post_init__(self) -> None:
        """Check what can be checked before a model is loaded.

        Raises:
            ValueError: If a number is out of range, or the output has another form.
            FileExistsError: If the output is there and `overwrite` is off.
        """
        for name, lowest in (("batch_size", 1), ("max_length", 0)):
            if getattr(self, name) < lowest:
                raise ValueError(f"{name}={getattr(self, name)} is under {lowest}; give {lowest} or more")
        if self.kind not in ("", "choice"):
            raise ValueError(f"kind='{self.kind}' is not choice; leave it out, the model tells all others")
        if not self.output_file.endswith(OUTPUT_FORMS):
            raise ValueError(f"output_file='{self.output_file}' must end in {', '.join(OUTPUT_FORMS)}")
        if Path(self.output_file).exists() and not self.overwrite:
            raise FileExistsError(f"{self.output_file} is there; give another output_file, or --overwrite")
