"""The commands `augment` and `rewrite`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...runtime.options import argument
from ..texts_command import TextsArguments, check_texts, in_groups, read_texts, write_rows


@dataclass
class _ChangeArguments(TextsArguments):
    """What both commands need: how alike a text must stay."""

    similarity_model: str = argument(
        "", "Folder of sentence-transformers; if empty: the model's own mean over tokens.", group="Words"
    )


@dataclass
class AugmentArguments(_ChangeArguments):
    """How many copies of the texts, and how many of their words change."""

    share: float = argument(0.3, "Chance of each Chinese word to be changed.", within="[0, 1]")
    copies: int = argument(1, "Changed copies of each text.", within="[1, inf)")
    among: int = argument(10, "A word is drawn from so many.", within="[1, 1000]")
    min_similarity: float = argument(-1.0, "Least cosine with the text; -1: none is computed.", within="[-1, 1]")
    segmenter: str = argument("rjieba", "rjieba, jieba, lexicon or none.")
    user_dictionary: str | None = argument(None, "File with one word per line for the segmenter.")
    seed: int = argument(0, "Decides which words change, and into what.")

    def __post_init__(self) -> None:
        """Check what can be checked before a model is loaded.

        Raises:
            ValueError: For a model of similarity that nothing asks, and as `TextsArguments`.
        """
        super().__post_init__()
        if self.similarity_model and self.min_similarity == AugmentArguments.min_similarity:
            raise ValueError("similarity_model is read with min_similarity alone; give both, or leave it out")


@dataclass
class RewriteArguments(_ChangeArguments):
    """Which words to be rid of."""

    lexicon: str = argument("", "File of words to change: one a line, or word, tab, score.")
    min_score: float = argument(0.0, "A word with a lower score stays.", within="[0, inf)")
    top: int = argument(10, "Fillings to choose the most alike from.", within="[1, 1000]")
    min_similarity: float = argument(-1.0, "Least cosine with the text.", within="[-1, 1]")
    seed: int | None = argument(None, "Draw the fillings to choose from; null: take the best.")

    def __post_init__(self) -> None:
        """Check what can be checked before a model is loaded.

        Raises:
            ValueError: If there is no lexicon, and as `TextsArguments`.
        """
        super().__post_init__()
        if not self.lexicon:
            raise ValueError("no lexicon is given; give a file with the words to change, one a line")


def run_augment(args: AugmentArguments) -> str:
    """Change words of the texts and return the rows, or where they are.

    Raises:
        ValueError: For a folder without a masked language model, or an unknown segmenter.
    """
    from ...tokenization.word_segmentation import load_segmenter
    from .augment import augment_texts

    segmenter = load_segmenter(args.segmenter, args.user_dictionary)
    check_texts(args, "original")
    filler, floor = _tools(args, args.min_similarity, args.among)

    def rows() -> Iterator[dict[str, Any]]:
        done = 0
        for group in in_groups(row for _, row in read_texts(args, "original")):
            texts = [row[args.text_field] for row in group]
            numbers: dict[str, Any] = {"share": args.share, "copies": args.copies, "among": args.among}
            found = augment_texts(filler, segmenter, texts, **numbers, seed=args.seed, first=done, floor=floor)
            done += len(group)
            for row, copies in zip(group, found, strict=True):
                yield from ({**row, args.text_field: copy, "original": row[args.text_field]} for copy in copies)

    return write_rows(args, rows(), lambda row: f"{row['original']}\n    {row[args.text_field]}")


def run_rewrite(args: RewriteArguments) -> str:
    """Rewrite the texts and return the rows, or where they are.

    Raises:
        FileNotFoundError: If there is no lexicon.
        ValueError: For a lexicon that cannot be read, or a folder without a masked language model.
    """
    from .rewrite import read_lexicon, rewrite_texts

    lexicon = read_lexicon(args.lexicon)
    check_texts(args, "rewritten")
    filler, floor = _tools(args, args.min_similarity, args.top)

    def rows() -> Iterator[dict[str, Any]]:
        done = 0
        for group in in_groups(row for _, row in read_texts(args, "rewritten")):
            texts = [row[args.text_field] for row in group]
            seed = None if args.seed is None else args.seed + done
            found = rewrite_texts(filler, texts, lexicon, floor, top=args.top, least_score=args.min_score, seed=seed)
            done += len(group)
            yield from ({**row, "rewritten": text} for row, text in zip(group, found, strict=True))

    return write_rows(args, rows(), lambda row: f"{row[args.text_field]}\n    {row['rewritten'] or 'no words fit'}")


def _tools(args: _ChangeArguments, least: float, words: int) -> tuple[Any, Any]:
    """Return what fills blanks, and what tells how alike texts are."""
    from ...modeling.filling_chinese_modernbert import BEAM_WIDTH, WordFiller
    from ..language_modeling.loading import load_masked_language_model
    from .similarity import SimilarityFloor, folder_encoder, mean_encoder

    model, tokenizer = load_masked_language_model(args.model, args.dtype, args.use_cpu, args.trust_remote_code)
    named = args.similarity_model
    encode = folder_encoder(named, args.trust_remote_code) if named else mean_encoder(model, tokenizer)
    filler = WordFiller(model, tokenizer, args.tokens_per_batch, width=max(BEAM_WIDTH, words))
    return filler, SimilarityFloor(encode, least)
