"""What a tokenizer does to real text: density, byte fallback, word-border crossings, masking units; its vocabulary."""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from ..runtime.files import new_output_folder, write_text_atomically
from ..runtime.pictures import COLORS, new_figure, save_picture_atomically
from .arguments import TokenizerReportArguments
from .documents import TextDocument, read_documents
from .loading import load_tokenizer, tokenizer_hash
from .normalization import fold_width
from .pre_tokenization import BYTE_TOKENS
from .word_segmentation import WordSegmenter, load_segmenter
from .word_starts import DocumentEncoder, word_borders

logger = logging.getLogger(__name__)

REPORT_FILE = "report.json"
REPORT_TEXT = "report.txt"
LONGEST_UNIT = 8
"""Units of this many tokens and more share the last bin of the histogram."""


@dataclass
class TextCounts:
    """Sums over one group of documents."""

    documents: int = 0
    characters: int = 0
    tokens: int = 0
    byte_tokens: int = 0
    unknown_tokens: int = 0
    multi_character_tokens: int = 0
    crossing_tokens: int = 0
    """Tokens that hold the border between two words, both made of letters or digits."""

    @property
    def characters_per_token(self) -> float:
        """Density: higher is shorter input for the model."""
        return self.characters / max(self.tokens, 1)

    def share(self, name: str) -> float:
        """Return a count of tokens as a share of all tokens, 0 to 1."""
        return getattr(self, name) / max(self.tokens, 1)

    def add(self, other: "TextCounts") -> None:
        """Add the sums of another group."""
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)

    def as_row(self) -> dict[str, float]:
        """Return the sums with the derived metrics."""
        shares = ("byte_tokens", "unknown_tokens", "multi_character_tokens", "crossing_tokens")
        derived = {f"{name}_percent": round(100 * self.share(name), 4) for name in shares}
        return {**asdict(self), "characters_per_token": round(self.characters_per_token, 4), **derived}


@dataclass
class TokenizerReport:
    """Everything measured on one tokenizer."""

    name: str
    tokenizer_hash: str = ""
    """As `tokenization.tokenizer_hash` gives it, so that a reader can tell which tokenizer was measured."""
    vocabulary: dict[str, Any] = field(default_factory=dict)
    total: TextCounts = field(default_factory=TextCounts)
    by_script: dict[str, TextCounts] = field(default_factory=dict)
    by_source: dict[str, TextCounts] = field(default_factory=dict)
    units_by_tokens: Counter[int] = field(default_factory=Counter)
    units_by_characters: Counter[int] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data for JSON."""
        groups = {"by_script": self.by_script, "by_source": self.by_source}
        units = {"units_by_tokens": self.units_by_tokens, "units_by_characters": self.units_by_characters}
        return {
            "name": self.name,
            "tokenizer_hash": self.tokenizer_hash,
            "vocabulary": self.vocabulary,
            "total": self.total.as_row(),
            **{name: {key: row.as_row() for key, row in sorted(group.items())} for name, group in groups.items()},
            **{name: _as_percent(histogram) for name, histogram in units.items()},
        }


def _as_percent(histogram: Counter[int]) -> dict[str, float]:
    total = max(sum(histogram.values()), 1)
    labels = {length: f"{length}+" if length == LONGEST_UNIT else str(length) for length in histogram}
    return {labels[length]: round(100 * histogram[length] / total, 3) for length in sorted(histogram)}


def inspect_tokenizer(
    tokenizer: PreTrainedTokenizerFast, segmenter: WordSegmenter, documents: Iterable[TextDocument], name: str = ""
) -> TokenizerReport:
    """Measure a tokenizer on documents; words and their borders are those of `segmenter`."""
    report = TokenizerReport(name, tokenizer_hash(tokenizer), inspect_vocabulary(tokenizer))
    encoder = DocumentEncoder(tokenizer, segmenter)
    vocabulary = tokenizer.get_vocab()
    byte_ids = np.array([vocabulary[token] for token in BYTE_TOKENS if token in vocabulary], dtype=np.uint32)
    for document in documents:
        ids = (encoded := encoder.encode([document.text])[0]).input_ids
        spans = encoder.spans(document.text)
        lengths = spans[:, 1] - spans[:, 0]
        counts = TextCounts(
            documents=1,
            characters=len(document.text),
            tokens=len(ids),
            byte_tokens=int(np.isin(ids, byte_ids).sum()),
            unknown_tokens=int((ids == tokenizer.unk_token_id).sum()),
            multi_character_tokens=int((lengths > 1).sum()),
            crossing_tokens=int(_crossings(document.text, spans, segmenter).sum()),
        )
        for row in (
            report.total,
            report.by_script.setdefault(script_of(document.text), TextCounts()),
            report.by_source.setdefault(document.source, TextCounts()),
        ):
            row.add(counts)
        _count_units(report, encoded.word_starts, spans)
    return report


def _crossings(text: str, spans: NDArray[np.int64], segmenter: WordSegmenter) -> NDArray[np.bool_]:
    """Return, per token, whether a border between two words (not punctuation or spaces) lies strictly inside it."""
    borders = word_borders([fold_width(text)], segmenter)
    is_word = np.fromiter(map(str.isalnum, text), dtype=np.bool_, count=len(text))
    borders[1:-1] &= is_word[:-1] & is_word[1:]
    before = np.concatenate(([0], np.cumsum(borders)))
    first, last = spans[:, 0] + 1, np.maximum(spans[:, 1], spans[:, 0] + 1)
    return before[last] > before[first]


def _count_units(report: TokenizerReport, starts: NDArray[np.bool_], spans: NDArray[np.int64]) -> None:
    firsts = np.flatnonzero(starts)
    if not len(firsts):
        return
    tokens = np.diff(np.append(firsts, len(starts)))
    characters = spans[np.append(firsts[1:], len(starts)) - 1, 1] - spans[firsts, 0]
    report.units_by_tokens.update(np.minimum(tokens, LONGEST_UNIT).tolist())
    report.units_by_characters.update(np.minimum(characters, LONGEST_UNIT).tolist())


def script_of(text: str) -> str:
    """Return "traditional", "simplified" or "neutral" by which script's own characters are more frequent.

    A character that Big5 has and GB 2312 has not is taken as traditional, the reverse as simplified; the two national
    character sets are the only script tables that Python carries. Source: our default.
    """
    traditional = simplified = 0
    for character, count in Counter(text).items():
        if "\u4e00" <= character <= "\u9fff":
            in_big5, in_gb = _is_in(character, "big5"), _is_in(character, "gb2312")
            traditional += count * (in_big5 and not in_gb)
            simplified += count * (in_gb and not in_big5)
    if traditional == simplified:
        return "neutral"
    return "traditional" if traditional > simplified else "simplified"


def _is_in(character: str, character_set: str) -> bool:
    return bool(character.encode(character_set, "ignore"))


def inspect_vocabulary(tokenizer: PreTrainedTokenizerFast, n_longest: int = 20) -> dict[str, Any]:
    """Return what the vocabulary itself holds: sizes, lengths of Han tokens, coverage of national character sets."""
    skipped = {*BYTE_TOKENS, *tokenizer.all_special_tokens}
    tokens = [token for token in tokenizer.get_vocab() if token not in skipped]
    han = [token for token in tokens if all("\u3400" <= character <= "\u9fff" for character in token)]
    characters = {token for token in tokens if len(token) == 1}
    gb2312 = _han_of("gb2312")
    level_one = {character for character in gb2312 if character.encode("gb2312")[0] <= 0xD7}
    sets = {"common_8105": common_characters(), "gb2312_level_1": level_one, "gb2312": gb2312, "big5": _han_of("big5")}
    return {
        "size": len(tokenizer),
        "single_characters": len(characters),
        "multi_character_percent": round(100 * sum(len(token) > 1 for token in tokens) / max(len(tokens), 1), 2),
        "han_tokens_by_length": dict(sorted(Counter(map(len, han)).items())),
        "coverage_percent": {name: round(100 * len(s & characters) / len(s), 2) for name, s in sets.items()},
        "longest_tokens": sorted(tokens, key=lambda token: (-len(token), token))[:n_longest],
        "longest_han_tokens": sorted(han, key=lambda token: (-len(token), token))[:n_longest],
    }


def common_characters() -> frozenset[str]:
    """Return the 8,105 characters of the General Standard Chinese Characters table (通用规范汉字表).

    Source: State Council, 2013; the file lists them in the order of code points, after Unicode's kTGHZ2013 property.
    """
    content = Path(__file__).with_name("common_characters.txt").read_text(encoding="utf-8")
    return frozenset(content.replace("\n", ""))


def _han_of(character_set: str) -> set[str]:
    return {chr(code) for code in range(0x4E00, 0xA000) if _is_in(chr(code), character_set)}


def load_any_tokenizer(path: str | Path) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a folder, or of a bare `tokenizer.json`, for comparison.

    Raises:
        FileNotFoundError: If there is neither.
        ValueError: If the file is no tokenizer.
    """
    if Path(path).is_dir():
        return load_tokenizer(path)
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} is neither a tokenizer folder nor a tokenizer.json")
    try:
        backend = Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust reader raises bare Exception
        raise ValueError(f"{path} cannot be read as a tokenizer: {str(error).splitlines()[0]}") from error
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token=_unknown_token(backend))


def _unknown_token(backend: Tokenizer) -> str | None:
    """Return the token that a tokenizer's model writes for text that it cannot spell; None where it has none.

    A name of our choice would become a new token that no text ever produces.
    """
    model = json.loads(backend.to_str())["model"]
    if model.get("unk_id") is not None:  # Unigram names it by its index
        return model["vocab"][model["unk_id"]][0]
    return model.get("unk_token")


def report_as_text(reports: Sequence[TokenizerReport]) -> str:
    """Return the reports side by side as a plain table, one line per group of texts."""
    groups = [("all", [report.total for report in reports])]
    for kind in ("by_script", "by_source"):
        for key in sorted({key for report in reports for key in getattr(report, kind)}):
            groups.append((key, [getattr(report, kind).get(key, TextCounts()) for report in reports]))
    lines = ["characters per token (crossing % / bytes % / unknown %)"]
    lines.append(" | ".join([f"{'text':<22}", *(f"{report.name:<34}" for report in reports)]))
    for key, rows in groups:
        cells = [
            f"{row.characters_per_token:.3f} ({100 * row.share('crossing_tokens'):.2f} / "
            f"{100 * row.share('byte_tokens'):.3f} / {100 * row.share('unknown_tokens'):.3f})"
            for row in rows
        ]
        lines.append(" | ".join([f"{key:<22}", *(f"{cell:<34}" for cell in cells)]))
    for report in reports:
        lines.extend(("", *_lines_of_one(report)))
    return "\n".join(lines) + "\n"


def _lines_of_one(report: TokenizerReport) -> Iterator[str]:
    vocabulary = report.vocabulary
    yield f"{report.name}: {vocabulary['size']:,} tokens, {vocabulary['single_characters']:,} of one character"
    yield f"  multi-character: {vocabulary['multi_character_percent']} % of the vocabulary, " + (
        f"{100 * report.total.share('multi_character_tokens'):.2f} % of the text's tokens"
    )
    for title, rows in (
        ("units by tokens, %", _as_percent(report.units_by_tokens)),
        ("units by characters, %", _as_percent(report.units_by_characters)),
        ("Han tokens by length", vocabulary["han_tokens_by_length"]),
        ("characters with a token, %", vocabulary["coverage_percent"]),
    ):
        yield f"  {title}: " + ", ".join(f"{name}: {value}" for name, value in rows.items())
    for title in ("longest_tokens", "longest_han_tokens"):
        yield f"  {title.replace('_', ' ')}: {' | '.join(vocabulary[title])}"


def draw_report(reports: Sequence[TokenizerReport], path: str | Path) -> None:
    """Save one picture: characters per token by source, and units by their tokens and characters.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    sources = sorted({source for report in reports for source in report.by_source})
    figure = new_figure(14, max(5.0, 0.3 * len(sources)))
    panels = figure.subplot_mosaic([["density", "tokens"], ["density", "characters"]], width_ratios=(2, 1))
    density, lengths, height = panels["density"], np.arange(1, LONGEST_UNIT + 1), 0.8 / len(reports)
    for number, report in enumerate(reports):
        color = COLORS[number % len(COLORS)]
        shift = (number - (len(reports) - 1) / 2) * height
        rows = [report.by_source.get(source, TextCounts()).characters_per_token for source in sources]
        density.barh(np.arange(len(sources)) + shift, rows, height, label=report.name, color=color)
        for kind, histogram in (("tokens", report.units_by_tokens), ("characters", report.units_by_characters)):
            shares = [100 * histogram[length] / max(sum(histogram.values()), 1) for length in lengths.tolist()]
            panels[kind].bar(lengths + shift, shares, height, color=color)
    density.set_yticks(np.arange(len(sources)), sources)
    density.invert_yaxis()
    density.set_xlabel("characters per token")
    for kind in ("tokens", "characters"):
        panels[kind].set_xlabel(f"{kind} in a masking unit ({LONGEST_UNIT} = and more)")
        panels[kind].set_ylabel("% of units")
    figure.legend(loc="outside upper left", ncols=len(reports))
    save_picture_atomically(figure, path)


def run_tokenizer_report(args: TokenizerReportArguments) -> Path:
    """Measure, write `report.txt`, `report.json` and `report.png`, and return their folder.

    Raises:
        FileExistsError: If the folder is not empty and `args.overwrite` is off.
        FileNotFoundError: If a tokenizer or a corpus path is missing.
        ValueError: If no tokenizer is named; see also `read_documents`.
    """
    if not args.tokenizers:
        raise ValueError("no tokenizer was given; name at least one tokenizer folder or tokenizer.json")
    segmenter = load_segmenter(args.segmenter, args.user_dictionary)
    tokenizers = {name: load_any_tokenizer(name) for name in args.tokenizers}
    with new_output_folder(args.output_dir, args.overwrite, marker=REPORT_FILE) as folder:
        reports = []
        short = Counter(Path(name).name for name in tokenizers)
        for name, tokenizer in tokenizers.items():
            documents = read_documents(args.corpus, args.text_field, args.source_field)
            label = Path(name).name if short[Path(name).name] == 1 else name
            logger.info("measuring %s", name)
            reports.append(inspect_tokenizer(tokenizer, segmenter, documents, label))
        content = json.dumps([report.as_dict() for report in reports], ensure_ascii=False, indent=1)
        write_text_atomically(folder / REPORT_TEXT, report_as_text(reports))
        draw_report(reports, folder / "report.png")
        write_text_atomically(folder / REPORT_FILE, content + "\n")
    return Path(args.output_dir)


def run_report_command(args: TokenizerReportArguments) -> str:
    """Measure as `run_tokenizer_report` does; return the report's text and where it is."""
    folder = run_tokenizer_report(args)
    return f"{(folder / REPORT_TEXT).read_text(encoding='utf-8')}\nreport: {folder}"
