"""Options of `demo` and `benchmark`, apart from the code that they start, so that `--help` is quick."""

from dataclasses import dataclass
from pathlib import Path

from ..runtime.options import argument

# Lengths in tokens of the texts of each case; those of `mixed` are measured ones where there are data.
CASES = {"mixed": [], "short": [128] * 16, "full": [512] * 4, "long_2048": [2048], "long_8192": [8192]}
RESULTS_FILE = "speed.json"


@dataclass
class DemoArguments:
    """How the demo runs."""

    output_dir: str = argument("outputs/demo", "Folder for everything that the demo makes.")
    overwrite: bool = argument(False, "Replace an earlier demo in output_dir.")
    recipe: str = argument("pretrain_demo", "Recipe of its pre-training.")
    max_steps: int | None = argument(None, "Optimizer steps; null: the recipe's.", within="[1, inf)")
    vocab_size: int = argument(4_096, "Tokens of its vocabulary.")
    seed: int = argument(0, "Seed of the corpus and of the training.")


@dataclass
class SpeedArguments:
    """What to measure."""

    model: str = argument("base", "Size of both (tiny, mini, small, base, large), or a folder whose sizes they take.")
    cases: list[str] = argument(
        list, f"Batches: {', '.join(CASES)}; if empty, all but short and long_8192.", names=True
    )
    dtypes: list[str] = argument(list, "float32, bfloat16, float16; if empty, float32.", names=True)
    training: bool = argument(False, "Forward and backward of the loss at 30 % masking, under autocast, not encoding.")
    compiled: bool = argument(False, "Compile: of ours the layers, of Transformers' model the whole.")
    attention: str = argument("sdpa", "Kernel of Transformers' model.")
    device: str = argument("", "cpu or cuda; the GPU if there is one by default.")
    repeats: int = argument(5, "Rounds of each case.")
    output_dir: str | None = argument(None, f"Folder for {RESULTS_FILE}, the results and the machine; null: none.")

    def __post_init__(self) -> None:
        """Fill in the defaults.

        Raises:
            ValueError: For an unknown size, case or dtype, or no round.
        """
        import torch

        from ..modeling import PRESETS

        self.cases = self.cases or ["mixed", "full", "long_2048"]
        self.dtypes = self.dtypes or ["float32"]
        self.device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        for name, given, known in (
            ("model", [] if (Path(self.model) / "config.json").is_file() else [self.model], PRESETS),
            ("cases", self.cases, CASES),
            ("dtypes", self.dtypes, ("float32", "bfloat16", "float16")),
        ):
            if unknown := [one for one in given if one not in known]:
                raise ValueError(f"{name}: '{unknown[0]}' is unknown; use {', '.join(known)}")
        if self.repeats < 1:
            raise ValueError(f"repeats={self.repeats} measures nothing; use 1 or more, better 5")
