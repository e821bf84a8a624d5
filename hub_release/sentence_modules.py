"""What sentence-transformers reads: modules, pooling, prompts; taken from a checkpoint and written anew."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..modeling import ChineseModernBertConfig
from .checkpoint import CONFIG_FILE, read_json_list, read_json_object, write_json

MODULES_FILE = "modules.json"
LENGTH_FILE = "sentence_bert_config.json"
TOKENIZER_SETTINGS = "tokenizer_config.json"
ENCODER_FILE = "config_sentence_transformers.json"
POOLING_FOLDER = "1_Pooling"
SENTENCE_FILES = (MODULES_FILE, LENGTH_FILE, ENCODER_FILE, f"{POOLING_FOLDER}/{CONFIG_FILE}")
# The old spelling of the module paths and keys: every release of sentence-transformers so far reads it.
TRANSFORMER_MODULE = "sentence_transformers.models.Transformer"
POOLING_MODULE = "sentence_transformers.models.Pooling"
NORMALIZE_MODULE = "sentence_transformers.models.Normalize"
POOLINGS = ("mean", "cls")
# What a reranker's score goes through where nothing is said, as in sentence-transformers for one label.
DEFAULT_SCORE = "torch.nn.modules.activation.Sigmoid"


@dataclass(frozen=True)
class SentenceModules:
    """How a sentence encoder gets from hidden states to embeddings.

    Attributes:
        pooling: `mean` or `cls`
        normalize: embeddings have length 1
        max_length: longest text in tokens; None = the model's longest
        prompts: text put before a query or a document, by name
        default_prompt: name of the prompt that is used where none is named
    """

    pooling: str = "mean"
    normalize: bool = False
    max_length: int | None = None
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str | None = None

    @classmethod
    def read(cls, folder: Path) -> SentenceModules | None:
        """Return the modules of a folder, in any spelling of sentence-transformers; None where it has no modules.

        Raises:
            ValueError: For modules or pooling that a release does not hold.
        """
        if not (folder / MODULES_FILE).is_file():
            return None
        rows = read_json_list(folder / MODULES_FILE)
        kinds = [str(row.get("type")).rpartition(".")[2] for row in rows]
        if kinds[1:] not in (["Pooling"], ["Pooling", "Normalize"]) or kinds[0] != "Transformer":
            raise ValueError(
                f"{folder / MODULES_FILE} has the modules {', '.join(kinds)}; a release holds Transformer, Pooling and "
                "Normalize alone: merge or drop the others"
            )
        encoder = read_json_object(folder / ENCODER_FILE) if (folder / ENCODER_FILE).is_file() else {}
        return cls(
            pooling=_pooling_of(folder / str(rows[1].get("path")) / CONFIG_FILE),
            normalize="Normalize" in kinds,
            max_length=_length_of(folder),
            prompts={str(name): str(text) for name, text in (encoder.get("prompts") or {}).items() if text},
            default_prompt=encoder.get("default_prompt_name"),
        )

    def write(self, folder: Path, config: ChineseModernBertConfig) -> None:
        """Write the files into the folder of a release."""
        modules = [("", TRANSFORMER_MODULE), (POOLING_FOLDER, POOLING_MODULE)]
        if self.normalize:
            modules.append(("2_Normalize", NORMALIZE_MODULE))
        rows = [
            {"idx": index, "name": str(index), "path": path, "type": kind} for index, (path, kind) in enumerate(modules)
        ]
        write_json(folder / MODULES_FILE, rows)
        length = min(self.max_length or config.max_position_embeddings, config.max_position_embeddings)
        write_json(folder / LENGTH_FILE, {"max_seq_length": length, "do_lower_case": False})
        (folder / POOLING_FOLDER).mkdir()
        pooling: dict[str, Any] = {
            "word_embedding_dimension": config.hidden_size,
            "pooling_mode_cls_token": self.pooling == "cls",
            "pooling_mode_mean_tokens": self.pooling == "mean",
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        }
        write_json(folder / POOLING_FOLDER / CONFIG_FILE, pooling)
        encoder = {
            "prompts": self.prompts,
            "default_prompt_name": self.default_prompt,
            "similarity_fn_name": "cosine",
        }
        write_json(folder / ENCODER_FILE, encoder)


def check_reranker(folder: Path) -> None:
    """Refuse a reranker whose scores go through something that its release would not say.

    Raises:
        ValueError: For another function than the one that sentence-transformers takes by itself.
    """
    path = folder / ENCODER_FILE
    given = read_json_object(path).get("activation_fn") if path.is_file() else None
    if given not in (None, DEFAULT_SCORE):
        raise ValueError(
            f"{path} sends scores through {given}, which a release does not name, since loading it would import it; "
            "set activation_fn to null and tell users to pass it to CrossEncoder"
        )


def _pooling_of(path: Path) -> str:
    """Return `mean` or `cls` from a pooling's config.json, in the old or the new spelling."""
    values = read_json_object(path)
    given = values.get("pooling_mode")
    if given is None:
        keys = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
        modes = [name for name, is_used in values.items() if name.startswith("pooling_mode_") and is_used]
        given = keys.get(modes[0]) if len(modes) == 1 else "+".join(modes)
    if given not in POOLINGS:
        raise ValueError(f"{path} pools by {given}; a release pools by {' or '.join(POOLINGS)}")
    return given


def _length_of(folder: Path) -> int | None:
    """Return the longest text that a sentence encoder declares, in tokens."""
    # Where the first file does not say, sentence-transformers 6 leaves it to the tokenizer.
    for path, key in ((folder / LENGTH_FILE, "max_seq_length"), (folder / TOKENIZER_SETTINGS, "model_max_length")):
        given = read_json_object(path).get(key) if path.is_file() else None
        if given is not None:
            return int(given)
    return None
