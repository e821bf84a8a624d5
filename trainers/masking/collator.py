"""Whole-word masking for any Trainer and any fast tokenizer: from rows of text, words or ids to padded tensors."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast, TrainerControl, TrainerState, TrainingArguments

from ...runtime.counter_random import hash_combine
from ...tokenization import WordSegmenter, encode_documents, load_segmenter
from ...tokenization.pre_tokenization import HAN
from ...tokenization.word_starts import word_ids_from_starts, word_starts_from_offsets
from .masker import Masker
from .trainer import PassCounter, mask_tensors

Row = Mapping[str, Any]
TOKENS_OF_A_CLAUSE = 8
"""Tokens of Han characters that no word has. Source: our default."""
SEGMENTS = "token_type_ids"
# Columns with one entry for each of a row's `input_ids`.
OF_TOKENS = (
    "word_starts",
    "word_ids",
    "offset_mapping",
    "document_ids",
    "attention_mask",
    "special_tokens_mask",
    SEGMENTS,
)


class DataCollatorForWholeWordMasking:
    """Pad rows and, with a masker, mask whole words.

    A row is one of: `text`; `words` (they join to the text); `input_ids` with `word_starts`, with `word_ids` of words
    (a tokenizer's own, which number runs of Han characters, are refused), or with `offset_mapping` and `text`. Rows of
    ids are taken as they are, special tokens included. Optional columns: `document_ids` (packed rows), `sample_id`
    (else a hash of the ids), `epoch`, `tag_NAME`, `score_NAME`; beside ids what a tokenizer gives with them:
    `attention_mask`, `special_tokens_mask` (never masked), `token_type_ids`.
    The Trainer must run with `remove_unused_columns=False`.

    With a masker the result has `input_ids`, `attention_mask`, `labels`. Its rate must be constant: a collator is given
    rows without the number of their batch, in workers that prefetch, and so cannot know the step. For a curriculum
    leave the masker out here and give it to `MaskingTrainer`, which masks when the step takes the batch.

    Args:
        tokenizer: any fast tokenizer with a pad and a mask token
        masker: masks at collation; None only pads and adds `word_ids` and `sample_ids`
        segmenter: a name for `load_segmenter`, or an object with `cut`; read for `text` rows only
        max_length: tokens of a row made from text or words, special tokens included; longer ones are cut
        pad_to_multiple_of: as in Transformers' own collators

    Raises:
        ValueError: If the masker's rate changes with progress, or the tokenizer has no pad or mask token.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        masker: Masker | None = None,
        segmenter: str | WordSegmenter = "rjieba",
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
    ) -> None:
        if masker is not None and not masker.schedule.is_constant:
            raise ValueError(
                "the masker's rate changes during training, but a collator gets rows ahead of a step, unknown to it; "
                "give the masker to MaskingTrainer and leave it out here, or use a constant rate"
            )
        for name in ("pad_token_id", "mask_token_id"):
            if getattr(tokenizer, name) is None:
                raise ValueError(f"the tokenizer has no {name}; set it before masking")
        self.tokenizer = tokenizer
        self.masker = masker
        self.max_length = max_length
        self.pad_to_multiple_of = pad_to_multiple_of
        self._segmenter = segmenter
        self._given_words = _GivenWords()
        self._special = np.array(sorted(tokenizer.all_special_ids))
        # Shared memory, so that workers which outlive an epoch see the next one too.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Set the pass over the data; each has its own masks (`MaskingEpochCallback` calls this)."""
        self._epoch.fill_(epoch)

    def __call__(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """Collate rows.

        Returns:
            int64 tensors `[B, L]`: `input_ids`, `attention_mask`, and `labels`, or (without a masker) `word_ids` and
            `sample_ids` `[B]`. `document_ids` where the rows have them.

        Raises:
            ValueError: If a row has none of the accepted forms, or rows differ in their columns.
        """
        columns = [self._columns(row) for row in rows]
        if any(column.keys() != columns[0].keys() for column in columns):
            raise ValueError("the rows of a batch have different columns; give every row the same ones")
        batch = {name: self._padded(name, [column[name] for column in columns]) for name in columns[0]}
        inputs = {name: torch.from_numpy(column) for name, column in batch.items()}
        if self.masker is None:
            return inputs
        epoch = batch["epochs"] if "epochs" in batch else int(self._epoch.item())
        return mask_tensors(self.masker, inputs, progress=0.0, epoch=epoch)[0]

    def _columns(self, row: Row) -> dict[str, np.ndarray]:
        """Return the columns of one row, not padded."""
        ids, starts, words = self._encode(row)
        has_ids = "input_ids" in row
        for name in (name for name in row if has_ids and (name in OF_TOKENS or name.startswith(("tag_", "score_")))):
            if len(row[name]) != len(ids):
                raise ValueError(f"a row has {len(ids)} input_ids and {len(row[name])} {name}; give one for each token")
        documents = np.asarray(row["document_ids"]) if "document_ids" in row else np.zeros(len(ids), dtype=np.int64)
        special = np.isin(ids, self._special)
        if has_ids:  # text is encoded here, whatever columns come with it
            documents = np.where(row.get("attention_mask", 1), documents, -1)
            special |= np.asarray(row.get("special_tokens_mask", 0), dtype=bool)
        excluded = special | (documents < 0)
        word_ids = word_ids_from_starts(starts, documents, special) if words is None else np.where(excluded, -1, words)
        columns = {"input_ids": ids, "word_ids": word_ids, "attention_mask": (documents >= 0).astype(np.int64)}
        if "document_ids" in row:
            columns["document_ids"] = documents
        if has_ids and SEGMENTS in row and SEGMENTS in self.tokenizer.model_input_names:
            columns[SEGMENTS] = np.asarray(row[SEGMENTS])
        columns["sample_ids"] = np.asarray(row["sample_id"] if "sample_id" in row else _content_hash(ids))
        if "epoch" in row:
            columns["epochs"] = np.asarray(row["epoch"])
        return columns | {name: np.asarray(row[name]) for name in row if name.startswith(("tag_", "score_"))}

    def _encode(self, row: Row) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return int64 ids, bool word starts, and the word ids of the row where it has some."""
        if "input_ids" not in row:
            ids, starts = self._encode_text(row)
            return ids, starts, None
        ids = np.asarray(row["input_ids"], dtype=np.int64)
        if "word_starts" in row:
            return ids, np.asarray(row["word_starts"], dtype=bool), None
        if "word_ids" in row:
            words = np.array([-1 if word is None else int(word) for word in row["word_ids"]], dtype=np.int32)
            self._check_words(ids, words)
            return ids, np.zeros(len(ids), dtype=bool), words
        if "offset_mapping" in row and "text" in row:
            return ids, word_starts_from_offsets(row["text"], row["offset_mapping"], self._load_segmenter()), None
        raise _unusable(row)

    def _check_words(self, ids: np.ndarray, words: np.ndarray) -> None:
        """Raise a ValueError if words are the tokenizer's own `word_ids()`, where a clause of Han characters is one.

        Only a long unit is looked at: no other row tells the two apart, and text has such a clause soon.
        """
        begins = np.flatnonzero(np.diff(words, prepend=-2))
        lengths = np.diff(begins, append=len(words))
        longest = int(lengths.argmax()) if len(lengths) else 0
        if not len(lengths) or lengths[longest] < TOKENS_OF_A_CLAUSE or words[begins[longest]] < 0:
            return
        unit = str(self.tokenizer.decode(ids[begins[longest] : begins[longest] + lengths[longest]])).replace(" ", "")
        kept = ~np.isin(ids, self._special)
        own = self.tokenizer(str(self.tokenizer.decode(ids[kept])), add_special_tokens=False)
        same = own["input_ids"] == ids[kept].tolist() and own.word_ids() == words[kept].tolist()
        if same and re.fullmatch(f"[{HAN}]+", unit):
            raise ValueError(
                f"word_ids are the tokenizer's own, in which {unit!r} is one word; give text, or tokenize words with "
                "is_split_into_words=True"
            )

    def _encode_text(self, row: Row) -> tuple[np.ndarray, np.ndarray]:
        if "words" not in row and "text" not in row:
            raise _unusable(row)
        words = list(row["words"]) if "words" in row else [row["text"]]
        for word in words:
            if not isinstance(word, str):
                raise ValueError(
                    f"{'words hold' if 'words' in row else 'text is'} {type(word).__name__}, expected text; "
                    "leave out the rows of a data set that have none"
                )
        self._given_words.words = words
        segmenter, text = self._given_words if "words" in row else self._load_segmenter(), "".join(words)
        document = encode_documents(self.tokenizer, segmenter, [text])[0]
        before = [] if self.tokenizer.cls_token_id is None else [self.tokenizer.cls_token_id]
        after = [] if self.tokenizer.sep_token_id is None else [self.tokenizer.sep_token_id]
        room = None if self.max_length is None else max(self.max_length - len(before) - len(after), 0)
        ids = np.concatenate([before, document.input_ids[:room].astype(np.int64), after]).astype(np.int64)
        starts = np.ones(len(ids), dtype=bool)
        starts[len(before) : len(ids) - len(after)] = document.word_starts[:room]
        return ids, starts

    def _load_segmenter(self) -> WordSegmenter:
        if isinstance(self._segmenter, str):
            self._segmenter = load_segmenter(self._segmenter)
        return self._segmenter

    def _padded(self, name: str, columns: list[np.ndarray]) -> np.ndarray:
        """Stack one column; scalars become `[B]`, the rest `[B, L]`."""
        if columns[0].ndim == 0:
            return np.array(columns, dtype=np.int64)
        longest = max(len(column) for column in columns)
        if self.pad_to_multiple_of:
            longest += -longest % self.pad_to_multiple_of
        is_score = name.startswith("score_")
        filler = {"input_ids": self.tokenizer.pad_token_id, "attention_mask": 0, SEGMENTS: 0}.get(
            name, 0 if is_score else -1
        )
        padded = np.full((len(columns), longest), filler, dtype=np.float32 if is_score else np.int64)
        for row, column in zip(padded, columns, strict=True):
            row[: len(column)] = column
        return padded


class MaskingEpochCallback(PassCounter):
    """Tell a masking collator the pass over the data, in whatever worker it runs.

    Args:
        collator: the one that masks
    """

    def __init__(self, collator: DataCollatorForWholeWordMasking) -> None:
        super().__init__()
        self.collator = collator

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Set the pass before the workers start; a resumed run gets the same number."""
        super().on_epoch_begin(args, state, control)
        self.collator.set_epoch(self.number)


class _GivenWords:
    """A segmenter that returns the words that it was given last."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def cut(self, text: str) -> list[str]:
        return self.words


def _content_hash(ids: np.ndarray) -> int:
    """Name a row by its tokens: equal rows get equal masks in one epoch, in any order and any batch."""
    positions = hash_combine(np.zeros(len(ids), dtype=np.uint64), np.arange(len(ids)))
    return int(hash_combine(positions, ids).sum(dtype=np.uint64) >> np.uint64(1))


def _unusable(row: Row) -> ValueError:
    return ValueError(
        f"a row has the columns {sorted(row)}; give text, words, or input_ids with word_starts, word_ids or "
        "offset_mapping and text (and set remove_unused_columns=False, or the Trainer drops them)"
    )
