"""Text to shards of token ids and word starts, in a process pool, restartable shard by shard."""

import glob
import hashlib
import json
import logging
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from transformers import PreTrainedTokenizerFast

from ..tokenization.documents import TextDocument, find_text_files, read_documents
from ..tokenization.loading import load_tokenizer, tokenizer_hash
from ..tokenization.output_folder import write_text_atomically
from ..tokenization.word_segmentation import WordSegmenter, load_segmenter
from ..tokenization.word_starts import encode_documents
from .shards import FORMAT, MANIFEST, Document, check_shard, id_dtype, write_shard

logger = logging.getLogger(__name__)

SETTINGS = "prepare.json"
ENCODING_BATCH = 256


@dataclass
class PrepareArguments:
    """What `prepare` reads, how, and where it writes."""

    corpus: list[str] = field(
        default_factory=list, metadata={"help": "Text files, folders or patterns: .txt .jsonl(.gz/.zst) .parquet."}
    )
    tokenizer: str = field(default="", metadata={"help": "Folder of the tokenizer; the command takes the shipped one."})
    data_dir: str = field(default="", metadata={"help": "Folder for the shards."})
    text_field: str = field(default="text", metadata={"help": "Field of the text in JSON lines and Parquet."})
    segmenter: str = field(default="rjieba", metadata={"help": "Word segmenter: rjieba, jieba, lexicon or none."})
    user_dictionary: str | None = field(default=None, metadata={"help": "Extra words of the segmenter, one a line."})
    shard_characters: int = field(default=8_000_000, metadata={"help": "Characters of text in a shard."})
    prepare_workers: int = field(default=2, metadata={"help": "Processes; 0 works in this one."})
    overwrite: bool = field(default=False, metadata={"help": "Do finished work again instead of keeping it."})

    def check(self) -> None:
        """Refuse missing or impossible values before any work.

        Raises:
            ValueError: For an empty corpus, tokenizer or folder, or numbers out of range.
        """
        for name in ("corpus", "tokenizer", "data_dir"):
            if not getattr(self, name):
                raise ValueError(f"{name} is not given; set it in the recipe or with --{name}")
        if self.shard_characters < 1 or self.prepare_workers < 0:
            raise ValueError(
                f"shard_characters={self.shard_characters} must be positive and "
                f"prepare_workers={self.prepare_workers} not negative"
            )


@dataclass(frozen=True)
class ShardTask:
    """The documents of one shard and how to encode them; picklable."""

    name: str
    folder: Path
    tokenizer: str
    segmenter: str
    user_dictionary: str | None
    texts: tuple[str, ...]
    sources: tuple[str, ...]
    fingerprint: str


def run_prepare(arguments: PrepareArguments) -> Path:
    """Write a corpus as shards; finished shards of an interrupted run are kept, broken ones redone.

    Args:
        arguments: What to read and where to write.

    Returns:
        The folder with its manifest.

    Raises:
        FileNotFoundError: If a file of the corpus or the tokenizer is missing.
        FileExistsError: If the folder holds something that prepare did not write, or shards of other settings.
        ValueError: For wrong arguments, broken text (with file and line), or a corpus without tokens.
    """
    arguments.check()
    files = find_text_files(expand_patterns(arguments.corpus))
    tokenizer = load_tokenizer(arguments.tokenizer)
    load_segmenter(arguments.segmenter, arguments.user_dictionary)
    folder = Path(arguments.data_dir)
    settings = _settings(arguments, tokenizer)
    _open_folder(folder, settings, arguments.overwrite)
    (folder / MANIFEST).unlink(missing_ok=True)
    entries = list(_run_tasks(_tasks(arguments, files, settings), arguments))
    manifest = _manifest(entries, settings, len(tokenizer))
    if manifest["tokens"] == 0:
        raise ValueError(f"the corpus gives no token: {', '.join(map(str, files))} hold only white space")
    write_text_atomically(folder / MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=1) + "\n")
    _remove_stale(folder, {entry["name"] for entry in entries})
    logger.info("%d documents, %d tokens in %s", manifest["documents"], manifest["tokens"], folder)
    return folder


def expand_patterns(paths: Sequence[str]) -> list[str]:
    """Replace names with `*`, `?` or `[` by the files they match, sorted.

    Raises:
        FileNotFoundError: If a pattern matches nothing.
    """
    expanded = []
    for path in paths:
        if not glob.has_magic(path) or Path(path).exists():
            expanded.append(path)
            continue
        matches = sorted(glob.glob(path, recursive=True))
        if not matches:
            raise FileNotFoundError(f"no file matches '{path}'")
        expanded.extend(matches)
    return expanded


def _settings(arguments: PrepareArguments, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Return everything that decides the content of a shard, given its text."""
    dictionary = Path(arguments.user_dictionary).read_bytes() if arguments.user_dictionary else b""
    return {
        "tokenizer_hash": tokenizer_hash(tokenizer),
        "segmenter": arguments.segmenter,
        "user_dictionary_sha256": hashlib.sha256(dictionary).hexdigest(),
        "text_field": arguments.text_field,
        "shard_characters": arguments.shard_characters,
    }


def _open_folder(folder: Path, settings: dict[str, Any], overwrite: bool) -> None:
    """Make the folder or check that it continues a run of the same settings."""
    if folder.is_file():
        raise FileExistsError(f"{folder} is a file; give data_dir another name")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / SETTINGS).is_file():
            raise FileExistsError(f"{folder} is not empty and not a prepared corpus; give data_dir another name")
        old = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        different = [key for key in settings if old.get(key) != settings[key]]
        if different and not overwrite:
            raise FileExistsError(
                f"{folder} was prepared with other settings ({', '.join(different)}); add --overwrite to replace it"
            )
        if overwrite:
            _remove_stale(folder, set())
    folder.mkdir(parents=True, exist_ok=True)
    write_text_atomically(folder / SETTINGS, json.dumps(settings, indent=1) + "\n")


def _remove_stale(folder: Path, keep: set[str]) -> None:
    """Delete shard files that belong to no shard of this run."""
    for path in folder.glob("shard-*"):
        if path.name.split(".")[0] not in keep:
            path.unlink()


def _tasks(arguments: PrepareArguments, files: Sequence[Path], settings: dict[str, Any]) -> Iterator[ShardTask]:
    """Cut the stream of documents into shards of about `shard_characters`, always at the same places."""
    batch: list[TextDocument] = []
    characters = number = 0

    def task() -> ShardTask:
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for document in batch:
            digest.update(f"{len(document.text)} {document.source}\n{document.text}".encode("utf-8", "surrogatepass"))
        texts, sources = tuple(d.text for d in batch), tuple(d.source for d in batch)
        common = (arguments.tokenizer, arguments.segmenter, arguments.user_dictionary)
        return ShardTask(f"shard-{number:05d}", Path(arguments.data_dir), *common, texts, sources, digest.hexdigest())

    for document in read_documents([str(file) for file in files], arguments.text_field):
        batch.append(document)
        characters += len(document.text)
        if characters >= arguments.shard_characters:
            yield task()
            batch, characters, number = [], 0, number + 1
    if batch:
        yield task()


def _run_tasks(tasks: Iterator[ShardTask], arguments: PrepareArguments) -> Iterator[dict[str, Any]]:
    """Yield every shard's entry in order, with a progress bar over shards."""
    columns = (TextColumn("preparing"), BarColumn(), MofNCompleteColumn(), TextColumn("shards"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("shards", total=None)
        entries = {}
        for entry in _encode_in_order(tasks, arguments.prepare_workers):
            entries[entry["name"]] = entry
            progress.advance(bar)
        progress.update(bar, total=len(entries))
    yield from (entries[name] for name in sorted(entries))


def _encode_in_order(tasks: Iterator[ShardTask], workers: int) -> Iterator[dict[str, Any]]:
    """Yield entries as they are done; never more than twice as many tasks in memory as workers."""
    if workers == 0:
        yield from (finished_entry(task) or encode_shard(task) for task in tasks)
        return
    # "spawn": a forked copy of a process that already runs the tokenizer's threads can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting: set[Future[dict[str, Any]]] = set()
        for task in tasks:
            entry = finished_entry(task)
            if entry is not None:
                yield entry
                continue
            waiting.add(pool.submit(encode_shard, task))
            if len(waiting) >= 2 * workers:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        yield from (future.result() for future in waiting)


def finished_entry(task: ShardTask) -> dict[str, Any] | None:
    """Return the entry of a shard that an earlier run finished from the same text, or None if it must be done."""
    path = task.folder / f"{task.name}.json"
    if not path.is_file():
        return None
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        if entry["fingerprint"] != task.fingerprint:
            return None
        check_shard(task.folder, entry)
    except (ValueError, KeyError) as error:
        logger.warning("%s is done again: %s", task.name, error)
        return None
    return entry


def encode_shard(task: ShardTask) -> dict[str, Any]:
    """Encode the documents of one shard and write its files; the entry is written last, as the sign of completion."""
    tokenizer, segmenter = _encoders(task.tokenizer, task.segmenter, task.user_dictionary)
    names = sorted(set(task.sources))
    documents: list[Document] = []
    numbers: list[int] = []
    sources = {name: {"documents": 0, "tokens": 0, "characters": 0} for name in names}
    for first in range(0, len(task.texts), ENCODING_BATCH):
        texts = task.texts[first : first + ENCODING_BATCH]
        encoded = encode_documents(tokenizer, segmenter, texts)
        for text, name, document in zip(texts, task.sources[first : first + ENCODING_BATCH], encoded, strict=True):
            if len(document.input_ids) == 0:
                continue
            documents.append(Document(document.input_ids, document.word_starts))
            numbers.append(names.index(name))
            counts = {"documents": 1, "tokens": len(document.input_ids), "characters": len(text)}
            sources[name] = {key: sources[name][key] + value for key, value in counts.items()}
    entry = write_shard(task.folder, task.name, documents, numbers, len(tokenizer))
    entry |= {"sources": sources, "fingerprint": task.fingerprint}
    write_text_atomically(task.folder / f"{task.name}.json", json.dumps(entry, ensure_ascii=False) + "\n")
    return entry


@lru_cache(maxsize=1)
def _encoders(
    tokenizer: str, segmenter: str, user_dictionary: str | None
) -> tuple[PreTrainedTokenizerFast, WordSegmenter]:
    """Load tokenizer and segmenter once a process."""
    return load_tokenizer(tokenizer), load_segmenter(segmenter, user_dictionary)


def _manifest(entries: Sequence[dict[str, Any]], settings: dict[str, Any], vocab_size: int) -> dict[str, Any]:
    """Put the entries of all shards together."""
    sources: dict[str, dict[str, int]] = {}
    for entry in entries:
        for name, counts in entry["sources"].items():
            total = sources.setdefault(name, dict.fromkeys(counts, 0))
            sources[name] = {key: total[key] + value for key, value in counts.items()}
    return {
        "format": FORMAT,
        "tokenizer_hash": settings["tokenizer_hash"],
        "vocab_size": vocab_size,
        "dtype": id_dtype(vocab_size).name,
        "documents": sum(entry["documents"] for entry in entries),
        "tokens": sum(entry["tokens"] for entry in entries),
        "words": sum(entry["words"] for entry in entries),
        "configuration": settings,
        "sources": sources,
        "shards": list(entries),
    }
