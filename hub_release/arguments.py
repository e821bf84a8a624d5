"""Options of the commands of this room, apart from the code that they start, so that `--help` is quick."""

from __future__ import annotations

import sys
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime.lazy import EXTRAS, require_packages
from ..runtime.options import argument
from .poolings import DENSE_POOLINGS, SPLADE

if TYPE_CHECKING:
    from .onnx.files import OnnxOptions

DTYPES = ("float32", "bfloat16")
GGUF_TYPES = ("f32", "f16", "q8_0")
MAIN = "main"


@dataclass
class ReleaseArguments:
    """What to release, and how."""

    model: str = argument(MISSING, "Folder of a model with its tokenizer, of any head.", group="Input and output")
    output_dir: str = argument(MISSING, "Folder to write.")
    overwrite: bool = argument(False, "Replace an earlier release in output_dir.")
    dtype: str = argument("float32", "Data type of the weights: float32 or bfloat16.")

    max_length: int = argument(0, "Longest text in tokens; 0: the model's longest.", group="Sentence encoder")
    pooling: str = argument("", "mean, cls or splade (sparse); if empty, as the model says.")
    normalize: bool = argument(False, "Scale sentence embeddings to length 1 (adds 2_Normalize).")

    onnx: list[str] = argument(list, "ONNX graphs in fp32, int8 or both; none if empty.", group="ONNX", names=True)
    onnx_graphs: list[str] = argument(
        list, "model, encoder, embedding; if empty, model, and embedding if there is one.", names=True
    )
    onnx_shape: str = argument("", "Also graphs for this shape alone, BATCHxLENGTH such as 8x128.")

    model_name: str = argument("", "owner/name; if empty, that of the folder.", group="Model card")
    base_model: str = argument("", "Model on the Hub that it was trained from, owner/name.")
    license_id: str = argument("apache-2.0", "Licence identifier.")
    clue_report: str = argument("", "report.json of clue on this checkpoint.")
    sts_report: str = argument("", "Output folder of sts on this checkpoint.")
    retrieval_report: str = argument("", "Output folder of retrieval that measured this model.")
    tokenizer_report: str = argument("", "Output folder of tokenizer report on this tokenizer.")
    notes: str = argument("", "Markdown file that the card's limits end with.")

    def __post_init__(self) -> None:
        """Check what can be checked without reading the checkpoint.

        Raises:
            ValueError: For an unknown dtype or pooling, a negative length, an output folder that is the checkpoint, a
                base model whose name the Hub does not allow, or ONNX options that are not offered or act on nothing.
            FileNotFoundError: For notes that are not there.
            ImportError: Where ONNX graphs are asked for and a package of the extra `onnx` is absent.
        """
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype={self.dtype!r} is not offered; use one of {', '.join(DTYPES)}")
        if self.pooling not in ("", *DENSE_POOLINGS, SPLADE):
            raise ValueError(
                f"pooling={self.pooling!r} is not offered; use one of {', '.join((*DENSE_POOLINGS, SPLADE))}"
            )
        if self.max_length < 0:
            raise ValueError(f"max_length={self.max_length} is negative; use 0 for the model's longest text")
        if Path(self.model).resolve() == Path(self.output_dir).resolve():
            raise ValueError(f"output_dir {self.output_dir} is the checkpoint itself; give another folder")
        if not self.onnx and (self.onnx_graphs or self.onnx_shape):
            given = "onnx_graphs" if self.onnx_graphs else "onnx_shape"
            raise ValueError(f"{given} acts where ONNX graphs are written; give onnx too: fp32, int8 or both")
        if self.notes and not Path(self.notes).is_file():
            raise FileNotFoundError(f"notes {self.notes} is not there; give a Markdown file")
        if self.base_model:
            from huggingface_hub.utils import validate_repo_id

            validate_repo_id(self.base_model)
        if self.onnx_options():
            require_packages("ONNX graphs", EXTRAS["onnx"])

    def onnx_options(self) -> OnnxOptions | None:
        """Return which graphs are asked for, or None.

        Raises:
            ValueError: For ONNX options that are not offered.
        """
        if not self.onnx:
            return None
        from .onnx.files import OnnxOptions

        return OnnxOptions.parse(",".join(self.onnx), ",".join(self.onnx_graphs), self.onnx_shape)


@dataclass
class ConversionArguments:
    """Which checkpoint to convert, and to what."""

    model: str = argument(MISSING, "Folder of a checkpoint with safetensors weights; may stand first.")
    output_dir: str = argument(MISSING, "Folder to write.")
    zero_mean_residual: bool = argument(
        False, "Give one of ours with RMSNorm a residual stream of mean zero, in place of a translation."
    )
    overwrite: bool = argument(False, "Replace an earlier conversion in output_dir.")

    def __post_init__(self) -> None:
        """Check the paths.

        Raises:
            ValueError: Where output and input are the same folder.
        """
        if Path(self.model).resolve() == Path(self.output_dir).resolve():
            raise ValueError(f"output_dir {self.output_dir} is the model itself; give another folder")


@dataclass
class GgufArguments:
    """Which release to write for llama.cpp, and with which checkout."""

    model: str = argument(MISSING, "Released folder; may stand first.")
    llama_cpp: str = argument(MISSING, "Source checkout of llama.cpp; if it is built, the file is checked with it.")
    output_file: str = argument(MISSING, "GGUF file to write.")
    outtype: str = argument("f16", "Type of the weights: f32, f16 or q8_0.")
    overwrite: bool = argument(False, "Replace an earlier output_file.")
    python: str = argument(sys.executable, "Interpreter of the converter's process.")

    def __post_init__(self) -> None:
        """Check the type.

        Raises:
            ValueError: For an unknown type.
        """
        if self.outtype not in GGUF_TYPES:
            raise ValueError(f"outtype={self.outtype!r} is not offered; use one of {', '.join(GGUF_TYPES)}")


@dataclass
class VerifyArguments:
    """Which release to verify, and against what."""

    model: str = argument(MISSING, "Released folder; may stand first.")
    checkpoint: str | None = argument(None, "Checkpoint that it was built from; null: the release's own weights.")
    python: str = argument(sys.executable, "Interpreter of the isolated process.")


@dataclass
class PushArguments:
    """What to upload, and where to."""

    model: str = argument(MISSING, "Released folder; may stand first.", group="What and where to")
    repo_id: str = argument(MISSING, "Repository, owner/name; without an owner it is the token's own user.")
    revision: str = argument(MAIN, "Branch to write to; made where it is missing.")
    tag: str = argument("", "Tag for the uploaded state, such as v1.0; must be new.")
    message: str = argument("", "Commit message; if empty, this library and its version.")

    public: bool = argument(False, "Anyone may read the repository, not its owner alone.", group="How")
    overwrite: bool = argument(False, "Write even where the repository holds no release.")
    verify: bool = argument(True, "Verify the folder in an isolated process before the upload.")
    dry_run: bool = argument(False, "List what would go, with sizes; use no network.")

    def __post_init__(self) -> None:
        """Check the name of the repository.

        Raises:
            ValueError: For a name that the Hub does not allow, or an empty revision.
        """
        from huggingface_hub.utils import validate_repo_id

        validate_repo_id(self.repo_id)
        if not self.revision:
            raise ValueError("revision is empty; give the name of a branch, main is the default")
