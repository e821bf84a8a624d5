"""The options of `explain`."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from typing import Literal

from ...runtime.options import argument

METHODS = ("leave_one_out", "gradient", "search")


@dataclass
class ExplainArguments:
    """Which model and texts to explain, how, and where the report goes."""

    model: str = argument(MISSING, "Folder or Hub name of a fine-tuned classifier; may stand first.", group="Model")
    tokenizer: str = argument("", "Folder or name of the tokenizer, if it is not the model's.")
    trust_remote_code: bool = argument(False, "Allow the model's own code from its folder or the Hub.")

    data: str = argument(
        "", "File of rows, .jsonl, .json, .csv, .tsv, .txt (.gz); of a task its archives' folder.", "Data"
    )
    task: str = argument("", "Name of a CLUE task, or YAML file of a task of your own, instead of a file.")
    split: Literal["train", "dev", "test"] = argument("dev", "Rows of the task.")
    fields: list[str] = argument(list, "Columns of the file's texts, one or two; if none: text.", names=True)
    label_field: str = argument("label", "Column of the file's label, which need not be there.")
    columns: list[str] = argument(list, "Names of the columns where the file's first line is a row.", names=True)
    max_examples: int = argument(100, "Rows to draw at random.", within="[2, inf)")

    methods: list[str] = argument(
        list, f"{', '.join(METHODS)}; if none: all. Random is always measured.", "Method", True
    )
    label: str = argument("", "Label to explain; if empty: the one that the model gives.")
    beams: int = argument(1, "Orders that search keeps at each step.", within="[1, inf)")
    random_orders: int = argument(5, "Random orders of each text's words.", within="[1, inf)")
    segmenter: str = argument("rjieba", "Cuts the words that are masked at once: rjieba, jieba, lexicon or none.")
    user_dictionary: str | None = argument(None, "File with one word per line for the segmenter.")
    seed: int = argument(0, "Draws rows and random orders.", within="[0, 4294967295]")

    output_dir: str = argument("explain", "Folder of report, picture and page of texts.", group="Output")
    overwrite: bool = argument(False, "Replace a report in output_dir.")

    max_length: int = argument(
        0, "Longest input in tokens; 0: the task's, or all that the model takes.", group="Machine", within="[0, inf)"
    )
    batch_size: int = argument(64, "Masked rows at once.", within="[1, inf)")
    use_cpu: bool = argument(False, "Do not use a GPU.")

    def __post_init__(self) -> None:
        """Check what can be checked before a model is loaded.

        Raises:
            ValueError: If neither rows nor a task are given, a method is unknown, or an option would not act.
        """
        if not (self.data or self.task):
            raise ValueError("no texts are given; add --data with a file of rows, or --task with a name of CLUE")
        idle = [name for name in ("fields", "columns") if getattr(self, name)] if self.task else []
        idle += ["label_field"] if self.task and self.label_field != "label" else []
        if idle:
            raise ValueError(f"{idle[0]} is not read beside task, which names its columns; leave it out")
        if self.split != "dev" and not self.task:
            raise ValueError(f"split='{self.split}' is read of a task alone; leave it out, or add --task")
        self.methods = self.methods or list(METHODS)
        unknown = [name for name in self.methods if name not in METHODS]
        if unknown or len({*self.methods}) != len(self.methods):
            raise ValueError(f"methods={','.join(self.methods)} are not some of {', '.join(METHODS)}, each once")
        if self.beams != 1 and "search" not in self.methods:
            raise ValueError(f"beams={self.beams} is read by search alone; add it to methods, or leave beams out")
