"""A classifier whose every word has a known weight: logits are sums of one vector for each token, as a bag of words."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from chinese_modernbert.evaluation.explanations.masked_texts import Kind, MaskedTexts
from chinese_modernbert.evaluation.explanations.units import word_units
from chinese_modernbert.tokenization.word_segmentation import LexiconSegmenter

CHARACTERS = "好坏快慢甲乙丙丁戊己庚辛的，。"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


class BagOfWordsConfig(PretrainedConfig):
    model_type = "bag_of_words"

    def __init__(self, vocab_size: int = 8, **kwargs: Any) -> None:
        self.vocab_size, self.max_position_embeddings, self.pad_token_id = vocab_size, 4096, 0
        super().__init__(**kwargs)


class BagOfWordsForSequenceClassification(PreTrainedModel):
    config_class = BagOfWordsConfig
    base_model_prefix = "model"

    def __init__(self, config: BagOfWordsConfig) -> None:
        super().__init__(config)
        self.table = torch.nn.Embedding(config.vocab_size, int(config.num_labels or 1))
        self.post_init()

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.table

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        vectors = self.table(input_ids) if inputs_embeds is None else inputs_embeds
        assert attention_mask is not None
        logits = (vectors * attention_mask.unsqueeze(-1)).sum(dim=1)
        return SequenceClassifierOutput(logits=logits)  # pyright: ignore[reportArgumentType]


AutoConfig.register("bag_of_words", BagOfWordsConfig)
AutoModelForSequenceClassification.register(BagOfWordsConfig, BagOfWordsForSequenceClassification)


def character_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of single characters."""
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *CHARACTERS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True)
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=4096, **dict(names))


def bag_of_words(outputs: int, seed: int = 0, **fields: Any) -> tuple[BagOfWordsForSequenceClassification, np.ndarray]:
    """Return a classifier and its table, float64 `[vocabulary, outputs]`; special tokens and [MASK] weigh nothing."""
    size = len(SPECIAL) + len(CHARACTERS)
    model = BagOfWordsForSequenceClassification(BagOfWordsConfig(size, num_labels=outputs, **fields)).eval()
    table = np.random.default_rng(seed).normal(size=(size, outputs)).round(3)
    table[: len(SPECIAL)] = 0
    with torch.no_grad():
        model.table.weight.copy_(torch.from_numpy(table))
    return model, table


def write_bag_of_words(folder: Path, outputs: int, **fields: Any) -> np.ndarray:
    """Write model and tokenizer into `folder`, and return the table."""
    model, table = bag_of_words(outputs, **fields)
    model.save_pretrained(folder)
    character_tokenizer().save_pretrained(folder)
    return table


TEXTS = ["甲乙很丙丁戊己", "庚", "好坏快慢，的。辛", "甲甲乙", "丙丁的辛庚己戊好坏"]
# Every other character is a word of its own.
SEGMENTER = LexiconSegmenter(["甲乙", "戊己", "快慢"])


@dataclass
class Bag:
    """A model with its table and its texts.

    Attributes:
        texts: the texts, with words to mask
        model: the model
        rows: their tokenized rows
        table: float64 `[vocabulary, outputs]`
        batches: rows of each call of the model
    """

    texts: MaskedTexts
    model: Any
    rows: list[dict[str, Any]]
    table: np.ndarray
    batches: list[int]

    def collate(self, rows: Sequence[Any]) -> dict[str, torch.Tensor]:
        return dict(character_tokenizer().pad([dict(row) for row in rows], return_tensors="pt"))

    def known(self, number: int) -> np.ndarray:
        """Return what each word of a text adds to each output, float64 `[words, outputs]`."""
        ids = np.array(self.rows[number]["input_ids"])
        return np.array([self.table[ids[list(unit.positions)]].sum(axis=0) for unit in self.texts.units[number]])


def make_bag(kind: Kind, outputs: int, texts: Sequence[str] = TEXTS, target: int | None = None) -> Bag:
    model, table = bag_of_words(outputs)
    tokenizer = character_tokenizer()
    encoded = tokenizer(list(texts), return_offsets_mapping=True)
    rows: list[dict[str, Any]] = [
        {name: encoded[name][i] for name in ("input_ids", "attention_mask")} for i in range(len(texts))
    ]
    units = [
        word_units([text], encoded["offset_mapping"][i], encoded.sequence_ids(i), SEGMENTER)
        for i, text in enumerate(texts)
    ]
    batches: list[int] = []

    def score(asked: Sequence[dict[str, Any]]) -> np.ndarray:
        batches.append(len(asked))
        batch = tokenizer.pad([dict(row) for row in asked], return_tensors="pt")
        with torch.no_grad():
            return model(**batch).logits.numpy()

    masked = MaskedTexts(rows, units, int(tokenizer.mask_token_id), score, kind, target)  # type: ignore[arg-type]
    return Bag(masked, model, rows, table, batches)
