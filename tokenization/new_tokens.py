"""Going on from a checkpoint with a tokenizer that has more entries than the checkpoint's own."""

import logging
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from .loading import TOKENIZER_FILE, load_tokenizer, tokenizer_hash

logger = logging.getLogger(__name__)

SHOWN = 3


def new_entries(checkpoint: str | Path, tokenizer: PreTrainedTokenizerFast) -> dict[int, list[int]]:
    """Return, for each entry that `tokenizer` has and the checkpoint's own tokenizer has not, the ids that spelled it.

    Args:
        checkpoint: Folder of a model, with its tokenizer.
        tokenizer: The run's tokenizer.

    Returns:
        New id -> ids of its pieces, for `start_embeddings`; empty where the two are the same, or where the folder has
        no tokenizer to compare with.

    Raises:
        ValueError: If an entry that both have stands at different ids, or the run's tokenizer lacks some.
    """
    if not (Path(checkpoint) / TOKENIZER_FILE).is_file():
        logger.warning("%s has no tokenizer: that it is the run's own cannot be checked", checkpoint)
        return {}
    own = load_tokenizer(checkpoint)
    if tokenizer_hash(own) == tokenizer_hash(tokenizer):
        return {}
    before, after = own.get_vocab(), tokenizer.get_vocab()
    moved = sorted((entry for entry, number in before.items() if after.get(entry) != number), key=before.__getitem__)
    if moved or len(after) == len(before):
        what = f"{len(moved)} entries stand elsewhere, first {', '.join(map(repr, moved[:SHOWN]))}"
        raise ValueError(
            f"the tokenizer is not that of {checkpoint} with entries added "
            f"({what if moved else 'its entries are the same, its rules are not'}); extend the checkpoint's own with "
            "chinese-modernbert tokenizer --extend"
        )
    added = {number: entry for entry, number in after.items() if entry not in before}
    logger.info("%d new entries; their rows start as the mean of their pieces", len(added))
    return {number: own(added[number], add_special_tokens=False)["input_ids"] for number in sorted(added)}
