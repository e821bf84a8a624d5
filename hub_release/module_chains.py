"""Which modules a folder of sentence-transformers has, in which order and where; nothing that it names is imported."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .checkpoint import read_json_list, read_json_object
from .json_forms import form_faults
from .module_forms import MODULE_FORMS, QUERY_FOLDER
from .poolings import LATE_INTERACTION, SPLADE

MODULES_FILE = "modules.json"
ROUTER_FILE = "router_config.json"
# Chains of modules that a release holds, and how each makes its embeddings.
CHAINS = {
    re.compile("Transformer Pooling( Normalize)?"): "dense",
    re.compile("(MLM)?Transformer SpladePooling( SparseStaticEmbedding)?"): SPLADE,
    re.compile("Transformer( Dense)? MultiVectorMask( Normalize)?( HierarchicalTokenPooling)?"): LATE_INTERACTION,
}
QUERY, DOCUMENT = "query", "document"
# Where the modules of both ways lie in a release, and their classes. The encoder lies beside `config.json`, under no
# name of its own: there every library and its own code find it.
ROUTES: dict[str, dict[str, str]] = {
    QUERY: {QUERY_FOLDER: "SparseStaticEmbedding"},
    DOCUMENT: {"": "MLMTransformer", **{form.routed: kind for kind, form in MODULE_FORMS.items() if form.routed}},
}
ROUTER_SETTINGS = {
    "default_route": frozenset((QUERY, DOCUMENT, None)),
    "allow_empty_key": bool,
    "route_mappings": {},
}


def encoder_folder(folder: str | Path) -> Path:
    """Return where a folder of sentence-transformers has its encoder, beside `config.json`: mostly in itself.

    Raises:
        ValueError: For a folder without an encoder, or routes that a release does not hold.
    """
    folder = Path(folder)
    if not (folder / MODULES_FILE).is_file():
        return folder
    chain = chain_of(folder)
    if chain[0][0] == "Router":
        chain = routes_of(folder)[1]
    return folder / chain[0][1]


def chain_of(folder: Path) -> list[tuple[str, str]]:
    """Return class and folder of every module, in order."""
    rows = [(row.get("type"), row.get("path", "")) for row in read_json_list(folder / MODULES_FILE)]
    chain = [_plain(folder / MODULES_FILE, kind, place) for kind, place in rows]
    kinds = [kind for kind, _ in chain]
    if not chain:
        raise ValueError(f"{folder / MODULES_FILE} names no module; save the model again")
    if "StaticEmbedding" in kinds:
        raise ValueError(
            f"{folder} holds static embeddings and no encoder of ours; sentence-transformers loads it anywhere "
            "as it is: push it by SentenceTransformer(...).push_to_hub, or release the encoder it was distilled from"
        )
    if kinds[0] == "Router" and len(kinds) > 1:
        raise ValueError(f"{folder / MODULES_FILE} has {', '.join(kinds)}; a release holds a Router alone")
    return chain


def routes_of(folder: Path) -> tuple[tuple[str, Path], list[tuple[str, str]], str | None]:
    """Return class and folder of the module of queries, those of documents, and the default route if there is one."""
    path = folder / ROUTER_FILE
    values = read_json_object(path)
    try:
        types, structure = values["types"], values["structure"]
        chains = {side: [_plain(path, types[one], one) for one in names] for side, names in structure.items()}
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"{path} does not say which modules its routes have; save the model again") from None
    faults = list(form_faults(values.get("parameters", {}), ROUTER_SETTINGS))
    [queries] = chains.get(QUERY, []) if len(chains.get(QUERY, [])) == 1 else [("", "")]
    if faults or set(chains) != {QUERY, DOCUMENT} or queries[0] != "SparseStaticEmbedding" or not chains[DOCUMENT]:
        found = "; ".join(faults or [f"{side}: {', '.join(kind for kind, _ in one)}" for side, one in chains.items()])
        raise ValueError(
            f"{path} has {found}; a release holds a route `query` of SparseStaticEmbedding and a route `document` of "
            "MLMTransformer, SpladePooling and, where texts keep their own tokens alone, SparseStaticEmbedding"
        )
    told = values.get("parameters", {})
    route = told.get("default_route") or (next(iter(chains)) if told.get("allow_empty_key", True) else None)
    return (queries[0], folder / queries[1]), chains[DOCUMENT], route


def tokenizer_folders(folder: Path) -> list[Path]:
    """Return the folders of a saved model's modules that have a tokenizer of their own."""
    chain, found = chain_of(folder), []
    if chain[0][0] == "Router":
        (kind, place), chain, _ = routes_of(folder)
        found = [place] if MODULE_FORMS[kind].has_tokenizer else []
    return found + [folder / place for kind, place in chain if MODULE_FORMS[kind].has_tokenizer]


def _plain(path: Path, kind: Any, place: Any) -> tuple[str, str]:
    """Return the last part of the name of a class, and the name of a folder beside a file.

    Raises:
        ValueError: For a folder that is elsewhere.
    """
    if not isinstance(place, str) or Path(place).name != place or place == "..":
        raise ValueError(f"{path} names the folder {place!r}, a plain name is needed")
    return str(kind).rpartition(".")[2], place
