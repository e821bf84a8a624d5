"""`chinese-modernbert mask`: a text with boxed units, masked ones in color, and curves of rate and chances."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from transformers import PreTrainedTokenizerFast

from ...tokenization import WordSegmenter, load_segmenter, load_tokenizer, read_documents, tokenizer_hash
from ..data.shards import TokenShards
from .batch import PackedBatch
from .collator import DataCollatorForWholeWordMasking
from .corruption import MaskVocabulary
from .masker import Masker
from .materials.from_options import MATERIALS
from .materials.tags import UNIVERSAL_TAGS, PhraseTagger, WordTagger, jieba_tagger, token_texts
from .options import MaskArguments, masker_from_options
from .presets import MASKING_PRESETS, inverse_share_weights
from .preview import STYLES, chance_by, draw_curves, render, unit_frequency_classes, unit_lengths, unit_tags

PART_OF_SPEECH = "pos"
# Longer documents are cut for the picture. Our default: the long context of the paper's second stage.
MOST_TOKENS = 8_192
LEGEND = " ".join(
    f"[{STYLES[outcome]}] {words} [/]"
    for outcome, words in (("mask", "word>▢ masked"), ("random", "word>other replaced"), ("keep", "word= kept"))
)
PREVIEW_TEXT = "使用语言模型来预测下一个词的概率，是自然语言处理里最常见的训练任务之一。"


def run_mask(args: MaskArguments) -> str:
    """Show the texts on the terminal, draw the picture if `args.picture` is set, and return a summary.

    Raises:
        FileNotFoundError: If a file or folder is missing.
        ImportError: If a picture is asked for without matplotlib.
        ValueError: If the preset needs words, shards or a table that were not given.
    """
    tokenizer = load_tokenizer(args.tokenizer)
    segmenter = load_segmenter(args.segmenter, args.user_dictionary)
    tokens = token_texts(tokenizer)
    texts = args.text or [PREVIEW_TEXT]
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            raise ValueError(f"text {number} is empty; give at least one word")
    masker = build_preset(args, tokenizer)
    progress = args.step / args.max_steps
    masked = masker(as_batch(texts, tokenizer, segmenter), progress, args.epoch)
    console = Console(highlight=False)
    console.print(
        "[white on red] word>▢ masked [/] [black on yellow] word>other replaced [/] [black on green] word= kept [/]"
    )
    for row in range(len(texts)):
        console.print(render(masked, tokens, MaskVocabulary.from_tokenizer(tokenizer).mask_token_id, row))
    shown = int(masked["selected"].sum())
    summary = (
        f"{args.masking}: {MASKING_PRESETS[args.masking].title}; step {args.step} of {args.max_steps}, "
        f"target {masked['target_rate']:.1%}, here {shown} of {masked['maskable_tokens']} tokens"
    )
    if args.picture:
        documents = texts
        if args.corpus:
            documents = [document.text for document in read_documents(args.corpus, args.text_field)]
        batch = as_batch(documents, tokenizer, segmenter)
        summary += f"\npicture: {_draw(masker, batch, tokens, args)}"
    return summary


def build_preset(args: MaskArguments, tokenizer: PreTrainedTokenizerFast) -> Masker:
    """Return the preset's masker with everything that a command line can give it.

    Raises:
        ValueError: If the preset needs words, shards or a table that were not given, or reads none of what was given.
    """
    vocabulary, name = MaskVocabulary.from_tokenizer(tokenizer), args.masking
    options: dict[str, Any] = dict(args.masking_options or {})
    material = MATERIALS.get(name)
    if args.words:
        if material is None or "words" not in material.options:
            known = ", ".join(one for one, found in MATERIALS.items() if "words" in found.options)
            raise ValueError(f"preset '{name}' reads no words; leave --words out, or choose {known}")
        if "words" in options:
            raise ValueError("words are given twice, as --words and in masking_options; give them once")
        options["words"] = args.words
    if args.data and (material is None or not material.counts):
        known = ", ".join(one for one, found in MATERIALS.items() if found.counts)
        raise ValueError(f"preset '{name}' counts no table; leave --data out, or choose {known}")
    if name == "mslm":  # weights for terms that are a tenth of the text
        term, other = inverse_share_weights(1, 9)
        options = {"term_weight": term, "other_weight": other, **options}
    shards = TokenShards(args.data, tokenizer_hash(tokenizer)) if args.data else None
    return masker_from_options(name, options, vocabulary, args.seed, shards, tokenizer)


def as_batch(texts: list[str], tokenizer: PreTrainedTokenizerFast, segmenter: WordSegmenter) -> PackedBatch:
    """Return the texts as rows with word ids."""
    collator = DataCollatorForWholeWordMasking(tokenizer, segmenter=segmenter, max_length=MOST_TOKENS)
    columns = {
        name: tensor.numpy()
        for name, tensor in collator([{"text": text, "sample_id": n} for n, text in enumerate(texts)]).items()
    }
    return PackedBatch(input_ids=columns["input_ids"], word_ids=columns["word_ids"], sample_ids=columns["sample_ids"])


def _draw(masker: Masker, batch: PackedBatch, tokens: list[str], args: MaskArguments) -> Path:
    """Draw the rate and the chance of masking by length, by frequency and by each tag column."""
    progress = args.step / args.max_steps
    counts = np.bincount(batch["input_ids"][batch["word_ids"] >= 0], minlength=len(tokens))
    classes = {"tokens in the unit": unit_lengths, "digits of the corpus count": unit_frequency_classes(batch, counts)}
    # Ids of phrases are no classes.
    taggers = {name: one for name, one in masker.taggers.items() if not isinstance(one, PhraseTagger)}
    if args.part_of_speech:
        taggers.setdefault(PART_OF_SPEECH, WordTagger(tokens, jieba_tagger()))
    batch["tags"] = {name: tagger(batch) for name, tagger in taggers.items()}
    classes |= {name: unit_tags(batch, name) for name in taggers}
    chances: dict[str, dict[Any, float]] = {
        label: dict(chance_by(masker, batch, progress, class_of)) for label, class_of in classes.items()
    }
    if PART_OF_SPEECH in chances:
        found = chances.pop(PART_OF_SPEECH)
        names = [*UNIVERSAL_TAGS, "entity", "none"]
        chances["part of speech"] = {names[tag]: share for tag, share in found.items()}
    title = f"{args.masking}: {MASKING_PRESETS[args.masking].title}"
    return draw_curves(masker, chances, str(args.picture), title, progress)
