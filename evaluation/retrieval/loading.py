"""Models for search from their folders: which of sentence-transformers' four kinds each is, with our own classes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Transformer
from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification

from ...modeling import ChineseModernBertConfig
from ...modeling.loading import own_config
from .expansion import tokenizers_of
from .reranker import Reranker

SearchModel = SentenceTransformer | SparseEncoder | MultiVectorEncoder | CrossEncoder

MODULES_FILE, TYPE_FILE, CONFIG_FILE = "modules.json", "config_sentence_transformers.json", "config.json"
CLASSES: dict[str, type[Any]] = {
    one.__name__: one for one in (SentenceTransformer, SparseEncoder, MultiVectorEncoder, CrossEncoder)
}
# The class that Transformers gives a module by the task that it does.
AUTO_CLASSES: dict[str, Any] = {
    "feature-extraction": AutoModel,
    "fill-mask": AutoModelForMaskedLM,
    "sequence-classification": AutoModelForSequenceClassification,
}


def search_class(folder: str | Path) -> type[Any]:
    """Return the class of sentence-transformers that a folder is of.

    Args:
        folder: saved by one of the four, or a sequence classifier of Transformers with one label

    Raises:
        FileNotFoundError: If it holds no model.
        ValueError: If its model is none for search.
    """
    path = Path(folder)
    if (path / MODULES_FILE).is_file():
        named = _values(path / TYPE_FILE).get("model_type", "SentenceTransformer")
        if named not in CLASSES:
            raise ValueError(f"{folder} is a '{named}'; models for search are {', '.join(CLASSES)}")
        return CLASSES[named]
    if not (path / CONFIG_FILE).is_file():
        raise FileNotFoundError(f"{folder} holds no model: neither {MODULES_FILE} nor {CONFIG_FILE}")
    values = _values(path / CONFIG_FILE)
    named = str((values.get("architectures") or ["a model"])[0])
    if not named.endswith("ForSequenceClassification"):
        raise ValueError(
            f"{folder} holds {named} without {MODULES_FILE}, which cannot search before it is trained for it; make a "
            "model for search of it with 'chinese-modernbert retrieval'"
        )
    labels = len(values.get("id2label") or {"0": "", "1": ""})  # Transformers leaves out its default, two labels
    if labels != 1:
        raise ValueError(f"{folder} is a classifier of {labels} labels; one that ranks passages has 1")
    return CrossEncoder


def load_search_model(folder: str | Path, trust_remote_code: bool = False, **options: Any) -> SearchModel:
    """Return the model of a folder, float32, as sentence-transformers loads it.

    Our own architecture never needs `trust_remote_code`: this package's classes stand for the code in the folder.

    Args:
        folder: see `search_class`
        trust_remote_code: whether code of others that lies in the folder is run
        options: further arguments of the class, such as `prompts`

    Raises:
        FileNotFoundError, ValueError: See `search_class`.
    """
    made = search_class(folder)
    made = Reranker if made is CrossEncoder else made
    trust = trust_remote_code and not _own_places(folder)
    model = made(str(folder), trust_remote_code=trust, model_kwargs={"dtype": torch.float32}, **options)
    return take_own_classes(model, folder).eval()


def take_own_classes(model: Any, folder: str | Path) -> Any:
    """Put this package's classes in the place of those that the Auto classes took for a release of ours.

    Args:
        model: a model of sentence-transformers, which is changed
        folder: where it was loaded from

    Returns:
        The model.
    """
    modules: list[Any] = [one for one in model.modules() if isinstance(one, Transformer)]
    for module, place in zip(modules, _own_places(folder), strict=False):
        if not isinstance(module.model.config, ChineseModernBertConfig):
            auto = AUTO_CLASSES[module.transformer_task]
            ours = auto.from_pretrained(
                place, config=own_config(str(place)), trust_remote_code=False, dtype=torch.float32
            )
            module.model = ours.to(model.device)
    return model


def encoder_place(folder: str | Path) -> Path:
    """Return where a folder has its encoder: in itself, or where sentence-transformers keeps it further down.

    Raises:
        ValueError: If there is none, as in a table of vectors.
    """
    path = Path(folder)
    if (path / CONFIG_FILE).is_file():
        return path
    found = [file.parent for file in sorted(path.rglob(CONFIG_FILE)) if "model_type" in _values(file)]
    if not found:
        raise ValueError(f"{folder} holds no encoder; give the checkpoint or release that it was made of")
    return found[0]


def model_digest(model: Any) -> str:
    """Return 16 hexadecimal digits that name what a model makes of texts: its weights, prompts and longest texts.

    Args:
        model: of sentence-transformers
    """
    prompts = sorted((name, text) for name, text in (model.prompts or {}).items() if text)
    lengths = sorted({one.model_max_length for one in tokenizers_of(model)})  # sides that are loaded have one each
    digest = hashlib.sha256(repr((prompts, lengths)).encode("utf-8", "surrogatepass"))
    for name, value in sorted(model.state_dict().items()):  # the sides of a router may change places
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def _own_places(folder: str | Path) -> list[Path]:
    """Return the folder, or those in it, that hold weights of our architecture: a router keeps them further down."""
    files = sorted(Path(folder).rglob(CONFIG_FILE))
    return [file.parent for file in files if own_config(str(file.parent)) is not None]


def _values(file: Path) -> dict[str, Any]:
    """Return the object of a JSON file, an empty one where there is no file.

    Raises:
        ValueError: If it holds something else.
    """
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not JSON ({error}); save the model again") from error
    if not isinstance(found, dict):
        raise ValueError(f"{file} holds {type(found).__name__}, expected an object; save the model again")
    return found
