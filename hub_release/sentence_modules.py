"""What sentence-transformers reads: modules, pooling, prompts; taken from a checkpoint and written anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from ..modeling import ChineseModernBertConfig
from ..tokenization.loading import load_tokenizer, save_tokenizer, tokenizer_hash
from .checkpoint import CONFIG_FILE, WEIGHTS_FILE, read_json_object, write_json
from .json_forms import form_faults
from .module_chains import (
    CHAINS,
    DOCUMENT,
    MODULES_FILE,
    QUERY,
    ROUTER_FILE,
    chain_of,
    routes_of,
    tokenizer_folders,
)
from .module_forms import DENSE_NORMALIZE, MODULE_FOLDERS, MODULE_FORMS, QUERY_FOLDER, EncoderModule
from .poolings import DENSE_POOLINGS, LATE_INTERACTION, SPLADE

LENGTH_FILE = "sentence_bert_config.json"
TOKENIZER_SETTINGS = "tokenizer_config.json"
ENCODER_FILE = "config_sentence_transformers.json"
POOLING_FOLDER = MODULE_FORMS["Pooling"].folder
# Patterns of the files of any kind of encoder.
SENTENCE_FILES = (MODULES_FILE, LENGTH_FILE, ENCODER_FILE, ROUTER_FILE, *(f"{folder}/*" for folder in MODULE_FOLDERS))
# By pooling: the class that loads the folder, and how two embeddings may be compared, the default first.
_DENSE = ("SentenceTransformer", ("cosine", "dot", "euclidean", "manhattan"))
ENCODERS = {
    **dict.fromkeys(DENSE_POOLINGS, _DENSE),
    SPLADE: ("SparseEncoder", ("dot", "cosine", "euclidean", "manhattan")),
    LATE_INTERACTION: ("MultiVectorEncoder", ("maxsim", "meanmaxsim")),
}
SIMILARITIES = tuple(dict.fromkeys(name for _, names in ENCODERS.values() for name in names))
# How long queries and documents are, of late interaction. Positions of an expansion that are not attended to are
# padding to our classes, which skip it, and numbers to Transformers' own.
LENGTHS = {
    "query_length": (int, None),
    "document_length": (int, None),
    "query_expansion": (
        {
            "strategy": frozenset(("fixed", "min")),
            "attend": frozenset((True,)),
            "token": (str, None),
            "length": int,
        },
        None,
    ),
}
# What the weights of two span means go into in `clue`; a release has no place for it.
SPAN_HEAD_FILE = "span_head.safetensors"
# What a reranker's score goes through where nothing is said, as in sentence-transformers for one label.
DEFAULT_SCORE = "torch.nn.modules.activation.Sigmoid"


@dataclass(frozen=True)
class SentenceModules:
    """How a sentence encoder gets from hidden states to embeddings.

    Attributes:
        pooling: `mean` or `cls` for a dense encoder, `splade` for a sparse one, `late_interaction` for a vector a token
        normalize: a dense encoder's embeddings have length 1
        max_length: longest text in tokens; None = the model's longest
        prompts: text put before a query or a document, by name
        default_prompt: name of the prompt that is used where none is named
        similarity: how two embeddings are compared, one of those in `ENCODERS`
        modules: what is behind the encoder, in order; none of a dense one, which the fields above describe
        query: weights of the tokens of a query, of a sparse encoder whose queries have no model
        default_route: `query` or `document`, as which a text counts that says neither, where `query` is there; None =
            such a text is refused
        lengths: of late interaction; keys of `LENGTHS`
    """

    pooling: str = "mean"
    normalize: bool = False
    max_length: int | None = None
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    similarity: str = "cosine"
    modules: tuple[EncoderModule, ...] = ()
    query: EncoderModule | None = None
    default_route: str | None = DOCUMENT
    lengths: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> SentenceModules | None:
        """Return the modules of a folder, in any spelling of sentence-transformers; None where it has no modules.

        Raises:
            FileNotFoundError: For a module without its settings, or without its tensors as safetensors.
            ValueError: For modules, pooling or settings that a release does not hold and would lose without a word.
        """
        if not (folder / MODULES_FILE).is_file():
            return None
        chain = chain_of(folder)
        queries, route = None, DOCUMENT
        if chain[0][0] == "Router":
            queries, chain, route = routes_of(folder)
        kinds = [kind for kind, _ in chain]
        pooling = next((name for form, name in CHAINS.items() if form.fullmatch(" ".join(kinds))), "")
        if not pooling or (queries and pooling != SPLADE):
            raise ValueError(
                f"{folder / MODULES_FILE} has the modules {', '.join(kinds)}; a release holds Transformer, Pooling and "
                "Normalize alone, MLMTransformer, SpladePooling and SparseStaticEmbedding, or Transformer, Dense, "
                "MultiVectorMask, Normalize and HierarchicalTokenPooling: merge or drop the others"
            )
        behind: tuple[EncoderModule, ...] = ()
        if pooling == "dense":
            place = folder / chain[1][1] / CONFIG_FILE
            pooling = _pooling_of(read_json_object(place), place)
        else:
            behind = tuple(EncoderModule.read(kind, folder / place) for kind, place in chain[1:])
        encoder, home = _object_of(folder / ENCODER_FILE), folder / chain[0][1]
        similarities = ENCODERS[pooling][1]
        similarity = encoder.get("similarity_fn_name") or similarities[0]
        _refuse_losses(folder, home, encoder, pooling, similarity in similarities or similarity)
        prompts = encoder.get("prompts")
        return cls(
            pooling=pooling,
            normalize=pooling in DENSE_POOLINGS and "Normalize" in kinds,
            max_length=_length_of(home),
            prompts={str(name): str(text) for name, text in prompts.items() if text} if prompts else {},
            default_prompt=encoder.get("default_prompt_name"),
            similarity=similarity,
            modules=behind,
            query=queries and EncoderModule.read(*queries),
            default_route=route,
            lengths=_lengths_of(home) if pooling == LATE_INTERACTION else {},
        )

    @classmethod
    def sparse(cls, others: SentenceModules) -> SentenceModules:
        """Return the modules of a sparse encoder as the library makes one; length and prompts are those of another."""
        return replace(others, pooling=SPLADE, similarity="dot", modules=(EncoderModule.of("SpladePooling"),))

    @property
    def is_sparse(self) -> bool:
        """Whether embeddings have a number for each token of the vocabulary."""
        return self.pooling == SPLADE

    @property
    def is_two_sided(self) -> bool:
        """Whether queries and documents go different ways."""
        return self.pooling == LATE_INTERACTION or self.query is not None

    @property
    def library_class(self) -> str:
        """Name of the class of sentence-transformers that loads the folder."""
        return ENCODERS[self.pooling][0]

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that `write` writes; of a tokenizer the one that decides ids."""
        folders = list(self._folders())
        pooling = [] if self.modules else [f"{POOLING_FOLDER}/{CONFIG_FILE}"]
        return (
            *(MODULES_FILE, LENGTH_FILE, ENCODER_FILE, *pooling),
            *(f"{place}/{CONFIG_FILE}" for place, _ in folders),
            *(f"{place}/{WEIGHTS_FILE}" for place, module in folders if module.tensors),
            *(f"{place}/tokenizer.json" for place, module in folders if MODULE_FORMS[module.kind].has_tokenizer),
            *((ROUTER_FILE,) if self.query else ()),
        )

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """Tensors of all modules by folder and name, as they are called in the checks of a release."""
        return {f"{place}/{name}": tensor for place, one in self._folders() for name, tensor in one.tensors.items()}

    def module(self, kind: str) -> EncoderModule | None:
        """Return the module of a class, if there is one."""
        return next((module for module in self.modules if module.kind == kind), None)

    def prompt(self, side: str = "") -> str:
        """Return what stands before a query or a document, or before a text that is neither."""
        return self.prompts.get(side or self.default_prompt or "", "")

    def to(self, dtype: torch.dtype) -> SentenceModules:
        """Return the same with the modules' tensors in a data type."""
        return replace(
            self, modules=tuple(one.to(dtype) for one in self.modules), query=self.query and self.query.to(dtype)
        )

    def check(self, config: ChineseModernBertConfig, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
        """Check that the modules fit the model.

        Raises:
            ValueError: For tensors of other shapes, longer texts than the model takes, or a module's own tokenizer
                that gives other ids.
        """
        if dense := self.module("Dense"):
            sizes = (dense.settings["out_features"], dense.settings["in_features"])
            dense.check_shape("linear.weight", sizes)
            if sizes[1] != config.hidden_size:
                raise ValueError(f"Dense of {folder} takes {sizes[1]} numbers, the model gives {config.hidden_size}")
        tables = [module for _, module in self._folders() if module.kind == "SparseStaticEmbedding"]
        for table in tables:
            table.check_shape("weight", (config.vocab_size,))
        for place in tokenizer_folders(folder) if tables else ():
            if tokenizer_hash(load_tokenizer(place)) != tokenizer_hash(tokenizer):
                raise ValueError(f"{place} has another tokenizer than the encoder of documents; use one for both")
        for name, given in self.lengths.items():
            length = given["length"] if isinstance(given, Mapping) else given
            if length is not None and not 1 <= length <= config.max_position_embeddings:
                longest = config.max_position_embeddings
                raise ValueError(f"{name}={length} of {folder} is not between 1 and max_position_embeddings={longest}")

    def write(self, folder: Path, config: ChineseModernBertConfig, tokenizer: PreTrainedTokenizerFast) -> None:
        """Write the files into the folder of a release; modules that have a tokenizer get the model's."""
        length = min(self.max_length or config.max_position_embeddings, config.max_position_embeddings)
        for place, module in self._folders():
            sized = {"word_embedding_dimension": config.vocab_size} if module.kind == "SpladePooling" else {}
            module.write(folder / place, **sized)
            if MODULE_FORMS[module.kind].has_tokenizer:
                _write_tokenizer(tokenizer, folder / place, length)
        placed = [(place, reference) for place, reference, _ in self._placed()]
        if self.query:
            self._write_routes(folder, dict(placed))
            placed = [("", MODULE_FORMS["Router"].reference)]
        rows = [{"idx": n, "name": str(n), "path": path, "type": kind} for n, (path, kind) in enumerate(placed)]
        write_json(folder / MODULES_FILE, rows)
        told = {name: value for name, value in self.lengths.items() if value is not None}
        write_json(folder / LENGTH_FILE, {"max_seq_length": length, "do_lower_case": False, **told})
        if not self.modules:
            (folder / POOLING_FOLDER).mkdir()
            write_json(folder / POOLING_FOLDER / CONFIG_FILE, self._pooling_settings(config))
        encoder = {
            "prompts": self.prompts,
            "default_prompt_name": self.default_prompt,
            "similarity_fn_name": self.similarity,
            # Without it the other classes take the folder for a dense encoder and add a layer of random weights.
            **({"model_type": self.library_class} if self.modules else {}),
        }
        write_json(folder / ENCODER_FILE, encoder)

    def _placed(self) -> Iterator[tuple[str, str, EncoderModule | None]]:
        """Yield folder, class and settings of each module of a release, the encoder first."""
        yield "", MODULE_FORMS["MLMTransformer" if self.is_sparse else "Transformer"].reference, None
        for module in self.modules:
            form = MODULE_FORMS[module.kind]
            yield form.routed if self.query else form.folder, form.reference, module
        if not self.modules:
            yield POOLING_FOLDER, MODULE_FORMS["Pooling"].reference, None
            if self.normalize:
                yield DENSE_NORMALIZE, MODULE_FORMS["Normalize"].reference, None

    def _folders(self) -> Iterator[tuple[str, EncoderModule]]:
        """Yield folder and module of all that have settings, those of queries last."""
        yield from ((place, module) for place, _, module in self._placed() if module)
        if self.query:
            yield QUERY_FOLDER, self.query

    def _write_routes(self, folder: Path, documents: Mapping[str, str]) -> None:
        """Write which modules queries and documents go through.

        Args:
            folder: of the release
            documents: classes of the modules of documents by their folders
        """
        types = {QUERY_FOLDER: MODULE_FORMS["SparseStaticEmbedding"].reference, **documents}
        # With an empty key allowed, no route would mean the first one.
        has_default = self.default_route is not None
        settings = {"default_route": self.default_route, "allow_empty_key": has_default, "route_mappings": {}}
        structure = {QUERY: [QUERY_FOLDER], DOCUMENT: list(documents)}
        write_json(folder / ROUTER_FILE, {"types": types, "structure": structure, "parameters": settings})

    def _pooling_settings(self, config: ChineseModernBertConfig) -> dict[str, Any]:
        """Return the settings of a dense pooling, in the spelling that every version reads."""
        return {
            "word_embedding_dimension": config.hidden_size,
            "pooling_mode_cls_token": self.pooling == "cls",
            "pooling_mode_mean_tokens": self.pooling == "mean",
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        }


def _write_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path, length: int) -> None:
    """Write a tokenizer once more, into the folder of a module, with the length of texts there."""
    before, tokenizer.model_max_length = tokenizer.model_max_length, length
    save_tokenizer(tokenizer, folder)
    tokenizer.model_max_length = before


def _refuse_losses(folder: Path, home: Path, encoder: dict[str, Any], pooling: str, similarity: bool | str) -> None:
    """Refuse settings that a release would lose without a word.

    Args:
        folder: of the encoder
        home: where its Transformer lies
        encoder: its `config_sentence_transformers.json`
        pooling: how it makes its embeddings
        similarity: `True`, or the name of one that this kind does not have

    Raises:
        ValueError: With the first of them.
    """
    length = _object_of(home / LENGTH_FILE)
    lost = {
        "truncate_dim": encoder.get("truncate_dim"),
        "do_lower_case": length.get("do_lower_case") or None,
        "processing_kwargs": length.get("processing_kwargs") or None,
        "similarity_fn_name": None if similarity is True else similarity,
        **({} if pooling == LATE_INTERACTION else {name: length.get(name) for name in LENGTHS}),
    }
    for name, value in lost.items():
        if value is not None:
            raise ValueError(f"{folder} sets {name}={value!r}, which a release does not hold; save it without")


def _lengths_of(home: Path) -> dict[str, Any]:
    """Return the lengths of queries and documents of late interaction.

    Raises:
        ValueError: For an expansion that a release does not hold.
    """
    given = {name: value for name, value in _object_of(home / LENGTH_FILE).items() if name in LENGTHS}
    if faults := list(form_faults(given, LENGTHS)):
        raise ValueError(
            f"{home / LENGTH_FILE}: {'; '.join(faults)}; tokens of an expansion that is not attended to are padding to "
            "our classes and numbers to Transformers' own: train with attend true, or without query_expansion"
        )
    return given


def check_reranker(folder: Path) -> None:
    """Refuse a reranker of which its release would lose something: without `modules.json` the library reads none of it.

    Raises:
        ValueError: For another function of the scores than the one that sentence-transformers takes by itself, or a
            prompt.
    """
    path = folder / ENCODER_FILE
    prompts = {name: text for name, text in (_object_of(path).get("prompts") or {}).items() if text}
    if prompts:
        raise ValueError(
            f"{path} sets the prompts {prompts}, which the release of a reranker does not hold, so that it would score "
            "otherwise; train without query_prompt, or push the folder by CrossEncoder(...).push_to_hub"
        )
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
    if values.get("include_prompt", True) is False:
        raise ValueError(f"{path} sets include_prompt=False, which a release does not hold; save it without")
    given = values.get("pooling_mode")
    if given is None:
        keys = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
        modes = [name for name, is_used in values.items() if name.startswith("pooling_mode_") and is_used]
        given = keys.get(modes[0]) if len(modes) == 1 else "+".join(modes)
    if given not in DENSE_POOLINGS:
        raise ValueError(f"{path} pools by {given}; a release pools by {' or '.join(DENSE_POOLINGS)}")
    return given


def _length_of(folder: Path) -> int | None:
    """Return the longest text that a sentence encoder declares, in tokens."""
    # Where the first file does not say, sentence-transformers 6 leaves it to the tokenizer.
    for path, key in ((folder / LENGTH_FILE, "max_seq_length"), (folder / TOKENIZER_SETTINGS, "model_max_length")):
        given = _object_of(path).get(key)
        if given is not None:
            return int(given)
    return None
