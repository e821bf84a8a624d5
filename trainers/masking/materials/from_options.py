"""What presets read, made from plain options: word lists, files of similar words, checkpoints, shards to count on."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ....evaluation.spelling.confusion import read_confusion
from ....runtime.files import file_sha256, weights_fingerprint
from ....tokenization.documents import read_word_list
from ....tokenization.pre_tokenization import HAN
from ...data.shards import TokenShards
from ..batch import PackedBatch
from .similar_words import (
    ALTERNATIVES,
    SimilarWords,
    confused_words,
    nearest_words,
    read_similar_words,
    word_lexicon,
)
from .tables import difference_table, domain_seeds, frequency_table, idf_table, pmi_rate_table, rank_table
from .tags import UNIVERSAL_TAGS, PhraseTagger, WordTagger, jieba_tagger, lexicon_tagger, token_texts

logger = logging.getLogger(__name__)

WORD_OPTIONS = ("words", "word_files")
FILES = ("word_files", "similar_words", "confusion")
CHECKPOINT, GENERAL_SHARDS = "embeddings", "general"
# Cosine from which a word of the vocabulary is similar to another, by a checkpoint's centered embeddings. Our default.
MINIMUM_SIMILARITY = 0.3
# Parts of speech of which a token is masked, beside entities. Source: Linguistic Entity Masking.
ELIGIBLE = ("NOUN", "PROPN", "VERB")
ENTITY_TAG = len(UNIVERSAL_TAGS)

Tagger = Callable[[PackedBatch], np.ndarray]
Made = tuple[dict[str, Any], dict[str, Tagger]]


@dataclass(frozen=True)
class Sources:
    """What a preset's objects are made of.

    Attributes:
        preset: its name, for messages
        options: the options that name materials
        size: V, tokens of the vocabulary
        shards: text to count on, or None
        tokenizer: the run's fast tokenizer, or None
    """

    preset: str
    options: Mapping[str, Any]
    size: int
    shards: TokenShards | None = None
    tokenizer: Any = None

    def documents(self) -> Iterator[np.ndarray]:
        """Yield the token ids of the shards' documents.

        Raises:
            ValueError: If there are none.
        """
        if self.shards is None:
            raise ValueError(f"preset '{self.preset}' needs a table counted on text; give --data with prepared shards")
        return ids_of(self.shards)

    def tokens(self) -> list[str]:
        """Return the text of every token."""
        if self.tokenizer is None:
            raise ValueError(f"preset '{self.preset}' reads the text of tokens; give masker_from_options the tokenizer")
        return token_texts(self.tokenizer)

    def files(self, name: str) -> list[str]:
        """Return the files of an option, one or several."""
        return _listed(self.options.get(name))

    def word_lists(self) -> list[list[str]]:
        """Return the lists of words: that of `words`, then one for each of `word_files`.

        Raises:
            ValueError: If no list is given.
        """
        lists = [_listed(self.options["words"])] if self.options.get("words") else []
        lists += [read_word_list(file) for file in self.files("word_files")]
        if not lists:
            raise ValueError(
                f"preset '{self.preset}' treats listed words in its own way; give words, or word_files with a word on "
                "each line, in masking_options (to mask also as --words)"
            )
        return lists


@dataclass(frozen=True)
class Material:
    """What options make for a preset.

    Attributes:
        make: makes parameters of the preset's function, and taggers by the name of their column
        options: the options that it reads beside the function's own
        parameters: what it makes; a caller in Python may pass all of them instead, and then nothing is made
        columns: options of the function that name a column, which only Python code can bring
        counts: it counts on shards
    """

    make: Callable[[Sources], Made]
    options: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    counts: bool = False


def ids_of(shards: TokenShards) -> Iterator[np.ndarray]:
    """Yield the token ids of every document."""
    return (shards[index].input_ids for index in range(len(shards)))


def content_of_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with every file and folder they name as its content: what makes two runs the same.

    Raises:
        OSError: If one of them cannot be read.
    """
    content = dict(options)
    for name in FILES:
        if name in content:
            content[name] = [file_sha256(file) for file in _listed(content[name])]
    if CHECKPOINT in content:
        content[CHECKPOINT] = weights_fingerprint(content[CHECKPOINT])
    if GENERAL_SHARDS in content:
        content[GENERAL_SHARDS] = TokenShards(content[GENERAL_SHARDS]).fingerprint()
    return content


def input_embeddings(folder: str, tokenizer: Any) -> np.ndarray:
    """Return the input embeddings of a checkpoint, float32 `[V, D]`, for the tokens of a tokenizer.

    Args:
        folder: folder or Hub name of a masked language model; none of its code is run
        tokenizer: must have the checkpoint's tokens under the same ids

    Raises:
        ValueError: If the checkpoint has other tokens.
    """
    from ....evaluation.language_modeling.loading import load_masked_language_model

    model, own = load_masked_language_model(folder, "float32", use_cpu=True, trust_remote_code=False)
    ids = list(range(len(tokenizer)))
    if len(own) < len(ids) or own.convert_ids_to_tokens(ids) != tokenizer.convert_ids_to_tokens(ids):
        raise ValueError(f"embeddings={folder} has another vocabulary; give a checkpoint with this tokenizer's tokens")
    return model.get_input_embeddings().weight.detach().numpy()[: len(ids)]


def _listed(value: Any) -> list[str]:
    return [str(one) for one in ([value] if isinstance(value, str) else value or [])]


def _counted(parameter: str, count: Callable[..., np.ndarray], columns: tuple[str, ...] = ()) -> Material:
    """Return the material of a preset whose table is counted on the shards."""

    def make(sources: Sources) -> Made:
        return {parameter: count(sources.documents(), sources.size)}, {}

    return Material(make, parameters=(parameter,), columns=columns, counts=True)


def _lexicon(sources: Sources) -> Made:
    """Make the lexicon of similar words: of files, then of confusion sets, then of a checkpoint's embeddings."""
    names = ("similar_words", "confusion", CHECKPOINT)
    if not any(sources.options.get(name) for name in names):
        raise ValueError(
            f"preset '{sources.preset}' needs similar words; give similar_words or confusion (files), or embeddings (a "
            "checkpoint with this tokenizer) in masking_options"
        )
    kept, lowest = _kept_words(sources.options)
    tokens = sources.tokens()
    numbers = {token: number for number, token in enumerate(tokens) if re.fullmatch(f"[{HAN}]+", token)}
    found = [read_similar_words(file) for file in sources.files("similar_words")]
    if sources.options.get("confusion"):
        found.append(confused_words(list(numbers), read_confusion(sources.files("confusion"))))
    if sources.options.get(CHECKPOINT):
        vectors = input_embeddings(sources.options[CHECKPOINT], sources.tokenizer)
        vectors = (vectors - vectors.mean(axis=0))[list(numbers.values())]
        found.append(nearest_words(list(numbers), vectors, np.zeros(len(numbers)), kept, lowest))
    similar: dict[str, list[str]] = {}
    for table in found:
        for word, others in table.items():
            similar.setdefault(word, []).extend(others[:kept])
    lexicon = _encoded(similar, sources.tokenizer)
    logger.info("similar words: %d words have some, of %d words of the vocabulary", len(lexicon), len(numbers))
    return {"lexicon": lexicon}, {}


def _kept_words(options: Mapping[str, Any]) -> tuple[int, float]:
    """Return how many similar words are kept of each source, and from which similarity on."""
    kept, lowest = options.get("alternatives", ALTERNATIVES), options.get("minimum_similarity", MINIMUM_SIMILARITY)
    if not isinstance(kept, int) or kept < 1:
        raise ValueError(f"alternatives={kept} must be a whole number of at least 1")
    if not isinstance(lowest, int | float) or not -1 <= lowest <= 1:
        raise ValueError(f"minimum_similarity={lowest} must be a cosine, from -1 to 1")
    if "minimum_similarity" in options and not options.get(CHECKPOINT):
        raise ValueError("minimum_similarity is read with embeddings alone; give them, or leave it out")
    return kept, lowest


def _encoded(similar: Mapping[str, Sequence[str]], tokenizer: Any) -> SimilarWords:
    words = list(dict.fromkeys([*similar, *(other for others in similar.values() for other in others)]))
    ids = dict(zip(words, tokenizer(words, add_special_tokens=False)["input_ids"], strict=True))
    return word_lexicon(similar, ids.__getitem__)


def _difference(sources: Sources) -> Made:
    """Make the table of nearness to the terms that mark the shards' domain."""
    lacking = [name for name in (CHECKPOINT, GENERAL_SHARDS) if not sources.options.get(name)]
    if lacking:
        raise ValueError(
            f"preset '{sources.preset}' needs {' and '.join(lacking)}; give embeddings (a checkpoint with this "
            "tokenizer) and general (shards of general text) in masking_options, beside --data of the domain"
        )
    general = ids_of(TokenShards(sources.options[GENERAL_SHARDS]))
    seeds = domain_seeds(sources.documents(), general, sources.size, int(sources.options.get("domain_terms", 20)))
    sources.tokens()
    return {"table": difference_table(input_embeddings(sources.options[CHECKPOINT], sources.tokenizer), seeds)}, {}


def _word_tags(column: str, strata: int, sources: Sources) -> Made:
    """Make a column of words by the list that holds them."""
    lists = sources.word_lists()
    if strata == 1:
        lists = [[word for words in lists for word in words]]
    if len(lists) > strata:
        raise ValueError(f"preset '{sources.preset}' has {strata} strata of words, but {len(lists)} lists are given")
    return {}, {column: WordTagger(sources.tokens(), lexicon_tagger(lists))}


def _phrases(column: str, sources: Sources) -> Made:
    """Make a column of phrases, each occurrence with an id of its own."""
    phrases = [word for words in sources.word_lists() for word in words]
    return {}, {column: PhraseTagger(sources.tokens(), phrases)}


def _parts_of_speech(sources: Sources) -> Made:
    return {}, {"pos": WordTagger(sources.tokens(), jieba_tagger())}


class _PartsAndEntities:
    """Tag words by part of speech, and those of listed entities as `ENTITY_TAG`."""

    def __init__(self, parts: WordTagger, entities: PhraseTagger) -> None:
        self._parts, self._entities = parts, entities

    def __call__(self, batch: PackedBatch) -> np.ndarray:
        return np.where(self._entities(batch) >= 0, ENTITY_TAG, self._parts(batch)).astype(np.int16)


def _linguistic_entities(sources: Sources) -> Made:
    """Make the columns of parts of speech and entities, and which of them are eligible."""
    names = _listed(sources.options.get("tags", ELIGIBLE))
    unknown = [name for name in names if name not in UNIVERSAL_TAGS]
    if unknown:
        raise ValueError(f"tags={names} has unknown {', '.join(unknown)}; use some of {', '.join(UNIVERSAL_TAGS)}")
    has_words = any(sources.options.get(name) for name in WORD_OPTIONS)
    phrases = [word for words in sources.word_lists() for word in words] if has_words else []
    tokens = sources.tokens()
    entities = PhraseTagger(tokens, phrases)
    eligible = [tag in names for tag in UNIVERSAL_TAGS] + [True]
    parts = _PartsAndEntities(WordTagger(tokens, jieba_tagger()), entities)
    return {"eligible": eligible}, {"pos": parts, "entity": entities}


MATERIALS: dict[str, Material] = {
    "macbert": Material(
        _lexicon, ("similar_words", "confusion", CHECKPOINT, "alternatives", "minimum_similarity"), ("lexicon",)
    ),
    "difference_masking": Material(_difference, (CHECKPOINT, GENERAL_SHARDS, "domain_terms"), ("table",), counts=True),
    "weighted_sampling": _counted("table", frequency_table),
    "retrieval_oriented": _counted("table", idf_table, columns=("score",)),
    "frequency_informed": _counted("ranks", rank_table),
    "informask": _counted("rates", pmi_rate_table),
    "pos_weighting": Material(_parts_of_speech, columns=("tag",)),
    "ernie": Material(partial(_phrases, "entity"), WORD_OPTIONS, columns=("column",)),
    "mslm": Material(partial(_phrases, "domain_term"), WORD_OPTIONS, columns=("column",)),
    "kidlm": Material(partial(_word_tags, "stratum", 2), WORD_OPTIONS, columns=("tag",)),
    "leia": Material(partial(_word_tags, "emotion", 1), WORD_OPTIONS, columns=("tag",)),
    "metadata": Material(partial(_word_tags, "metadata", 1), WORD_OPTIONS, columns=("tag",)),
    "linguistic_entity": Material(
        _linguistic_entities, (*WORD_OPTIONS, "tags"), ("eligible",), columns=("tag", "column")
    ),
}
"""What options make, by preset; a preset that is not here needs the vocabulary alone."""
