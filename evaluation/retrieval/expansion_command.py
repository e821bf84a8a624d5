"""The command `retrieval explain`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from ...runtime.options import argument

if TYPE_CHECKING:
    from .expansion import ExplainedText


@dataclass
class ExplainArguments:
    """Which model to ask, and about which texts."""

    model_and_texts: list[str] = argument(list, "Folder of a sparse encoder, then texts.", group="Model and texts")
    side: Literal["document", "query"] = argument("document", "What the texts are to the model.")
    top: int = argument(20, "Most terms of a text.", within="[1, inf)")
    json: bool = argument(False, "Write JSON.", group="Output")
    trust_remote_code: bool = argument(False, "Allow other models' own code; ours never needs it.")

    def __post_init__(self) -> None:
        if len(self.model_and_texts) < 2:
            raise ValueError('give a model and at least one text: retrieval explain MODEL "TEXT" ["TEXT" ...]')


def run_explain(args: ExplainArguments) -> str:
    """Return the terms of the texts, as lines or as JSON.

    Raises:
        FileNotFoundError: If there is no model.
        ValueError: If the model is no sparse encoder, or a text is empty.
    """
    from sentence_transformers import SparseEncoder

    from .expansion import explain
    from .loading import load_search_model

    folder, *texts = args.model_and_texts
    model = load_search_model(folder, args.trust_remote_code)
    if not isinstance(model, SparseEncoder):
        raise ValueError(f"{folder} is a {type(model).__name__}; give a sparse encoder, whose numbers stand for words")
    found = explain(model, texts, args.top, args.side == "query")
    if args.json:
        return json.dumps([asdict(one) for one in found], ensure_ascii=False, indent=1)
    return "\n\n".join(_lines(one) for one in found)


def _lines(one: ExplainedText) -> str:
    """Return a text and its terms, a line each; a plus marks what the text does not hold."""
    shown = [f"{term.weight:8.3f} {' ' if term.in_text else '+'} {term.term}" for term in one.terms]
    return "\n".join([one.text, *shown, f"{len(one.terms)} of {one.active} terms; + is not in the text"])
