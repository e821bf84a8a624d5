"""Loading of the masked language models that the commands of this room score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def load_masked_language_model(name: str, dtype: str, use_cpu: bool, trust_remote_code: bool) -> tuple[Any, Any]:
    """Return a masked language model in evaluation mode, and its tokenizer.

    Args:
        name: folder or Hub name
        dtype: name of the dtype of its weights
        use_cpu: leave a GPU alone
        trust_remote_code: allow the model's own code

    Raises:
        ValueError: If the folder lacks weights of such a model, which Transformers would draw at random.
    """
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    from ...modeling.loading import own_config

    config = own_config(name)
    model, loading = AutoModelForMaskedLM.from_pretrained(
        name,
        dtype=getattr(torch, dtype),
        trust_remote_code=trust_remote_code,
        output_loading_info=True,
        **({} if config is None else {"config": config}),
    )
    if loading["missing_keys"]:
        lacking = ", ".join(sorted(loading["missing_keys"])[:3])
        raise ValueError(f"{name} lacks weights of a masked language model ({lacking}); give one with its head")
    device = "cuda" if torch.cuda.is_available() and not use_cpu else "cpu"
    return model.eval().to(device), AutoTokenizer.from_pretrained(name, trust_remote_code=trust_remote_code)


def public_name(name: str, parts: int = 2) -> str:
    """Return of a path its last parts: a report tells no folder of the machine, and a Hub name is two parts."""
    return "/".join(Path(name).parts[-parts:]) or Path(name).resolve().name


def public_names(names: Sequence[str]) -> dict[str, str]:
    """Return the public name of each model, with so many more parts of the paths that no two are alike.

    Raises:
        ValueError: If two names are one path.
    """
    given = list(dict.fromkeys(names))
    longest = max((len(Path(name).parts) for name in given), default=0)
    for parts in range(2, 1 + max(2, longest)):
        shown = {name: public_name(name, parts) for name in given}
        if len({*shown.values()}) == len(given):
            return shown
    raise ValueError(f"{', '.join(given)} name a model twice; give each once")
