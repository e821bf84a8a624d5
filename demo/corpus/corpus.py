"""Put the demo corpus together: training texts, and texts that are kept out of them."""

import json
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from ...runtime.files import write_text_atomically
from .tables import HELD_OUT_FILE, load_tables

MASK_FIELD = "{mask}"
# Shares that leave most facts in training while some hundred texts measure the loss. Source: our default.
HELD_OUT_SENTENCE_SHARE = 0.03
HELD_OUT_PARAGRAPH_SHARE = 0.05
SENTENCE_END = re.compile(r"(?<=[。？！])(?!”)")


@dataclass(frozen=True)
class ClozeExample:
    """A sentence with one word to find."""

    text_with_blank: str
    """The sentence, with ``{mask}`` where the word belongs."""
    answer: str
    """The word, one to three characters."""

    @property
    def text(self) -> str:
        """The full sentence."""
        return self.text_with_blank.replace(MASK_FIELD, self.answer)


@dataclass(frozen=True)
class DemoCorpus:
    """Training and held-out texts; no held-out sentence occurs in a training text."""

    sentences: tuple[str, ...]
    """Different training sentences (a question goes together with its answer)."""
    paragraphs: tuple[str, ...]
    """Training paragraphs of 3 to 8 sentences about one subject or two compared."""
    documents: tuple[str, ...]
    """Training documents, shuffled: the paragraphs, and the sentences in groups of 3 to 6 on one theme."""
    validation: tuple[str, ...]
    """Held-out sentences and paragraphs."""
    fill_mask: tuple[ClozeExample, ...]
    """Held-out sentences with a blank, whose facts training tells in other words."""
    similarity_sentences: tuple[str, ...]
    """Three pairs of sentences that mean nearly the same, pair after pair."""


def generate_demo_corpus(seed: int = 0) -> DemoCorpus:
    """Generate the corpus from the tables of facts.

    Args:
        seed: decides which rows are compared, the wordings of paragraphs, what is held out, and all orders

    Returns:
        The corpus; equal seeds give equal corpora.
    """
    rng = random.Random(seed)
    tables = load_tables()
    theme_of = {text: table.theme for table in tables for text in table.make_sentences(rng)}
    paragraphs = list(dict.fromkeys(text for table in tables for text in table.make_paragraphs(rng)))
    fill_mask, told, similarity_sentences = load_held_out()
    validation = _draw((text for text in theme_of if not _contains_any(text, told)), HELD_OUT_SENTENCE_SHARE, rng)
    validation += _draw((text for text in paragraphs if not _contains_any(text, told)), HELD_OUT_PARAGRAPH_SHARE, rng)
    held_out = {sentence for text in validation for sentence in split_sentences(text)}
    held_out |= {example.text for example in fill_mask}
    sentences = [text for text in theme_of if not _contains_any(text, held_out)]
    paragraphs = [text for text in paragraphs if not _contains_any(text, held_out)]
    documents = [*paragraphs, *_group_by_theme(sentences, theme_of, rng)]
    rng.shuffle(documents)
    return DemoCorpus(
        tuple(sentences), tuple(paragraphs), tuple(documents), tuple(validation), fill_mask, similarity_sentences
    )


def write_demo_corpus(corpus: DemoCorpus, folder: str | Path) -> None:
    """Write ``train.jsonl`` and ``validation.jsonl``, one document with a ``text`` field on each line.

    Args:
        corpus: the corpus
        folder: where to write; made when missing. Files of the same names are replaced.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, texts in (("train.jsonl", corpus.documents), ("validation.jsonl", corpus.validation)):
        lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts]
        write_text_atomically(folder / name, "".join(lines))


def split_sentences(text: str) -> list[str]:
    """Cut a text after each full stop, question mark or exclamation mark."""
    return [sentence for sentence in SENTENCE_END.split(text) if sentence]


def load_held_out() -> tuple[tuple[ClozeExample, ...], set[str], tuple[str, ...]]:
    """Read the file of texts written by hand.

    Returns:
        The cloze examples, the sentences that must stay in training because they tell the same facts, and the pairs
        of similar sentences, pair after pair.
    """
    content = yaml.safe_load(HELD_OUT_FILE.read_text(encoding="utf-8"))
    cloze = tuple(ClozeExample(item["text"], item["answer"]) for item in content["fill_mask"])
    told = {item["told_as"] for item in content["fill_mask"]}
    return cloze, told, tuple(sentence for pair in content["similar_pairs"] for sentence in pair)


def _draw(texts: Iterable[str], share: float, rng: random.Random) -> list[str]:
    """Draw a share of the texts."""
    texts = list(texts)
    return rng.sample(texts, round(share * len(texts)))


def _contains_any(text: str, sentences: set[str]) -> bool:
    """Tell whether the text contains one of the sentences, alone or as the end of a longer sentence."""
    return any(part[start:] in sentences for part in split_sentences(text) for start in range(len(part)))


def _group_by_theme(sentences: list[str], theme_of: dict[str, str], rng: random.Random) -> list[str]:
    """Join the sentences of each theme, shuffled, to documents of 3 to 6; a short rest joins the last document."""
    themes: dict[str, list[str]] = {}
    for sentence in sentences:
        themes.setdefault(theme_of[sentence], []).append(sentence)
    documents: list[str] = []
    for members in themes.values():
        rng.shuffle(members)
        while members:
            size = len(members) if len(members) <= 6 else rng.randint(3, min(6, len(members) - 3))
            documents.append("".join(members[:size]))
            members = members[size:]
    return documents
