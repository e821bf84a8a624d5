"""The form of a release that Transformers' own ModernBERT loads too: which models may have it, and what it changes.

Parameter names are the same on both sides, so one file of weights serves both; config.json names `modernbert` and has
our `auto_map` beside it. The native class has LayerNorm alone. RMSNorm gives its numbers where the residual stream has
a mean of zero (`config.zero_mean_residual`), which is measured here, on the weights that are about to be released.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from transformers import ModernBertConfig, PreTrainedModel

from ..modeling import ChineseModernBertConfig
from .checkpoint import NATIVE_MODEL_TYPE, NATIVE_PREFIX, OUR_PREFIX, float_model
from .verification.isolated_check import probe_forward
from .verification.probes import AUTO_CLASSES, probe_inputs

# What both configs mean by the same name and that no parameter of ours carries: labels and the kind of problem.
LABEL_FIELDS = ("id2label", "label2id", "problem_type")
# Ids that Transformers' ModernBertConfig does not have; the tokenizer knows them.
TOKENIZER_ID_FIELDS = ("unk_token_id", "mask_token_id")
# Fields of ours that `native_config_values` writes in another form, or that hold only for RMSNorm.
OUR_OWN_FIELDS = ("norm_type", "zero_mean_residual", "global_attn_every_n_layers")
OLD_THETAS = {"global_rope_theta": "full_attention", "local_rope_theta": "sliding_attention"}
# Largest difference between the native class and ours, as a share of the largest number. In float32 only the order of
# sums differs; rounding weights to bfloat16 gives the stream a small mean again, far below what it does by itself.
NATIVE_TOLERANCES = {"float32": 1e-4, "bfloat16": 1e-2}


@dataclass(frozen=True)
class NativeForm:
    """Whether a model may have the native form.

    Attributes:
        fault: why not; empty where it may
        difference: largest difference of the native class from ours on the same weights, relative to the largest
            number; None where it was not measured
    """

    fault: str = ""
    difference: float | None = None

    def summary(self) -> dict[str, Any]:
        """Return what the manifest of a release says of it."""
        kept = {"loads_without_trust": not self.fault, "reason": self.fault, "difference": self.difference}
        return {name: value for name, value in kept.items() if value not in ("", None)}


def find_native_form(
    config: ChineseModernBertConfig, tensors: dict[str, torch.Tensor], class_name: str, dtype: str
) -> NativeForm:
    """Tell whether a release may have the native form, by its settings and then by running both classes.

    Args:
        config: configuration of the checkpoint
        tensors: weights in the data type of the release
        class_name: our class that they belong to
        dtype: name of that data type
    """
    if fault := native_settings_fault(config):
        return NativeForm(fault)
    if not hasattr(transformers, native_class_name(class_name)):
        return NativeForm(f"Transformers has no class like {class_name}")
    difference = native_difference(config, tensors, class_name)
    if difference <= NATIVE_TOLERANCES[dtype]:
        return NativeForm(difference=difference)
    fault = f"Transformers' own class gives other numbers, off by {difference:.1e} of the largest"
    if config.norm_type == "rmsnorm":
        fault += (
            ", since RMSNorm is LayerNorm only on a residual stream of mean zero; convert with --zero_mean_residual"
        )
    return NativeForm(fault, difference)


def native_settings_fault(config: ChineseModernBertConfig) -> str:
    """Return which setting some reader of native folders would pass over without a word; empty where none."""
    scaled = sorted({one["rope_type"] for one in config.rope_parameters.values()} - {"default"})
    if scaled:
        return f"rope_type={scaled[0]!r} is read by Transformers 5 alone, other runtimes would take plain positions"
    if _global_layer_distance(config.layer_types) is None:
        return "layer_types is not 'every n-th layer global', which is all that most runtimes read"
    known, default = set(inspect.signature(ModernBertConfig).parameters), ChineseModernBertConfig()
    for name in sorted(set(shared_fields()) - {*known, *TOKENIZER_ID_FIELDS}):
        if getattr(config, name) != getattr(default, name):
            return f"{name}={getattr(config, name)!r} is unknown to Transformers' own ModernBERT"
    return ""


def native_difference(config: ChineseModernBertConfig, tensors: dict[str, torch.Tensor], class_name: str) -> float:
    """Return the largest difference of Transformers' class from ours, in float32, relative to the largest number."""
    native_class = getattr(transformers, native_class_name(class_name))
    native_config = ModernBertConfig(**{**_native_fields(config), "attn_implementation": "eager"})
    native_model: PreTrainedModel = native_class(native_config).float()
    native_model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, strict=False)
    with torch.no_grad():
        ours, native = (
            probe_forward(AUTO_CLASSES[class_name], model, probe_inputs(config))
            for model in (float_model(config, tensors, class_name), native_model.eval())
        )
    return float((ours - native).abs().max() / ours.abs().max())


def native_config_values(config: ChineseModernBertConfig) -> dict[str, Any]:
    """Return config.json of the native form: what Transformers' class reads, and what ours reads besides.

    Both spellings of thetas and layer pattern are written, since servers and Transformers before 5 read the older one.
    """
    values = ModernBertConfig(**_native_fields(config)).to_dict() | older_spellings(config)
    values |= {name: getattr(config, name) for name in TOKENIZER_ID_FIELDS}
    return {**values, "norm_type": "layernorm", "model_type": NATIVE_MODEL_TYPE}


def older_spellings(config: ChineseModernBertConfig) -> dict[str, Any]:
    """Return thetas and layer pattern as Transformers before 5 and most other runtimes read them."""
    thetas = {name: config.rope_theta(layer_type) for name, layer_type in OLD_THETAS.items()}
    return {**thetas, "global_attn_every_n_layers": _global_layer_distance(config.layer_types)}


def native_class_name(class_name: str) -> str:
    """Return the name of Transformers' class for one of ours."""
    return class_name.replace(OUR_PREFIX, NATIVE_PREFIX)


def shared_fields() -> list[str]:
    """Return the fields of our config that Transformers' ModernBertConfig may have as well."""
    names = inspect.signature(ChineseModernBertConfig.__init__).parameters
    return [name for name in names if name not in ("self", "kwargs", *OUR_OWN_FIELDS, *OLD_THETAS)]


def _native_fields(config: ChineseModernBertConfig) -> dict[str, Any]:
    """Return the keyword arguments of Transformers' config."""
    fields = {name: getattr(config, name) for name in shared_fields() if name not in TOKENIZER_ID_FIELDS}
    given = {name: getattr(config, name, None) for name in LABEL_FIELDS}
    return {**fields, **{name: value for name, value in given.items() if value is not None}}


def _global_layer_distance(layer_types: list[str]) -> int | None:
    """Return n where exactly layers 0, n, 2n, ... are global, else `None`."""
    for every in range(1, len(layer_types) + 1):
        if all((kind == "full_attention") == (index % every == 0) for index, kind in enumerate(layer_types)):
            return every
    return None
