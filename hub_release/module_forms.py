"""The modules of sentence-transformers that a release may hold behind its encoder: classes, settings, tensors.

One table serves the reader, which refuses what it does not hold, the builder, and the check of a stranger's folder. No
class is imported here or by its readers: a name in a file is compared with the table and is never followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from .checkpoint import CONFIG_FILE, WEIGHTS_FILE, read_json_object, read_tensors, write_json, write_weights
from .json_forms import form_faults

TOKENS = frozenset(("token_embeddings",))
TASKS = frozenset(("query", "document"))
IDENTITY = "torch.nn.modules.linear.Identity"
DIMENSION = "word_embedding_dimension"


@dataclass(frozen=True)
class ModuleForm:
    """What a release holds of one class.

    Attributes:
        reference: the class as sentence-transformers is told it, in the oldest spelling that still loads
        folder: where a release has its settings and tensors; empty where it has none
        routed: the same in the route of documents, beside one of queries that has no model; empty where it has none
        settings: form of each key of its `config.json`, see `json_forms`
        defaults: what the library takes where a key is absent
        renamed: older names of keys by newer ones; the older are written, which every version reads
        tensors: names of its tensors
        has_tokenizer: a tokenizer lies beside them
    """

    reference: str
    folder: str = ""
    routed: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    tensors: tuple[str, ...] = ()
    has_tokenizer: bool = False


_POOLINGS = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
_SPLADE = ModuleForm(
    "sentence_transformers.sparse_encoder.models.SpladePooling",
    "1_SpladePooling",
    "document_1_SpladePooling",
    {
        "pooling_strategy": frozenset(("max", "sum")),
        "activation_function": frozenset(("relu", "log1p_relu")),
        DIMENSION: (int, None),
    },
    {"pooling_strategy": "max", "activation_function": "relu", DIMENSION: None},
    {"embedding_dimension": DIMENSION},
)
# Modules of late interaction exist since sentence-transformers 6 and have no older spelling.
_LATE = "sentence_transformers.multi_vector_encoder.modules"
MODULE_FORMS: Mapping[str, ModuleForm] = {
    "Transformer": ModuleForm("sentence_transformers.models.Transformer"),
    "MLMTransformer": ModuleForm("sentence_transformers.sparse_encoder.models.MLMTransformer"),
    # Its settings have two spellings, which `sentence_modules` reads.
    "Pooling": ModuleForm(
        "sentence_transformers.models.Pooling",
        "1_Pooling",
        settings={DIMENSION: int, **{f"pooling_mode_{name}": bool for name in _POOLINGS}},
    ),
    "SpladePooling": _SPLADE,
    "Router": ModuleForm("sentence_transformers.models.Router"),
    # Behind SPLADE's pooling it leaves a text the weights of its own tokens; alone it is the way of queries.
    "SparseStaticEmbedding": ModuleForm(
        "sentence_transformers.sparse_encoder.models.SparseStaticEmbedding",
        "2_SparseStaticEmbedding",
        "document_2_SparseStaticEmbedding",
        {"frozen": bool},
        {"frozen": False},
        tensors=("weight",),
        has_tokenizer=True,
    ),
    "Dense": ModuleForm(
        "sentence_transformers.models.Dense",
        "1_Dense",
        settings={
            **{"in_features": int, "out_features": int, "bias": frozenset((False,))},
            # By this name the library imports a class, with trust any class.
            "activation_function": frozenset((IDENTITY,)),
            **{"module_input_name": TOKENS, "module_output_name": TOKENS, "use_residual": frozenset((False,))},
        },
        defaults={"module_output_name": "token_embeddings", "use_residual": False},
        tensors=("linear.weight",),
    ),
    "MultiVectorMask": ModuleForm(
        f"{_LATE}.MultiVectorMask",
        "2_MultiVectorMask",
        settings={"skiplist_words": [str], "skiplist_tasks": [TASKS], "keep_only_token_ids": None},
        defaults={"skiplist_words": [], "skiplist_tasks": ["document"], "keep_only_token_ids": None},
    ),
    "Normalize": ModuleForm(
        "sentence_transformers.models.Normalize",
        "3_Normalize",
        settings={"module_input_name": TOKENS, "module_output_name": TOKENS},
        defaults={"module_output_name": "token_embeddings"},
    ),
    "HierarchicalTokenPooling": ModuleForm(
        f"{_LATE}.HierarchicalTokenPooling",
        "4_HierarchicalTokenPooling",
        settings={"pool_factor": float, "num_protected_tokens": int, "normalize_embeddings": bool, "tasks": [TASKS]},
        # The library takes a folder that does not say it for one from before it normalized.
        defaults={"pool_factor": 1.0, "num_protected_tokens": 1, "normalize_embeddings": False, "tasks": ["document"]},
    ),
}
# Where `modules.json` says that the one of a dense encoder is, which has no settings and so no folder.
DENSE_NORMALIZE = "2_Normalize"
# The way of queries that have no model.
QUERY_FOLDER = "query_0_SparseStaticEmbedding"
MODULE_FOLDERS: Mapping[str, str] = {
    **{place: kind for kind, form in MODULE_FORMS.items() for place in (form.folder, form.routed) if place},
    QUERY_FOLDER: "SparseStaticEmbedding",
}


@dataclass(frozen=True)
class EncoderModule:
    """One module behind the encoder.

    Attributes:
        kind: name of its class, a key of `MODULE_FORMS`
        settings: every key of its form
        tensors: by name, in the data type of the folder or of the release
    """

    kind: str
    settings: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, kind: str, **settings: Any) -> EncoderModule:
        """Return a module without tensors; settings that are not given are the library's."""
        return cls(kind, {**MODULE_FORMS[kind].defaults, **settings})

    @classmethod
    def read(cls, kind: str, folder: Path) -> EncoderModule:
        """Return the module of a folder.

        Raises:
            FileNotFoundError: For tensors that are not there as safetensors.
            ValueError: For settings that a release does not hold.
        """
        form, path = MODULE_FORMS[kind], folder / CONFIG_FILE
        given = read_json_object(path)
        values = {**form.defaults, **{form.renamed.get(name, name): value for name, value in given.items()}}
        missing = [name for name in form.settings if name not in values]
        faults = [*form_faults(values, form.settings), *(f"{name} is missing" for name in missing)]
        if faults:
            raise ValueError(
                f"{path} has what a release of {kind} does not hold ({'; '.join(faults)}); save it without"
            )
        if form.tensors and not (folder / WEIGHTS_FILE).is_file():
            raise FileNotFoundError(f"{folder} has no {WEIGHTS_FILE}; only safetensors weights are read, save it so")
        tensors = read_tensors(folder / WEIGHTS_FILE) if form.tensors else {}
        if set(tensors) != set(form.tensors):
            raise ValueError(f"{folder / WEIGHTS_FILE} holds {sorted(tensors)}, {kind} has {list(form.tensors)}")
        return cls(kind, values, tensors)

    def write(self, folder: Path, **settings: Any) -> None:
        """Write the module into a new folder; `settings` take the place of its own."""
        folder.mkdir()
        write_json(folder / CONFIG_FILE, {**self.settings, **settings})
        if self.tensors:
            write_weights(dict(self.tensors), folder / WEIGHTS_FILE)

    def to(self, dtype: torch.dtype) -> EncoderModule:
        """Return the module with its tensors in a data type."""
        return EncoderModule(
            self.kind, self.settings, {name: tensor.to(dtype) for name, tensor in self.tensors.items()}
        )

    def check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        """Check one tensor.

        Raises:
            ValueError: For another shape, or numbers that are none.
        """
        tensor = self.tensors[name]
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{name} of {self.kind} has shape {tuple(tensor.shape)}, the model wants {shape}")
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name} of {self.kind} holds NaN or infinity; release an earlier checkpoint")


def splade_weights(logits: torch.Tensor, settings: Mapping[str, Any]) -> torch.Tensor:
    """Return the weight of every token of the vocabulary.

    Args:
        logits: `(..., length, vocabulary)`, zero at padding
        settings: of a `SpladePooling`

    Returns:
        `(..., vocabulary)`: log(1 + relu), once more its log(1 + x) for `log1p_relu`, at its highest or summed.
    """
    weights = logits.relu().log1p()
    if settings["activation_function"] == "log1p_relu":
        weights = weights.log1p()
    return weights.amax(dim=-2) if settings["pooling_strategy"] == "max" else weights.sum(dim=-2)


def token_weights(input_ids: torch.Tensor, attention_mask: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the weights of the tokens that texts have, each once: what `SparseStaticEmbedding` gives or multiplies by.

    Args:
        input_ids: `(batch, length)`, int64
        attention_mask: `(batch, length)`, 0 = padding
        weights: `(vocabulary,)`, float

    Returns:
        `(batch, vocabulary)`, 0 for every other token.
    """
    present = torch.zeros(input_ids.shape[0], weights.shape[0], dtype=weights.dtype)
    return weights * present.scatter_reduce(1, input_ids, attention_mask.to(weights.dtype), "amax")
