"""Ways to make the modules of a good search model's release hostile; see `hostile_folders`."""

from __future__ import annotations

from .hostile_folders import (
    CODE,
    CYRILLIC_A,
    ELSEWHERE,
    ENCODER,
    LENGTH,
    MODULES,
    PICKLE,
    Damage,
    both,
    insert_text,
    link,
    rewrite,
    set_keys,
    torch_archive,
    write,
)

ROUTER, QUERY, DOCUMENT = "router_config.json", "query_0_SparseStaticEmbedding", "document_1_SpladePooling"
MASKED, ROUTED_MASK = "2_SparseStaticEmbedding", "document_2_SparseStaticEmbedding"
DENSE, MASK, POOLED = "1_Dense/config.json", "2_MultiVectorMask/config.json", "4_HierarchicalTokenPooling/config.json"
FOREIGN = {"types": {QUERY: "stolen.SparseStaticEmbedding"}}
LOOK_ALIKE = f"torch.nn.modules.line{CYRILLIC_A}r.Identity"
TORCH_CLASS = "torch.nn.modules.activation.Tanh"
# Of releases whose modules have settings, classes and tensors of their own, by the kind of `search_models.MODELS`.
MODULE_DAMAGES: dict[str, dict[str, Damage]] = {
    "sparse_documents": {
        "a route of a foreign class": set_keys(ROUTER, "types", **{QUERY: "stolen.SparseStaticEmbedding"}),
        "the encoder of a foreign class": set_keys(ROUTER, "types", **{"": "modeling.Model"}),
        "classes that are exchanged": set_keys(
            ROUTER, "types", **{"": "sentence_transformers.sparse_encoder.models.SpladePooling"}
        ),
        "one module more": both(
            set_keys(ROUTER, "types", evil="evil.Module"), set_keys(ROUTER, "structure", query=[QUERY, "evil"])
        ),
        "a route more": set_keys(ROUTER, "structure", image=[""]),
        "a module above": set_keys(ROUTER, "types", **{"../../tmp": "sentence_transformers.models.Dense"}),
        "a module that is an object": set_keys(ROUTER, "types", **{QUERY: FOREIGN}),
        "code as the name of a route": set_keys(ROUTER, "parameters", route_mappings={"__import__('os')": "query"}),
        "an unknown route": set_keys(ROUTER, "parameters", default_route="evil"),
        "routes with a key more": set_keys(ROUTER, auto_map=CODE),
        "routes twice": insert_text(ROUTER, '"types": {},'),
        "weights from a path": set_keys(f"{QUERY}/config.json", path="../../idf.json"),
        "code of a tokenizer": set_keys(
            f"{QUERY}/tokenizer_config.json", auto_map={"AutoTokenizer": [None, ELSEWHERE]}
        ),
        "a tokenizer of its own": set_keys(f"{QUERY}/tokenizer_config.json", tokenizer_class="EvilTokenizer"),
        "a tokenizer's file elsewhere": set_keys(f"{QUERY}/tokenizer_config.json", tokenizer_file="../../t.json"),
        "pickled weights beside": write(f"{QUERY}/pytorch_model.bin", PICKLE),
        "pickled weights in their place": write(f"{QUERY}/model.safetensors", PICKLE),
        "bytes behind the weights": rewrite(f"{QUERY}/model.safetensors", lambda one: one + PICKLE),
        "code beside the weights": write(f"{QUERY}/modeling.py"),
        "a folder inside": write(f"{QUERY}/{QUERY}/config.json", "{}"),
        "a module of the route that nobody names": write("1_Dense/config.json", "{}"),
        "pooling with a key more": set_keys(f"{DOCUMENT}/config.json", activation="os.system"),
        "an activation by dotted name": set_keys(f"{DOCUMENT}/config.json", activation_function="os.system"),
        "a link to a module": both(
            lambda folder: (folder / DOCUMENT / "config.json").unlink(), link(f"{DOCUMENT}/config.json", "/etc/passwd")
        ),
    },
    "sparse, own tokens": {
        "a mask of a foreign class": set_keys(MODULES, 2, type="stolen.SparseStaticEmbedding"),
        "a mask above": set_keys(MODULES, 2, path="../../tmp"),
        "a mask in the folder of queries": set_keys(MODULES, 2, path=QUERY),
        "weights from a path": set_keys(f"{MASKED}/config.json", path="../../idf.json"),
        "code of a tokenizer": set_keys(
            f"{MASKED}/tokenizer_config.json", auto_map={"AutoTokenizer": [None, ELSEWHERE]}
        ),
        "a tokenizer of its own": set_keys(f"{MASKED}/tokenizer_config.json", tokenizer_class="EvilTokenizer"),
        "pickled weights beside": write(f"{MASKED}/pytorch_model.bin", PICKLE),
        "pickled weights in their place": write(f"{MASKED}/model.safetensors", PICKLE),
        "code beside the weights": write(f"{MASKED}/modeling.py"),
        "a mask that nobody names": write("document_2_SparseStaticEmbedding/config.json", "{}"),
    },
    "sparse_documents, own tokens": {
        "a mask of a foreign class": set_keys(ROUTER, "types", **{ROUTED_MASK: "stolen.SparseStaticEmbedding"}),
        "a mask that is another module": set_keys(
            ROUTER, "types", **{ROUTED_MASK: "sentence_transformers.sparse_encoder.models.SpladePooling"}
        ),
        "the mask of the other form": set_keys(
            ROUTER, "types", **{MASKED: "sentence_transformers.sparse_encoder.models.SparseStaticEmbedding"}
        ),
        "weights from a path": set_keys(f"{ROUTED_MASK}/config.json", path="../../idf.json"),
        "code of a tokenizer": set_keys(
            f"{ROUTED_MASK}/tokenizer_config.json", auto_map={"AutoTokenizer": [None, ELSEWHERE]}
        ),
        "pickled weights beside": write(f"{ROUTED_MASK}/pytorch_model.bin", PICKLE),
    },
    "late_interaction, pooled": {
        "an activation to import": set_keys(DENSE, activation_function="os.system"),
        "an activation of torch": set_keys(DENSE, activation_function=TORCH_CLASS),
        "an activation of another name": set_keys(DENSE, activation_function="torch.hub.load"),
        "an activation with a look-alike": set_keys(
            DENSE, activation_function=f"torch.nn.modules.line{CYRILLIC_A}r.Identity"
        ),
        "a projection of other numbers": set_keys(DENSE, module_input_name="sentence_embedding"),
        "a projection with a key more": set_keys(DENSE, init_weight=CODE),
        "a bias": set_keys(DENSE, bias=True),
        "pickled weights beside": write("1_Dense/pytorch_model.bin", PICKLE),
        "pickled weights in their place": both(
            lambda folder: (folder / "1_Dense/model.safetensors").unlink(),
            write("1_Dense/pytorch_model.bin", torch_archive()),
        ),
        "another module of the library": set_keys(MODULES, 4, type="sentence_transformers.models.CNN"),
        "token pooling of a foreign class": set_keys(MODULES, 4, type="evil.HierarchicalTokenPooling"),
        "classes that are exchanged": set_keys(MODULES, 4, type="sentence_transformers.models.Dense"),
        "a factor that is text": set_keys(POOLED, pool_factor="2.0"),
        "a function of pooling": set_keys(POOLED, pool_fn="os.system"),
        "words that are objects": set_keys(MASK, skiplist_words=[{"auto_map": CODE}]),
        "ids of images": set_keys(MASK, keep_only_token_ids=[1]),
        "an unknown task": set_keys(MASK, skiplist_tasks=["evil"]),
        "expansion without attention": set_keys(
            LENGTH, query_expansion={"strategy": "fixed", "attend": False, "token": None, "length": 8}
        ),
        "expansion with a key more": set_keys(
            LENGTH, query_expansion={"strategy": "fixed", "length": 8, "auto_map": CODE}
        ),
        "a template": set_keys(LENGTH, processing_kwargs={"chat_template": {"chat_template": "{{ x }}"}}),
        "another method of the model": set_keys(LENGTH, modality_config={"text": {"method": "save_pretrained"}}),
        "an older form, which is another class": set_keys(ENCODER, model_type="ColBERT"),
        "a prefix of an older form": set_keys(ENCODER, query_prefix="[unused0]"),
        "routes that nobody names": write(ROUTER, "{}"),
    },
}
