"""What sentence-transformers reads: modules, pooling, prompts; taken from a checkpoint and written anew."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..modeling import ChineseModernBertConfig
from .arguments import DENSE_POOLINGS, SPLADE
from .checkpoint import CONFIG_FILE, read_json_list, read_json_object, write_json

MODULES_FILE = "modules.json"
LENGTH_FILE = "sentence_bert_config.json"
TOKENIZER_SETTINGS = "tokenizer_config.json"
ENCODER_FILE = "config_sentence_transformers.json"
POOLING_FOLDER = "1_Pooling"
SPLADE_FOLDER = "1_SpladePooling"
# Patterns of the files of any kind of encoder.
SENTENCE_FILES = (MODULES_FILE, LENGTH_FILE, ENCODER_FILE, f"{POOLING_FOLDER}/*", f"{SPLADE_FOLDER}/*")
# The old spelling of the module paths and keys: every release of sentence-transformers so far reads it.
TRANSFORMER_MODULE = "sentence_transformers.models.Transformer"
POOLING_MODULE = "sentence_transformers.models.Pooling"
NORMALIZE_MODULE = "sentence_transformers.models.Normalize"
LANGUAGE_MODEL_MODULE = "sentence_transformers.sparse_encoder.models.MLMTransformer"
SPLADE_MODULE = "sentence_transformers.sparse_encoder.models.SpladePooling"
# How `SpladePooling` is set where nothing is said, and how a release has it.
SPLADE_SETTINGS = {"pooling_strategy": "max", "activation_function": "relu"}
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")
# What the weights of two span means go into in `clue`; a release has no place for it.
SPAN_HEAD_FILE = "span_head.safetensors"
# What a reranker's score goes through where nothing is said, as in sentence-transformers for one label.
DEFAULT_SCORE = "torch.nn.modules.activation.Sigmoid"


@dataclass(frozen=True)
class SentenceModules:
    """How a sentence encoder gets from hidden states to embeddings.

    Attributes:
        pooling: `mean` or `cls` for a dense encoder, `splade` for a sparse one
        normalize: embeddings have length 1
        max_length: longest text in tokens; None = the model's longest
        prompts: text put before a query or a document, by name
        default_prompt: name of the prompt that is used where none is named
        similarity: how two embeddings are compared, one of `SIMILARITIES`
    """

    pooling: str = "mean"
    normalize: bool = False
    max_length: int | None = None
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    similarity: str = "cosine"

    @classmethod
    def read(cls, folder: Path) -> SentenceModules | None:
        """Return the modules of a folder, in any spelling of sentence-transformers; None where it has no modules.

        Raises:
            ValueError: For modules, pooling or settings that a release does not hold and would lose without a word.
        """
        if not (folder / MODULES_FILE).is_file():
            return None
        rows = read_json_list(folder / MODULES_FILE)
        kinds = [str(row.get("type")).rpartition(".")[2] for row in rows]
        is_sparse = kinds in (["MLMTransformer", "SpladePooling"], ["Transformer", "SpladePooling"])
        if not is_sparse and kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
            raise ValueError(
                f"{folder / MODULES_FILE} has the modules {', '.join(kinds)}; a release holds Transformer, Pooling and "
                "Normalize alone, or MLMTransformer and SpladePooling: merge or drop the others"
            )
        place = str(rows[1].get("path"))
        if Path(place).name != place:
            raise ValueError(f"{folder / MODULES_FILE} names the folder {place!r}, a plain name is needed")
        encoder = _object_of(folder / ENCODER_FILE)
        pooling = read_json_object(folder / place / CONFIG_FILE)
        similarity = encoder.get("similarity_fn_name") or ("dot" if is_sparse else "cosine")
        lost = {
            "truncate_dim": encoder.get("truncate_dim"),
            "include_prompt": None if pooling.get("include_prompt", True) else False,
            "do_lower_case": _object_of(folder / LENGTH_FILE).get("do_lower_case") or None,
            "similarity_fn_name": None if similarity in SIMILARITIES else similarity,
        }
        for name, value in lost.items():
            if value is not None:
                raise ValueError(f"{folder} sets {name}={value!r}, which a release does not hold; save it without")
        prompts = encoder.get("prompts")
        return cls(
            pooling=(_splade_of if is_sparse else _pooling_of)(pooling, folder / place / CONFIG_FILE),
            normalize="Normalize" in kinds,
            max_length=_length_of(folder),
            prompts={str(name): str(text) for name, text in prompts.items() if text} if prompts else {},
            default_prompt=encoder.get("default_prompt_name"),
            similarity=similarity,
        )

    @property
    def is_sparse(self) -> bool:
        """Whether embeddings have a number for each token of the vocabulary."""
        return self.pooling == SPLADE

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that `write` writes."""
        folder = SPLADE_FOLDER if self.is_sparse else POOLING_FOLDER
        return (MODULES_FILE, LENGTH_FILE, ENCODER_FILE, f"{folder}/{CONFIG_FILE}")

    def write(self, folder: Path, config: ChineseModernBertConfig) -> None:
        """Write the files into the folder of a release."""
        modules = [("", TRANSFORMER_MODULE), (POOLING_FOLDER, POOLING_MODULE)]
        if self.is_sparse:
            modules = [("", LANGUAGE_MODEL_MODULE), (SPLADE_FOLDER, SPLADE_MODULE)]
        if self.normalize:
            modules.append(("2_Normalize", NORMALIZE_MODULE))
        rows = [
            {"idx": index, "name": str(index), "path": path, "type": kind} for index, (path, kind) in enumerate(modules)
        ]
        write_json(folder / MODULES_FILE, rows)
        length = min(self.max_length or config.max_position_embeddings, config.max_position_embeddings)
        write_json(folder / LENGTH_FILE, {"max_seq_length": length, "do_lower_case": False})
        place = modules[1][0]
        (folder / place).mkdir()
        write_json(folder / place / CONFIG_FILE, self._pooling_settings(config))
        encoder = {
            "prompts": self.prompts,
            "default_prompt_name": self.default_prompt,
            "similarity_fn_name": self.similarity,
            # Without it `SparseEncoder` takes the folder for a dense encoder and adds a layer of random weights.
            **({"model_type": "SparseEncoder"} if self.is_sparse else {}),
        }
        write_json(folder / ENCODER_FILE, encoder)

    def _pooling_settings(self, config: ChineseModernBertConfig) -> dict[str, Any]:
        """Return the settings of the pooling, in the spelling that every version reads."""
        if self.is_sparse:
            return {"pooling_strategy": "max", "word_embedding_dimension": config.vocab_size}
        return {
            "word_embedding_dimension": config.hidden_size,
            "pooling_mode_cls_token": self.pooling == "cls",
            "pooling_mode_mean_tokens": self.pooling == "mean",
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        }


def check_reranker(folder: Path) -> None:
    """Refuse a reranker whose scores go through something that its release would not say.

    Raises:
        ValueError: For another function than the one that sentence-transformers takes by itself.
    """
    path = folder / ENCODER_FILE
    given = _object_of(path).get("activation_fn")
    if given not in (None, DEFAULT_SCORE):
        raise ValueError(
            f"{path} sends scores through {given}, which a release does not name, since loading it would import it; "
            "set activation_fn to null and tell users to pass it to CrossEncoder"
        )


def check_no_span_head(folder: Path) -> None:
    """Refuse a folder whose encoder is half of a classifier of two spans.

    Raises:
        ValueError: Where the other half lies beside it.
    """
    if (folder / SPAN_HEAD_FILE).is_file():
        raise ValueError(
            f"{folder} holds {SPAN_HEAD_FILE}, a head that no Auto class loads and a release has no place for; "
            "move it away to release the encoder alone"
        )


def _object_of(path: Path) -> dict[str, Any]:
    """Return the JSON object of a file; empty where there is no file."""
    return read_json_object(path) if path.is_file() else {}


def _pooling_of(values: dict[str, Any], path: Path) -> str:
    """Return `mean` or `cls` from the values of a pooling's config.json, in the old or the new spelling."""
    given = values.get("pooling_mode")
    if given is None:
        keys = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
        modes = [name for name, is_used in values.items() if name.startswith("pooling_mode_") and is_used]
        given = keys.get(modes[0]) if len(modes) == 1 else "+".join(modes)
    if given not in DENSE_POOLINGS:
        raise ValueError(f"{path} pools by {given}; a release pools by {' or '.join(DENSE_POOLINGS)}")
    return given


def _splade_of(values: dict[str, Any], path: Path) -> str:
    """Return `splade` where the settings of its pooling are those that a release holds."""
    given = {name: values.get(name, value) for name, value in SPLADE_SETTINGS.items()}
    if given != SPLADE_SETTINGS:
        raise ValueError(f"{path} pools by {given}; a release pools by {SPLADE_SETTINGS}")
    return SPLADE


def _length_of(folder: Path) -> int | None:
    """Return the longest text that a sentence encoder declares, in tokens."""
    # Where the first file does not say, sentence-transformers 6 leaves it to the tokenizer.
    for path, key in ((folder / LENGTH_FILE, "max_seq_length"), (folder / TOKENIZER_SETTINGS, "model_max_length")):
        given = _object_of(path).get(key)
        if given is not None:
            return int(given)
    return None
