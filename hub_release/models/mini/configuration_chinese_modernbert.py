# Copyright 2026 The Chinese ModernBERT contributors. SPDX-License-Identifier: Apache-2.0
"""Configuration of Chinese ModernBERT: the fields of Transformers' ModernBERT and two for its norms.

The file runs unchanged inside this package and as remote code of a released folder, on Transformers 4.57 and 5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from transformers import PretrainedConfig, is_torch_available

# Never run. Transformers reads a file's imports as text: what is named here lies beside this file wherever it was
# loaded from, and goes with it into every folder that `save_pretrained` writes.
if TYPE_CHECKING:
    from .bands_chinese_modernbert import banded_attention  # noqa: F401
    from .blanks_chinese_modernbert import BlankReader  # noqa: F401
    from .buckets_chinese_modernbert import bucketed_attention  # noqa: F401
    from .characters_chinese_modernbert import CharacterReader  # noqa: F401
    from .cpu_kernels_chinese_modernbert import dense_attention  # noqa: F401
    from .filling_chinese_modernbert import WordFiller  # noqa: F401
    from .heads_chinese_modernbert import ChineseModernBertForMaskedLM  # noqa: F401
    from .kernels_chinese_modernbert import attend  # noqa: F401
    from .layers_chinese_modernbert import ChineseModernBertLayer  # noqa: F401
    from .layout_chinese_modernbert import TokenLayout  # noqa: F401
    from .losses_chinese_modernbert import mean_loss  # noqa: F401
    from .modeling_chinese_modernbert import ChineseModernBertModel  # noqa: F401
    from .products_chinese_modernbert import linear  # noqa: F401
    from .residual_chinese_modernbert import center_residual  # noqa: F401
    from .rotary_chinese_modernbert import RotaryTable  # noqa: F401
    from .rows_chinese_modernbert import logits_at  # noqa: F401
    from .spelling_chinese_modernbert import SpellingSettings  # noqa: F401

FULL_ATTENTION = "full_attention"
SLIDING_ATTENTION = "sliding_attention"
LAYER_TYPES = (FULL_ATTENTION, SLIDING_ATTENTION)
NORM_TYPES = ("rmsnorm", "layernorm")
# Transformers' own class of the same parameters, whose norms are LayerNorms.
NATIVE_MODEL_TYPE = "modernbert"
POOLING_TYPES = ("cls", "mean")
TRAINED_LENGTH = "original_max_position_embeddings"
# Rope types, and the parameters that each reads besides its type and theta.
ROPE_KEYS = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "yarn": ("factor", TRAINED_LENGTH, "attention_factor", "beta_fast", "beta_slow"),
}
ROPE_TYPES = tuple(ROPE_KEYS)

# Source: arXiv 2510.12285 for both values (global theta 80,000; local 10,000 as in ModernBERT).
DEFAULT_ROPE_THETA = {FULL_ATTENTION: 80_000.0, SLIDING_ATTENTION: 10_000.0}

# A complete map, in every saved config: `save_pretrained` alone would write only the class being saved.
AUTO_MAP = {
    "AutoConfig": "configuration_chinese_modernbert.ChineseModernBertConfig",
    "AutoModel": "modeling_chinese_modernbert.ChineseModernBertModel",
    "AutoModelForMaskedLM": "heads_chinese_modernbert.ChineseModernBertForMaskedLM",
    "AutoModelForSequenceClassification": "heads_chinese_modernbert.ChineseModernBertForSequenceClassification",
    "AutoModelForTokenClassification": "heads_chinese_modernbert.ChineseModernBertForTokenClassification",
    "AutoModelForQuestionAnswering": "heads_chinese_modernbert.ChineseModernBertForQuestionAnswering",
    "AutoModelForMultipleChoice": "heads_chinese_modernbert.ChineseModernBertForMultipleChoice",
}
# The one class that shares its Auto class with another; `architectures` says which of the two is meant.
SPELLING = "ChineseModernBertForSpellingCorrection"
SPELLING_MAP = {"AutoModelForMaskedLM": f"spelling_chinese_modernbert.{SPELLING}"}

# Source: `large` is the paper's model (its intermediate size follows from the published parameter count),
# `base` has ModernBERT-base's shape; `small`, `mini` and `tiny` are our defaults: for little text, a CPU, and tests.
PRESETS: dict[str, dict[str, int]] = {
    "tiny": {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 256},
    "mini": {"hidden_size": 256, "num_hidden_layers": 12, "num_attention_heads": 4, "intermediate_size": 384},
    "small": {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6, "intermediate_size": 576},
    "base": {"hidden_size": 768, "num_hidden_layers": 22, "num_attention_heads": 12, "intermediate_size": 1152},
    "large": {"hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16, "intermediate_size": 2624},
}


class ChineseModernBertConfig(PretrainedConfig):
    """Configuration of every Chinese ModernBERT model; the defaults are the paper's large model.

    Args:
        vocab_size (`int`, *optional*, defaults to 32768):
            Rows of the embedding matrix; 512 x 64.
        hidden_size (`int`, *optional*, defaults to 1024):
            Width of the residual stream.
        intermediate_size (`int`, *optional*, defaults to 2624):
            Width of the GeGLU feed-forward; `mlp.Wi` has twice as many outputs.
        num_hidden_layers (`int`, *optional*, defaults to 28):
            Number of layers.
        num_attention_heads (`int`, *optional*, defaults to 16):
            Number of heads; `hidden_size / num_attention_heads` must be an even integer.
        hidden_activation (`str`, *optional*, defaults to `"gelu"`):
            Gate activation of the feed-forward.
        max_position_embeddings (`int`, *optional*, defaults to 8192):
            Longest text the model is meant for, in tokens. Rotary positions have no hard end.
        initializer_range, initializer_cutoff_factor (`float`, *optional*, default to 0.02 and 2.0):
            Deviation of the truncated normal initialisation, and at how many of them it is cut.
        norm_eps, norm_bias (`float`, `bool`, *optional*, default to 1e-5 and `False`):
            Epsilon of every norm, and a bias in layer norms; RMSNorm has none.
        norm_type (`str`, *optional*, defaults to `"rmsnorm"`):
            `"rmsnorm"` (the paper) or `"layernorm"` (weights of the ModernBERT family).
        zero_mean_residual (`bool`, *optional*):
            Everything that writes into the residual stream (token embeddings, both `Wo`) has mean zero over the width,
            so that RMSNorm gives LayerNorm's numbers and Transformers' own ModernBERT reads the weights; the norm of
            the prediction head, which follows an activation, is a LayerNorm. `center_residual` makes weights so.
            New models with `norm_type="rmsnorm"` have it; a saved configuration that does not name it has it not.
        pad_token_id, unk_token_id, cls_token_id, sep_token_id, mask_token_id (`int`, *optional*):
            0, 1, 2, 3, 4, the ids of the tokenizers that this project trains; those of the beginning and the end
            (`bos_token_id`, `eos_token_id`) default to the CLS and the SEP id.
        attention_bias, mlp_bias (`bool`, *optional*, defaults to `False`):
            Biases of the linear layers.
        attention_dropout, embedding_dropout, mlp_dropout, classifier_dropout (`float`, *optional*, defaults to 0.0):
            Dropout probabilities.
        layer_types (`list[str]`, *optional*):
            `"full_attention"` or `"sliding_attention"` a layer; made from `global_attn_every_n_layers` if absent.
        global_attn_every_n_layers (`int`, *optional*, defaults to 3):
            Layers 0, n, 2n, ... see the whole text; read only where `layer_types` is absent, and not stored.
        local_attention (`int`, *optional*, defaults to 128):
            Full width of the local window: token i sees j where `|i - j| <= local_attention // 2`.
        rope_parameters (`dict`, *optional*):
            `{"full_attention": {"rope_type": "default", "rope_theta": 80000.0}, "sliding_attention": {...: 10000.0}}`.
            Other types, for texts longer than trained on, are `linear`, `dynamic` and `yarn` with their `factor`; yarn
            also reads `original_max_position_embeddings` (default: `max_position_embeddings`), `attention_factor`,
            `beta_fast` and `beta_slow`. Anything else is refused.
        global_rope_theta, local_rope_theta (`float`, *optional*):
            The older spelling of the two thetas, read where `rope_parameters` is absent.
        decoder_bias (`bool`, *optional*, defaults to `True`):
            Bias of the masked-language-model decoder.
        classifier_pooling (`str`, *optional*, defaults to `"mean"`):
            `"mean"` over real tokens or `"cls"`, for sequence classification and multiple choice.
        classifier_bias, classifier_activation (`bool`, `str`, *optional*, default to `False` and `"gelu"`):
            Bias of the prediction head's dense layer, and its activation.
        deterministic_flash_attn (`bool`, *optional*, defaults to `False`):
            Passed to flash attention's backward.
        sparse_prediction (`bool`, *optional*, defaults to `True`):
            In training with labels, compute logits at labelled positions only: `[labelled, vocab_size]` in reading
            order.
        sparse_pred_ignore_index (`int`, *optional*, defaults to -100):
            The label that means "no label".
        tie_word_embeddings (`bool`, *optional*, defaults to `True`):
            The decoder shares the embedding matrix.

    Raises:
        ValueError: For a field of another kind, or sizes, layer patterns or names that do not fit together.
    """

    model_type = "chinese_modernbert"
    keys_to_ignore_at_inference = ["past_key_values"]
    # Saving a configuration of this class, by itself or with a model, copies this file and all that it names above.
    _auto_class: ClassVar[str | None] = "AutoConfig"
    # Of a model for spelling correction alone, and saved of no other: the fields of its `SpellingSettings`.
    spelling: ClassVar[dict[str, Any] | None] = None

    def __init__(
        self,
        vocab_size: int = 32_768,
        hidden_size: int = 1024,
        intermediate_size: int = 2624,
        num_hidden_layers: int = 28,
        num_attention_heads: int = 16,
        hidden_activation: str = "gelu",
        max_position_embeddings: int = 8192,
        initializer_range: float = 0.02,
        initializer_cutoff_factor: float = 2.0,
        norm_eps: float = 1e-5,
        norm_bias: bool = False,
        norm_type: str = "rmsnorm",
        zero_mean_residual: bool | None = None,
        pad_token_id: int | None = 0,
        unk_token_id: int | None = 1,
        cls_token_id: int | None = 2,
        sep_token_id: int | None = 3,
        mask_token_id: int | None = 4,
        bos_token_id: int | None = None,
        eos_token_id: int | None = None,
        attention_bias: bool = False,
        attention_dropout: float = 0.0,
        layer_types: list[str] | None = None,
        global_attn_every_n_layers: int = 3,
        local_attention: int = 128,
        rope_parameters: dict[str, dict[str, Any]] | None = None,
        global_rope_theta: float | None = None,
        local_rope_theta: float | None = None,
        embedding_dropout: float = 0.0,
        mlp_bias: bool = False,
        mlp_dropout: float = 0.0,
        decoder_bias: bool = True,
        classifier_pooling: str = "mean",
        classifier_dropout: float = 0.0,
        classifier_bias: bool = False,
        classifier_activation: str = "gelu",
        deterministic_flash_attn: bool = False,
        sparse_prediction: bool = True,
        sparse_pred_ignore_index: int = -100,
        tie_word_embeddings: bool = True,
        **kwargs: Any,
    ) -> None:
        _check_kinds(locals())
        given = {name: value for name, value in locals().items() if name not in _NOT_FIELDS}
        for name, value in given.items():
            setattr(self, name, value)
        self.layer_types = _layer_types(layer_types, num_hidden_layers, global_attn_every_n_layers)
        for name, instead in _NOT_READ.items():
            if kwargs.get(name) is not None:
                raise ValueError(f"{name}={kwargs[name]} is not read; {instead}")
        self.rope_parameters = _rope_parameters(
            rope_parameters, (global_rope_theta, local_rope_theta), max_position_embeddings
        )
        self.zero_mean_residual = norm_type == "rmsnorm" if zero_mean_residual is None else bool(zero_mean_residual)
        self.bos_token_id = cls_token_id if bos_token_id is None else bos_token_id
        self.eos_token_id = sep_token_id if eos_token_id is None else eos_token_id
        self.validate_shape()
        kwargs.setdefault("auto_map", dict(AUTO_MAP))
        kwargs["architectures"] = (
            kwargs.get("architectures") or []
        )  # by which Auto classes choose, and fail without one
        # Transformers 5 no longer keeps these in its base class, 4.57 sets them there: hand them on so both agree.
        for name in ("pad_token_id", "bos_token_id", "eos_token_id", "sep_token_id", "tie_word_embeddings"):
            kwargs[name] = getattr(self, name)
        super().__init__(**kwargs)

    @classmethod
    def preset(cls, name: str, **overrides: Any) -> ChineseModernBertConfig:
        """Return one of the sizes of `PRESETS`, `tiny` to `large`.

        Args:
            name: size of the model
            overrides: any other field of the configuration

        Raises:
            ValueError: For an unknown name.
        """
        if name not in PRESETS:
            raise ValueError(f"preset={name!r} is unknown; use one of {', '.join(PRESETS)}")
        return cls(**{**PRESETS[name], **overrides})

    def to_dict(self) -> dict[str, Any]:
        """Return every field; `auto_map` names all classes, ours without a repository, since their files come along."""
        values = super().to_dict()
        given, ours = values.get("auto_map"), {*AUTO_MAP.items(), *SPELLING_MAP.items()}
        pairs = given.items() if isinstance(given, dict) else ()
        foreign = {name: where for name, where in pairs if (name, str(where).rpartition("--")[2]) not in ours}
        shared = SPELLING_MAP if SPELLING in (self.architectures or ()) else {}
        values["auto_map"] = {**AUTO_MAP, **shared, **foreign}
        return values

    @classmethod
    def get_config_dict(cls, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read config.json; also that of a folder which Transformers' own ModernBERT reads, without a warning.

        What such a folder holds are weights for layer norms, whatever its other fields say: so whoever fine-tunes it
        natively and comes back here gets the same numbers.
        """
        values, rest = super().get_config_dict(*args, **kwargs)
        if values.get("model_type") == NATIVE_MODEL_TYPE:
            values = {**values, "norm_type": "layernorm", "zero_mean_residual": False, "model_type": cls.model_type}
        return values, rest

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> ChineseModernBertConfig:
        """Build from saved values; what was saved before `zero_mean_residual` existed does not have it."""
        return super().from_dict({"zero_mean_residual": False, **config_dict}, **kwargs)

    def convert_rope_params_to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """Tell Transformers 5 that `rope_parameters` is already in its final form."""
        return kwargs

    def validate_shape(self) -> None:
        """Check everything that would otherwise fail, or silently misbehave, in the middle of a run."""
        if self.hidden_size % self.num_attention_heads or (self.hidden_size // self.num_attention_heads) % 2:
            raise ValueError(
                f"hidden_size={self.hidden_size} gives no even head size with "
                f"num_attention_heads={self.num_attention_heads}; use a multiple of {2 * self.num_attention_heads}"
            )
        if self.norm_type not in NORM_TYPES:
            raise ValueError(f"norm_type={self.norm_type!r} is unknown; use one of {', '.join(NORM_TYPES)}")
        if self.norm_type == "rmsnorm" and self.norm_bias:
            raise ValueError("norm_bias=True needs norm_type='layernorm'; RMSNorm has no bias")
        if self.zero_mean_residual and self.norm_type != "rmsnorm":
            raise ValueError("zero_mean_residual=True needs norm_type='rmsnorm'; a LayerNorm takes the mean out itself")
        if self.classifier_pooling not in POOLING_TYPES:
            raise ValueError(f"classifier_pooling={self.classifier_pooling!r}; use one of {', '.join(POOLING_TYPES)}")
        if self.local_attention < 2 or self.local_attention % 2:
            raise ValueError(f"local_attention={self.local_attention} must be an even number of tokens, 2 or more")

    @property
    def window(self) -> int:
        """Largest distance that a local layer sees, in tokens: half of `local_attention`."""
        return self.local_attention // 2

    @property
    def sliding_window(self) -> int:
        """The window as attention kernels of Transformers and vLLM count it, `window + 1`: themselves included."""
        return self.window + 1

    @sliding_window.setter
    def sliding_window(self, tokens: int) -> None:
        self.local_attention = 2 * (tokens - 1)

    @property
    def head_dim(self) -> int:
        """Size of one attention head."""
        return self.hidden_size // self.num_attention_heads

    def rope_theta(self, layer_type: str) -> float:
        """Return the rotary base of a layer type; read anew at every forward, so a training stage may change it."""
        return float(self.rope_parameters[layer_type]["rope_theta"])


_NOT_READ = {
    "rope_scaling": "give rope_parameters, by layer type",
    "rope_theta": "give rope_parameters, by layer type",
    # In a file it would rename any key, that of a kernel of the Hub too.
    "attribute_map": "call every field by its own name",
}
# What `__init__` sees as local names but stores in another form or not at all.
_NOT_FIELDS = {
    *("self", "kwargs", "__class__", "layer_types", "global_attn_every_n_layers", "rope_parameters"),
    *("global_rope_theta", "local_rope_theta", "zero_mean_residual", "bos_token_id", "eos_token_id"),
}


def _is_positive(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < math.inf


def _check_kinds(fields: dict[str, Any]) -> None:
    """Refuse what would raise in the middle of building a model, or nowhere: values of another kind than annotated."""
    for name, value in fields.items():
        kind, _, or_none = ChineseModernBertConfig.__init__.__annotations__.get(name, "").partition(" | ")
        if value is None and or_none:
            continue
        if correction := _correction(name, kind, value, least=0 if or_none else 1):  # an id may be 0, a size may not
            raise ValueError(f"{name}={value!r} must be {correction}")


def _correction(name: str, kind: str, value: Any, least: int) -> str:
    """Return what a field of a kind must be, or nothing where its value is that."""
    if kind == "int" and name != "sparse_pred_ignore_index":
        return "" if type(value) is int and value >= least else f"a whole number, {least} or more"
    if kind == "float" and name.endswith("dropout"):
        return "" if type(value) in (int, float) and 0 <= value <= 1 else "a number from 0 to 1"
    if kind == "float":
        return "" if _is_positive(value) else "a positive number"
    if kind == "bool":
        return "" if type(value) is bool else "true or false"
    if name.endswith("_activation") and value != "gelu" and is_torch_available():
        from transformers.activations import ACT2FN  # needs torch, which reading a configuration does not

        return "" if value in list(ACT2FN) else f"one of {', '.join(ACT2FN)}"
    return ""


def _layer_types(layer_types: list[str] | None, num_layers: int, every: int) -> list[str]:
    """Return the attention type of each layer, checked."""
    if layer_types is None:
        return [SLIDING_ATTENTION if index % every else FULL_ATTENTION for index in range(num_layers)]
    if unknown := sorted(set(layer_types) - set(LAYER_TYPES)):
        raise ValueError(f"layer_types holds {unknown}; use {' or '.join(LAYER_TYPES)}")
    if len(layer_types) != num_layers:
        given = len(layer_types)
        raise ValueError(f"layer_types has {given} entries for num_hidden_layers={num_layers}; give one for each")
    return list(layer_types)


def _rope_parameters(given: Any, thetas: Sequence[float | None], trained_length: int) -> dict[str, dict[str, Any]]:
    """Return `{layer_type: {"rope_type": ..., "rope_theta": theta}}`, from the new or the old spelling."""
    given = {} if given is None else given if isinstance(given, dict) else {given: None}
    wrong = (str(kind) for kind, one in given.items() if kind not in LAYER_TYPES or not isinstance(one or {}, dict))
    if names := ", ".join(sorted(wrong)):
        raise ValueError(f"rope_parameters holds {names}; give a mapping for each of {' and '.join(LAYER_TYPES)}")
    found = {}
    for kind, theta in zip(LAYER_TYPES, thetas, strict=True):
        theta = DEFAULT_ROPE_THETA[kind] if theta is None else theta
        parameters = {"rope_type": "default", "rope_theta": theta, **(given.get(kind) or {})}
        found[kind] = _checked_rope(kind, parameters, trained_length)
    return found


def _checked_rope(layer_type: str, given: dict[str, Any], trained_length: int) -> dict[str, Any]:
    """Return the parameters of a layer type; what would be passed over without a word is refused."""
    kind = given["rope_type"]
    if kind not in ROPE_TYPES:
        raise ValueError(f"rope_type={kind!r} for {layer_type}; use one of {', '.join(ROPE_TYPES)}")
    if given.get("partial_rotary_factor", 1.0) != 1.0:
        raise ValueError(f"partial_rotary_factor={given['partial_rotary_factor']} for {layer_type}; only 1.0 is known")
    known = {"rope_type", "rope_theta", "partial_rotary_factor", *ROPE_KEYS[kind]}
    if unknown := sorted(name for name in set(given) - known if given[name] is not None):
        raise ValueError(f"rope_type={kind!r} for {layer_type} does not know {', '.join(unknown)}; leave them out")
    for name in known & set(given) - {"rope_type"}:
        if given[name] is not None and not _is_positive(given[name]):
            raise ValueError(f"{name}={given[name]!r} for {layer_type} must be a positive number")
    if kind != "default" and not given.get("factor", 0.0) >= 1.0:
        raise ValueError(f"rope_type={kind!r} for {layer_type} needs a factor of 1.0 or more")
    if kind == "yarn":  # Transformers wants it written
        given = {**given, TRAINED_LENGTH: given.get(TRAINED_LENGTH) or trained_length}
    return given
