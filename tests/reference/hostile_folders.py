"""Ways to make a good release hostile, each on a copy of its own; whoever made it also mended the manifest.

Most are what some library reads, runs or fetches today, the others what one may read tomorrow.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Damage = Callable[[Path], Any]
ELSEWHERE = "owner/name--modeling.Model"
CODE = {"AutoModel": ELSEWHERE}
PICKLE = pickle.dumps({"weight": 1})
CYRILLIC_A, ZERO_WIDTH = "\u0430", "\u200b"
MIB = 2**20


def seal(folder: Path) -> None:
    """Bring the manifest up to date, as an attacker would; one that is broken stays so."""
    path = folder / "release_manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        names = [name for name in manifest["files"] if (folder / name).is_file()]
    except (ValueError, TypeError, KeyError):
        return
    manifest["files"].update({name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names})
    path.write_text(json.dumps(manifest), encoding="utf-8")


def set_keys(name: str, *place: str | int, **values: Any) -> Damage:
    """Set keys of a JSON file, at a place inside it; `None` as a file's content begins a new object."""

    def damage(folder: Path) -> None:
        path = folder / name
        value = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        inner = value
        for step in place:
            inner = inner[step]
        inner.update(values)
        path.write_text(json.dumps(value), encoding="utf-8")

    return damage


def write(name: str, content: bytes | str = b"x") -> Damage:
    """Write a file, in a new folder if need be."""

    def damage(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return damage


def rewrite(name: str, change: Callable[[bytes], bytes]) -> Damage:
    """Change a file's bytes."""

    def damage(folder: Path) -> None:
        before = (folder / name).read_bytes()
        assert (after := change(before)) != before
        (folder / name).write_bytes(after)

    return damage


def insert_text(name: str, text: str) -> Damage:
    """Put text behind the first brace or bracket of a JSON file."""
    return rewrite(name, lambda content: content[:1] + text.encode() + content[1:])


def link(name: str, target: str) -> Damage:
    """Put a link in a file's or a new place."""

    def damage(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    return damage


def new_header(change: Callable[[dict[str, Any]], Any]) -> Damage:
    """Change the header of the weights."""

    def changed(content: bytes) -> bytes:
        (length,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + length])
        change(header)
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + content[8 + length :]

    return rewrite("model.safetensors", changed)


def graph_with_outside_numbers(folder: Path) -> None:
    """Add a graph on record whose numbers lie in a file outside of the folder."""
    import onnx
    from onnx import TensorProto, helper

    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../../etc/passwd")
    value = helper.make_tensor_value_info("w", TensorProto.FLOAT, [1])
    graph = helper.make_graph([], "g", [], [value], initializer=[tensor])
    write("onnx/model.onnx", helper.make_model(graph).SerializeToString())(folder)
    row = {"file": "model.onnx", "graph": "model", "outputs": ["logits"], "precision": "fp32", "shape": None}
    write("onnx/export.json", json.dumps({"files": [row]}))(folder)
    assert onnx.load(str(folder / "onnx" / "model.onnx"), load_external_data=False).graph.name == "g"


def both(*damages: Damage) -> Damage:
    """Do several things."""
    return lambda folder: [damage(folder) for damage in damages]


def torch_archive() -> bytes:
    """Return what `torch.save` writes."""
    import torch

    stream = io.BytesIO()
    torch.save({"weight": torch.zeros(1)}, stream)
    return stream.getvalue()


CONFIG, TOKENIZER, TOKENIZER_CONFIG = "config.json", "tokenizer.json", "tokenizer_config.json"
LENGTH, ENCODER, POOLING = "sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling/config.json"
MODULES, MANIFEST, WEIGHTS = "modules.json", "release_manifest.json", "model.safetensors"
HEADS = "heads_chinese_modernbert.py"

SETTINGS: dict[str, Damage] = {
    "another repository": set_keys(CONFIG, "auto_map", **CODE),
    "one more class of another repository": set_keys(CONFIG, "auto_map", AutoModelForCausalLM=ELSEWHERE),
    "one more class of ours": set_keys(
        CONFIG, "auto_map", AutoModelForCausalLM="heads_chinese_modernbert.ChineseModernBertForMaskedLM"
    ),
    "auto_map is text": set_keys(CONFIG, auto_map=ELSEWHERE),
    "auto_map names a list": set_keys(CONFIG, "auto_map", AutoModel=[ELSEWHERE, None]),
    "a class and its file": both(set_keys(CONFIG, "auto_map", AutoModel="helper.Model"), write("helper.py")),
    "alias of auto_map": set_keys(CONFIG, attribute_map={"foo": "auto_map"}, foo=CODE),
    "alias of the attention": set_keys(CONFIG, attribute_map={"foo": "_attn_implementation"}, foo="owner/kernel"),
    "alias without use": set_keys(CONFIG, attribute_map={"width": "hidden_size"}),
    "kernel": set_keys(CONFIG, _attn_implementation="owner/kernel"),
    "kernel, public": set_keys(CONFIG, attn_implementation="owner/kernel"),
    "kernel, internal": set_keys(CONFIG, _attn_implementation_internal="owner/kernel"),
    "kernel of experts": set_keys(CONFIG, experts_implementation="owner/kernel"),
    "pipelines": set_keys(CONFIG, custom_pipelines={"fill-mask": {"impl": "owner/name--pipe.Pipe"}}),
    "a configuration for newer versions": both(
        set_keys(CONFIG, configuration_files=["config.4.0.0.json"]), write("config.4.0.0.json", "{}")
    ),
    "Cyrillic letter": set_keys(CONFIG, **{f"{CYRILLIC_A}uto_map": CODE}),
    "full width": set_keys(CONFIG, **{"ａｕｔｏ＿ｍａｐ": CODE}),
    "zero width": set_keys(CONFIG, **{f"auto_{ZERO_WIDTH}map": CODE}),
    "capitals": set_keys(CONFIG, Auto_Map=CODE),
    "a blank behind": set_keys(CONFIG, **{"auto_map ": CODE}),
    "quantization": set_keys(CONFIG, quantization_config={"quant_method": "owner/name"}),
    "score of a reranker": set_keys(CONFIG, sentence_transformers={"activation_fn": "os.system"}),
    "score, old spelling": set_keys(CONFIG, sbert_ce_default_activation_function="os.system"),
    "another name": set_keys(CONFIG, _name_or_path="owner/name"),
    "another base": set_keys(CONFIG, base_model_name_or_path="owner/name"),
    "revision of code": set_keys(CONFIG, code_revision="main"),
    "commit": set_keys(CONFIG, _commit_hash="0" * 40),
    "configuration inside": set_keys(CONFIG, text_config={"auto_map": CODE}),
    "a label that is an object": set_keys(CONFIG, id2label={"0": {"auto_map": CODE}}),
    "a label's number that is an object": set_keys(CONFIG, label2id={"a": {"auto_map": CODE}}),
    "positions with a key more": set_keys(CONFIG, "rope_parameters", "full_attention", auto_map=CODE),
    "a third kind of layer": set_keys(CONFIG, "rope_parameters", auto_map=CODE),
    "an unknown class": set_keys(CONFIG, architectures=["EvilModel"]),
    "an unknown type": set_keys(CONFIG, model_type="evil"),
    "a type of others": set_keys(CONFIG, model_type="llava"),
    "activation": set_keys(CONFIG, hidden_activation="owner/kernel"),
    "activation by dotted name": set_keys(CONFIG, classifier_activation="os.system"),
    "unknown dtype": set_keys(CONFIG, dtype="auto"),
    "old spelling of dtype": set_keys(CONFIG, torch_dtype="float32"),
    "version that is a path": set_keys(CONFIG, transformers_version="../../x"),
    "a size that is true": set_keys(CONFIG, hidden_size=True),
    "a size that is text": set_keys(CONFIG, hidden_size="32"),
    "a size beyond 64 bits": set_keys(CONFIG, num_hidden_layers=2**64),
    "a size that is a float": set_keys(CONFIG, hidden_size=32.0),
    "tokenizer's code": set_keys(TOKENIZER_CONFIG, auto_map={"AutoTokenizer": [None, "owner/name--tok.Tok"]}),
    "tokenizer of an unknown class": set_keys(TOKENIZER_CONFIG, tokenizer_class="EvilTokenizer"),
    "tokenizer that loads two others": set_keys(TOKENIZER_CONFIG, tokenizer_class="RagTokenizer"),
    "tokenizer that runs a program": set_keys(TOKENIZER_CONFIG, tokenizer_class="BertJapaneseTokenizer"),
    "tokenizer of another backend": set_keys(TOKENIZER_CONFIG, backend="mistral"),
    "tokenizer's file elsewhere": set_keys(TOKENIZER_CONFIG, tokenizer_file="../../tokenizer.json"),
    "tokenizer's name": set_keys(TOKENIZER_CONFIG, name_or_path="owner/name"),
    "chat template": set_keys(TOKENIZER_CONFIG, chat_template="{{ ''.__class__.__mro__ }}"),
    "processor": set_keys(TOKENIZER_CONFIG, processor_class="EvilProcessor"),
    "a token with a key more": set_keys(TOKENIZER_CONFIG, pad_token={"content": "[PAD]", "auto_map": CODE}),
    "endless length": set_keys(TOKENIZER_CONFIG, model_max_length=10**30),
    "a role more": set_keys("special_tokens_map.json", auto_map=CODE),
    "tokens that are objects": set_keys("special_tokens_map.json", additional_special_tokens=[{"auto_map": CODE}]),
    "tokenizer.json with a key more": set_keys(TOKENIZER, auto_map=CODE),
    "an unknown model": set_keys(TOKENIZER, "model", type="Evil"),
    "an unknown normalizer": set_keys(TOKENIZER, normalizer={"type": "Evil"}),
    "an unknown normalizer inside": set_keys(
        TOKENIZER, normalizer={"type": "Sequence", "normalizers": [{"type": "Evil"}]}
    ),
    "an added token with a key more": set_keys(TOKENIZER, "added_tokens", 0, auto_map=CODE),
    "an entry without a number": set_keys(TOKENIZER, "model", "vocab", word="owner/name"),
    "a decoder with a key more": set_keys(TOKENIZER, "decoder", "decoders", 0, auto_map=CODE),
    "a module of others": set_keys(MODULES, 0, type="stolen.Transformer"),
    "a module of the library": set_keys(MODULES, 1, type="sentence_transformers.models.Dense"),
    "a module of torch": set_keys(MODULES, 1, type="torch.nn.Identity"),
    "a module with a look-alike": set_keys(MODULES, 0, type=f"sentence_tr{CYRILLIC_A}nsformers.models.Transformer"),
    "a module above": set_keys(MODULES, 1, path="../../tmp"),
    "a module at the root": set_keys(MODULES, 1, path="/tmp"),
    "a module with a key more": set_keys(MODULES, 1, kwargs=["trust_remote_code"]),
    "modules that are an object": write(MODULES, "{}"),
    "another tokenizer": set_keys(LENGTH, tokenizer_name_or_path="owner/name"),
    "revision of the model's code": set_keys(LENGTH, model_args={"code_revision": "main"}),
    "trust": set_keys(LENGTH, model_args={"trust_remote_code": True}),
    "trust for the configuration": set_keys(LENGTH, config_args={"trust_remote_code": True}),
    "trust for the tokenizer": set_keys(LENGTH, tokenizer_args={"trust_remote_code": True}),
    "another way to load": set_keys(LENGTH, backend="onnx"),
    "small letters": set_keys(LENGTH, do_lower_case=True),
    "prompts that are objects": set_keys(ENCODER, prompts={"query": {"auto_map": CODE}}),
    "similarity by dotted name": set_keys(ENCODER, similarity_fn_name="os.system"),
    "encoder with a key more": set_keys(ENCODER, auto_map=CODE),
    "pooling with a key more": set_keys(POOLING, activation_function="os.system"),
    "pooling that is text": set_keys(POOLING, pooling_mode_mean_tokens="true"),
    "manifest with a key more": set_keys(MANIFEST, auto_map=CODE),
    "manifest that leaves the folder": set_keys(MANIFEST, "files", **{"../../etc/passwd": "0" * 64}),
    "manifest without digests": set_keys(MANIFEST, "files", NOTICE={"auto_map": CODE}),
    "provenance with a key more": set_keys("training_provenance.json", auto_map=CODE),
    "provenance of another file": set_keys("training_provenance.json", recipe={"file": "../x", "sha256": "0" * 64}),
    "record of graphs elsewhere": write("onnx/export.json", '{"files": [{"file": "../../model.onnx"}]}'),
    "object of Python in YAML": write("recipe.yaml", "model: !!python/object/apply:os.system [ls]\n"),
    "own tag in YAML": write("masking.yaml", "rate: !evil 1\n"),
    "anchors in YAML": write("masking.yaml", "a: &a [1]\nb: [*a, *a]\n"),
    "trust in a recipe": write("recipe.yaml", "trust_remote_code: true\n"),
    "a token in a recipe": write("recipe.yaml", "hub_token: x\n"),
    "upload in a recipe": write("recipe.yaml", "push_to_hub: true\n"),
    "a key twice in a recipe": write("recipe.yaml", "seed: 1\nseed: 2\n"),
    "deep YAML": write("masking.yaml", "a: " + "[" * 5_000 + "]" * 5_000),
    "a recipe that is a list": write("recipe.yaml", "- seed\n"),
}
ODD_JSON: dict[str, Damage] = {
    "a key twice": insert_text(CONFIG, '"model_type": "evil",'),
    "a key twice, spelled in two ways": insert_text(CONFIG, r'"model\u005ftype": "evil",'),
    "a key twice, inside": rewrite(
        CONFIG, lambda one: one.replace(b'"AutoModel":', b'"AutoConfig": "a--b.C", "AutoModel":')
    ),
    "infinite": rewrite(CONFIG, lambda one: one.replace(b'"norm_eps": 1e-05', b'"norm_eps": 1e999')),
    "Infinity": rewrite(CONFIG, lambda one: one.replace(b'"norm_eps": 1e-05', b'"norm_eps": Infinity')),
    "NaN": rewrite(CONFIG, lambda one: one.replace(b'"norm_eps": 1e-05', b'"norm_eps": NaN')),
    "5,000 digits": rewrite(CONFIG, lambda one: one.replace(b'"hidden_size": 32', b'"hidden_size": ' + b"9" * 5_000)),
    "deep": write(CONFIG, "[" * 100_000 + "]" * 100_000),
    "deep inside": insert_text(CONFIG, '"id2label": ' + '{"0":' * 3_000 + "1" + "}" * 3_000 + ","),
    "byte order mark": rewrite(CONFIG, lambda one: b"\xef\xbb\xbf" + one),
    "UTF-16": rewrite(CONFIG, lambda one: one.decode().encode("utf-16")),
    "not UTF-8": rewrite(TOKENIZER_CONFIG, lambda one: one.replace(b"[PAD]", b"\xff")),
    "half a surrogate pair": rewrite(TOKENIZER_CONFIG, lambda one: one.replace(b"[PAD]", rb"\ud800")),
    "something behind": rewrite(CONFIG, lambda one: one + b"{}"),
    "a comment": insert_text(CONFIG, "// see above\n"),
    "a comma too many": rewrite(CONFIG, lambda one: one.rstrip()[:-1] + b",}"),
    "a list": write(CONFIG, "[]"),
    "null": write(LENGTH, "null"),
    "nothing": write(ENCODER, ""),
    "a text": write(TOKENIZER_CONFIG, '"PreTrainedTokenizerFast"'),
    "too large": lambda folder: os.truncate(folder / TOKENIZER, 65 * MIB),
}
FILES: dict[str, Damage] = {
    "pickle": write("pytorch_model.bin", PICKLE),
    "weights of torch": write("model.pt", torch_archive()),
    "weights of other frameworks": write("tf_model.h5"),
    "training arguments": write("training_args.bin", PICKLE),
    "pickle under a harmless name": write("weights.json", PICKLE),
    "pickle as weights": write(WEIGHTS, PICKLE),
    "pickle as a picture": write("curves.png", PICKLE),
    "pickle as text": write("README.zh-CN.md", PICKLE + b"\0"),
    "pickle in a hidden folder": write(".hidden/model.bin", PICKLE),
    "pickle in the client's folder": write(".cache/huggingface/model.bin", PICKLE),
    "hook of git": write(".git/hooks/post-checkout", "#!/bin/sh\n"),
    "submodules of git": write(".gitmodules", '[submodule "x"]\n'),
    "environment": write(".env", "HF_TOKEN=x\n"),
    "compiled code": write("__pycache__/heads_chinese_modernbert.cpython-311.pyc"),
    "a library": write("kernel.so"),
    "an archive": write("code.zip"),
    "a script": write("run.sh"),
    "a helper": write("helper.py"),
    "setup.py": write("setup.py"),
    "sitecustomize.py": write("sitecustomize.py"),
    "requirements": write("requirements.txt", "evil\n"),
    "a module's code": write("1_Pooling/pooling.py"),
    "code beside graphs": write("onnx/evil.py"),
    "a library beside graphs": write("onnx/ops.so"),
    "one more file of ours": write("evil_chinese_modernbert.py"),
    "changed code": rewrite(HEADS, lambda one: one + b"\nimport os\n"),
    "other line ends in code": rewrite(HEADS, lambda one: one.replace(b"\n", b"\r\n")),
    "a mark before code": rewrite(HEADS, lambda one: b"\xef\xbb\xbf" + one),
    "an adapter": write("adapter_config.json", '{"base_model_name_or_path": "owner/name"}'),
    "generation": write("generation_config.json", "{}"),
    "code of generation": write("custom_generate/generate.py"),
    "a processor": write("processor_config.json", '{"auto_map": {"AutoProcessor": "owner/name--p.P"}}'),
    "a preprocessor": write("preprocessor_config.json", "{}"),
    "a template": write("chat_template.jinja"),
    "shards elsewhere": write("model.safetensors.index.json", '{"weight_map": {"a": "../../x.safetensors"}}'),
    "a dense module": write("2_Dense/config.json", '{"activation_function": "os.system"}'),
    "routes": write("router_config.json", "{}"),
    "a look-alike of config.json": write("config.js\u043en", "{}"),
    "another config.json": write("Config.json", "{}"),
    "a blank behind config.json": write("config.json ", "{}"),
    "a line break in a name": write("a\nb.json", "{}"),
    "a name that reads backwards": write("a\u202egnp.exe"),
    "a name without characters": lambda folder: os.close(os.open(os.fsencode(folder) + b"/\xff.json", os.O_CREAT)),
    "an empty folder": lambda folder: (folder / "modeling_chinese_modernbert").mkdir(),
    "a known name deeper": write("1_Pooling/1_Pooling/config.json", "{}"),
    "a known name elsewhere": write("onnx/config.json", "{}"),
    "a graph at the root": write("model.onnx"),
    "numbers beside a graph": write("onnx/model.onnx_data"),
    "a graph with numbers elsewhere": graph_with_outside_numbers,
    "a link inside": link("README.zh-CN.md", "README.md"),
    "a link that leaves": link("LICENSE", "/etc/passwd"),
    "a link in code's place": link(HEADS, "/tmp/heads.py"),
    "a link to a folder": link("onnx", "/tmp"),
    "a link to nothing": link("README.zh-CN.md", "nowhere"),
    "a link to itself": link("onnx", "onnx"),
    "a pipe": lambda folder: os.mkfifo(folder / "README.zh-CN.md"),
    "a pipe in code's place": lambda folder: ((folder / HEADS).unlink(), os.mkfifo(folder / HEADS)),
    "weights of another framework": new_header(lambda header: header.update(__metadata__={"format": "tf"})),
    "free text in the weights": new_header(lambda header: header.update(__metadata__={"auto_map": ELSEWHERE})),
    "a key more in the weights": new_header(lambda header: next(iter(header.values())).update(auto_map=CODE)),
    "tensors over each other": new_header(lambda header: header.update(a=next(reversed(header.values())))),
    "something behind the weights": rewrite(WEIGHTS, lambda one: one + PICKLE),
    "a header without end": rewrite(WEIGHTS, lambda one: b"\xff" * 8 + one[8:]),
}
DAMAGES: dict[str, Damage] = {**SETTINGS, **ODD_JSON, **FILES}


def changed_values(value: Any, shown: int = 3) -> Iterator[Any]:
    """Yield copies of a value of JSON: with a key more in one of its objects, or an object in one value's place.

    Args:
        value: the value
        shown: of a list or an object so many first items are changed
    """
    yield {"auto_map": CODE}
    if isinstance(value, dict):
        yield {**value, "auto_map": CODE}
        for name in list(value)[:shown] if len(value) > 100 else value:
            yield from ({**value, name: one} for one in changed_values(value[name], shown))
    elif isinstance(value, list):
        for index in range(min(len(value), shown)):
            yield from ([*value[:index], one, *value[index + 1 :]] for one in changed_values(value[index], shown))
