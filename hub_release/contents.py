"""All that a release may hold: names of files and folders, and the form of every JSON file.

The builder writes nothing that is not here, `verify` refuses all else, `push` sends no other file. By settings of other
names Transformers, sentence-transformers and peft find code, kernels, adapters or another model; which ones do is a
list that grows with every version of theirs, while this one changes only with the builder.
"""

from __future__ import annotations

import re
from typing import Any

from ..modeling.configuration_chinese_modernbert import (
    AUTO_MAP,
    LAYER_TYPES,
    NATIVE_MODEL_TYPE,
    NORM_TYPES,
    POOLING_TYPES,
    ROPE_KEYS,
    SPELLING_MAP,
    ChineseModernBertConfig,
)
from ..modeling.filling_chinese_modernbert import CUSTOM_PIPELINES
from ..modeling.spelling_chinese_modernbert import ARMS
from .checkpoint import NATIVE_PREFIX, OUR_PREFIX
from .json_forms import Names, Typed
from .manifest import MANIFEST_FILE
from .module_chains import ROUTER_FILE, ROUTER_SETTINGS, ROUTES
from .module_forms import DENSE_NORMALIZE, MODULE_FOLDERS, MODULE_FORMS
from .onnx.files import OLD_OUTPUTS, ONNX_FOLDER, RECORD_FILE
from .onnx.graphs import GRAPHS, INPUTS
from .onnx.isolated_check import BARS
from .provenance import PROVENANCE_FILE, RECIPE
from .sentence_modules import ENCODERS, LENGTHS, SIMILARITIES
from .tokenizer_forms import SPECIAL_TOKENS, TOKENIZER, TOKENIZER_CONFIG

DTYPES = ("float32", "bfloat16")
FOLDERS = frozenset((*MODULE_FOLDERS, ONNX_FOLDER))
# They tell how the checkpoint came about; looked for in the checkpoint, then in the run folder above it.
RECORD_FILES = (RECIPE, "masking.yaml")
# What may join a release after the builder wrote its manifest; the Hub itself adds the last one.
LATER_FILES = re.compile(
    r"onnx/model\w*\.onnx|onnx/export\.json|README\.zh-CN\.md|\w[\w.-]*\.png|\.gitattributes", re.A
)
_BUILT_FILES = re.compile(r"\w+_chinese_modernbert\.py|model\.safetensors|README\.md|LICENSE|NOTICE|vocab\.txt", re.A)

_SHA256 = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"[\w.+-]{1,40}", re.A)
_WORD = re.compile(r"\w{1,40}", re.A)
_CLASS = re.compile(rf"({OUR_PREFIX}|{NATIVE_PREFIX})(Model|For[A-Za-z]{{1,40}})")
_NUMBERS = (
    *("attention_dropout", "classifier_dropout", "embedding_dropout", "mlp_dropout", "norm_eps"),
    *("initializer_cutoff_factor", "initializer_range", "global_rope_theta", "local_rope_theta"),
)
_SIZES = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("max_position_embeddings", "local_attention", "global_attn_every_n_layers"),
    *("chunk_size_feed_forward", "sparse_pred_ignore_index"),
)
_SWITCHES = (
    *("attention_bias", "classifier_bias", "decoder_bias", "mlp_bias", "norm_bias", "tie_word_embeddings"),
    *("deterministic_flash_attn", "is_encoder_decoder", "output_attentions", "output_hidden_states", "return_dict"),
    *("sparse_prediction", "zero_mean_residual"),
)
_ROPE = {name: (float, None) for names in ROPE_KEYS.values() for name in names}
CONFIG: dict[str, Any] = {
    **dict.fromkeys(_NUMBERS, float),
    **dict.fromkeys(_SIZES, int),
    **dict.fromkeys(_SWITCHES, bool),
    **{f"{role}_token_id": (int, None) for role in ("pad", "unk", "cls", "sep", "mask", "bos", "eos")},
    "architectures": [_CLASS],
    "auto_map": {name: frozenset((place, SPELLING_MAP.get(name, place))) for name, place in AUTO_MAP.items()},
    "classifier_activation": _WORD,
    "custom_pipelines": {
        task: {
            name: frozenset((value,)) if isinstance(value, str) else [frozenset(value)] for name, value in own.items()
        }
        for task, own in CUSTOM_PIPELINES.items()
    },
    "classifier_pooling": frozenset(POOLING_TYPES),
    "dtype": frozenset(DTYPES),
    "hidden_activation": _WORD,
    "id2label": Names(re.compile(r"\d+"), str),
    "label2id": Names(str, int),
    "layer_types": [frozenset(LAYER_TYPES)],
    "model_type": frozenset((NATIVE_MODEL_TYPE, ChineseModernBertConfig.model_type)),
    "norm_type": frozenset(NORM_TYPES),
    "problem_type": (
        frozenset(("regression", "single_label_classification", "multi_label_classification")),
        None,
    ),
    "rope_parameters": dict.fromkeys(
        LAYER_TYPES,
        {"rope_type": frozenset(ROPE_KEYS), "rope_theta": float, "partial_rotary_factor": (float, None), **_ROPE},
    ),
    "spelling": {"arm": frozenset(ARMS), "threshold": float, "detection_weight": float, "longest_sentence": int},
    "transformers_version": _VERSION,
}
# By the class of a module the folders where a release has it; the second of a dense encoder has no settings, and none.
_PLACES = {
    form.reference: {folder for folder, kind in MODULE_FOLDERS.items() if MODULE_FORMS[kind] is form} or {""}
    for form in MODULE_FORMS.values()
}
_PLACES[MODULE_FORMS["Normalize"].reference].add(DENSE_NORMALIZE)
_MODULES = [
    Typed(
        {
            reference: {"idx": int, "name": re.compile(r"\d"), "path": frozenset(places)}
            for reference, places in _PLACES.items()
        }
    )
]
# Which modules queries and documents go through; by these names the library imports classes.
_ROUTER = {
    "types": {
        place: frozenset((MODULE_FORMS[kind].reference,))
        for places in ROUTES.values()
        for place, kind in places.items()
    },
    "structure": {side: [frozenset(places)] for side, places in ROUTES.items()},
    "parameters": ROUTER_SETTINGS,
}
_GRAPH = {
    "file": re.compile(r"model\w*\.onnx", re.A),
    "graph": frozenset((*GRAPHS, *OLD_OUTPUTS)),
    "lowest_cosine": float,
    "output": _WORD,
    "outputs": [_WORD],
    "precision": frozenset(BARS),
    "shape": ([int], None),
}
_TOKENIZER_FILES = {
    "tokenizer.json": TOKENIZER,
    "tokenizer_config.json": TOKENIZER_CONFIG,
    "special_tokens_map.json": SPECIAL_TOKENS,
}
_WITH_TOKENIZER = [folder for folder, kind in MODULE_FOLDERS.items() if MODULE_FORMS[kind].has_tokenizer]
JSON_FILES: dict[str, Any] = {
    "config.json": CONFIG,
    **_TOKENIZER_FILES,
    "modules.json": _MODULES,
    "sentence_bert_config.json": {
        "max_seq_length": int,
        "do_lower_case": frozenset((False,)),
        **LENGTHS,
    },
    ROUTER_FILE: _ROUTER,
    "config_sentence_transformers.json": {
        "prompts": Names(str, str),
        "default_prompt_name": (str, None),
        "similarity_fn_name": frozenset(SIMILARITIES),
        "model_type": frozenset(name for name, _ in ENCODERS.values()),
    },
    **{f"{folder}/config.json": MODULE_FORMS[kind].settings for folder, kind in MODULE_FOLDERS.items()},
    **{f"{folder}/{name}": form for folder in _WITH_TOKENIZER for name, form in _TOKENIZER_FILES.items()},
    f"{ONNX_FOLDER}/{RECORD_FILE}": {
        "library_version": _VERSION,
        "opset": int,
        "inputs": [frozenset(INPUTS)],
        "files": [_GRAPH],
    },
    MANIFEST_FILE: {
        "library_version": _VERSION,
        "dtype": frozenset(DTYPES),
        "native_form": {"loads_without_trust": bool, "reason": str, "difference": float},
        "files": Names(re.compile(r"(\w+/)?[\w.-]+", re.A), _SHA256),
    },
    # A record that no library reads; what a run says of itself is its own affair.
    PROVENANCE_FILE: {
        "name": re.compile(r"[\w.-]+/[\w.-]+", re.A),
        "recipe": {"file": frozenset((RECIPE,)), "sha256": _SHA256},
        "packages": Names(str, str),
        "machine": {"threads": int, "cores": int},
        **dict.fromkeys(("run", "data", "start"), Names(str, object)),
    },
}
_MODULE_FILES = frozenset(
    (
        *(f"{folder}/vocab.txt" for folder in _WITH_TOKENIZER),
        *(f"{folder}/model.safetensors" for folder, kind in MODULE_FOLDERS.items() if MODULE_FORMS[kind].tensors),
    )
)
# Another word for `format` makes Transformers take the weights for another framework's.
WEIGHTS_METADATA = {"format": frozenset(("pt",))}
WEIGHTS_TENSOR = {"dtype": frozenset(("F32", "BF16")), "shape": [int], "data_offsets": [int]}


def may_hold(name: str) -> bool:
    """Tell whether a release may hold a file of this name, relative to its folder and with slashes."""
    is_named = any(pattern.fullmatch(name) for pattern in (_BUILT_FILES, LATER_FILES))
    return is_named or name in JSON_FILES or name in _MODULE_FILES or name in RECORD_FILES
