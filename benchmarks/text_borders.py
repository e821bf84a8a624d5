"""What tokens and words do to borders: the best F1 of entities, the best answers, words of traditional text.

    pip install thulac opencc-python-reimplemented
    CHINESE_MODERNBERT_DATA=... python benchmarks/text_borders.py [--tokenizers FOLDER ...]

Entities are those of thulac, a tagger of other words than ours, on the validation text in the style of three data
sets: CLUENER (names, titles with their marks, quoted and Latin names), MSRA (persons, places, organizations of news)
and Weibo (names in posts and reviews). Perfect tags go through `EntityTagging`, with the tokens as they are and with
single Han characters. Answers are the first of each question of CMRC 2018 and DRCD, dev, which people marked.
Traditional text is simplified validation text through OpenCC; right is what rjieba makes of the simplified text.
"""

import argparse
import json
import os
import re
import zipfile
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import opencc
import rjieba
import thulac
from transformers import PreTrainedTokenizerFast

from chinese_modernbert.cli import SHIPPED_TOKENIZER
from chinese_modernbert.tokenization import TextDocument, load_segmenter, load_tokenizer, read_documents
from chinese_modernbert.tokenization.entities import EntityTagging, Span

STYLES = {
    "CLUENER": (
        "headline_tnews",
        "headline_nlpcc",
        "headline_ent",
        "cluecorpussmall",
        "wiki_cmrc",
        "app_iflytek",
        "review_book",
    ),
    "MSRA": ("news_cctv", "paper_fudan"),
    "Weibo": ("weibo_ewect", "review_shopping", "review_product", "travel_ecisa", "dialogue"),
}
CHARACTERS = 60_000
KINDS = {"np": "person", "ns": "place", "ni": "organization", "nz": "name"}
SENTENCE = re.compile(r"[^。！？\n]+[。！？”」』）]*")
TITLE = re.compile("《[^《》\n]{1,30}》|(?<=“)[^“”\n，。]{1,8}(?=”)|(?<=「)[^「」\n，。]{1,8}(?=」)")
LATIN = re.compile(r"[A-Za-z][A-Za-z0-9]*(?: [A-Z][A-Za-z0-9]*)*(?: [0-9]+)?")


def entities_of(text: str, style: str, tagger: thulac.thulac) -> list[Span]:
    """Return entities in the style of a data set, which do not overlap."""
    found = [Span(*match.span(), "title") for match in TITLE.finditer(text) if style == "CLUENER"]
    found += [Span(*match.span(), "latin") for match in LATIN.finditer(text) if style != "MSRA"]
    place = 0
    for word, flag in tagger.cut(text):
        start = text.find(word, place)
        if start < 0:
            continue
        place = start + len(word)
        kind = KINDS.get(flag)
        if kind and word.strip() and not re.search("[A-Za-z]", word):
            if found and found[-1][1:] == (start, kind) and kind in ("place", "organization"):
                found[-1] = Span(found[-1].start, place, kind)
            else:
                found.append(Span(start, place, kind))
    kept: list[Span] = []
    for span in found:  # titles and Latin names go first
        if all(span.end <= other.start or span.start >= other.end for other in kept):
            kept.append(span)
    return sorted(kept)


def labelled(documents: list[TextDocument]) -> Iterator[tuple[str, str, list[Span]]]:
    """Yield (style, text, entities) of sentences, up to `CHARACTERS` of each style."""
    tagger, used = thulac.thulac(), dict.fromkeys(STYLES, 0)
    for document in documents:
        for style in (style for style, sources in STYLES.items() if document.source in sources):
            for text in SENTENCE.findall(document.text):
                if len(text) >= 5 and used[style] < CHARACTERS:
                    used[style] += len(text)
                    yield style, text, entities_of(text, style, tagger)


def best_f1(tagging: EntityTagging, rows: list[tuple[str, list[Span]]]) -> float:
    """Return the F1 of perfect tags, in percent."""
    gold = found = right = 0
    for text, entities in rows:
        row = tagging.encode(text, entities)
        spans = set(tagging.spans(row["offset_mapping"], [max(label, 0) for label in row["labels"]]))
        gold, found, right = gold + len(entities), found + len(spans), right + len(spans & set(entities))
    return 200 * right / (gold + found)


def best_answers(tokenizer: PreTrainedTokenizerFast, archive: Path) -> float:
    """Return how many answers begin and end with a token, in percent."""
    with zipfile.ZipFile(archive) as files:
        name = next(name for name in files.namelist() if "dev" in name)
        paragraphs = [one for article in json.loads(files.read(name))["data"] for one in article["paragraphs"]]
    fits = []
    for paragraph in paragraphs:
        offsets = tokenizer(paragraph["context"], return_offsets_mapping=True)["offset_mapping"]
        starts, ends = ({offset[side] for offset in offsets} for side in (0, 1))
        for answer in (question["answers"][0] for question in paragraph["qas"]):
            end = answer["answer_start"] + len(answer["text"])
            if paragraph["context"][answer["answer_start"] : end] == answer["text"]:
                fits.append(answer["answer_start"] in starts and end in ends)
    return 100 * sum(fits) / len(fits)


def split_words(documents: list[TextDocument], convert: opencc.OpenCC) -> dict[str, float]:
    """Return how many words of two characters and more are split in the traditional twins, in percent."""
    plain = rjieba.Jieba()
    ways = {"rjieba alone": plain.cut, "this library": load_segmenter().cut}
    split, total = dict.fromkeys(ways, 0), 0
    for document in documents:
        twin = convert.convert(document.text)
        if document.source in ("wiki_drcd", "law_tw") or len(twin) != len(document.text):
            continue
        borders = {way: set(accumulate(map(len, cut(twin)))) for way, cut in ways.items()}
        words = plain.cut(document.text)
        for word, end in zip(words, accumulate(map(len, words)), strict=True):
            if len(word) > 1 and "\u4e00" <= word[0] <= "\u9fff":
                total += 1
                for way, known in borders.items():
                    split[way] += any(place in known for place in range(end - len(word) + 1, end))
    return {f"{way}, of {total:,}": 100 * count / total for way, count in split.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizers", nargs="+", default=[str(SHIPPED_TOKENIZER)])
    data = Path(os.environ["CHINESE_MODERNBERT_DATA"])
    documents = list(read_documents([data / "corpus" / "validation.jsonl.gz"], source_field="source"))
    rows: dict[str, list[tuple[str, list[Span]]]] = {style: [] for style in STYLES}
    for style, text, entities in labelled(documents):
        rows[style].append((text, entities))
    counts = ", ".join(f"{style} {sum(len(found) for _, found in rows[style]):,}" for style in STYLES)
    print(f"entities: {counts}\n\n| tokenizer | {' | '.join(STYLES)} | CMRC 2018 | DRCD |\n|{' --- |' * 6}")
    for folder in parser.parse_args().tokenizers:
        tokenizer = load_tokenizer(folder)
        tagging = EntityTagging(tokenizer, [*KINDS.values(), "title", "latin"])
        for name, used in (("tokens", tokenizer), ("Han characters", tagging.tokenizer)):
            tagging.tokenizer = used
            scores = [best_f1(tagging, rows[style]) for style in STYLES]
            scores += [best_answers(used, data / "clue" / f"{task}_public.zip") for task in ("cmrc2018", "drcd")]
            print(f"| {Path(folder).name}, {name} | {' | '.join(f'{score:.2f}' for score in scores)} |", flush=True)
    print("\nwords that are split in traditional text, %:", split_words(documents, opencc.OpenCC("s2t")))


if __name__ == "__main__":
    main()
