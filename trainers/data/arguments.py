"""Options of `prepare`, and the stages of a run as recipes write them, apart from the code: `--help` is quick."""

from dataclasses import dataclass

from ...runtime.options import argument


@dataclass
class Stage:
    """One stage of pre-training; weights, optimizer and schedule continue from the stage before.

    Attributes:
        context_length: tokens per row
        share: share of the run's steps; every stage has a share, or every stage has `steps`
        steps: number of steps
        global_rope_theta: RoPE base of the global layers in this stage; None leaves the model's
        local_rope_theta: RoPE base of the local layers in this stage; None leaves the model's
        long_share: share of the positions that come from long documents; None reads documents as they come. Too few
            long documents are read several times per epoch.
        long_tokens: a document with more tokens is long; None takes the context length of the stage before
        source_weights: samples per epoch of some sources in this stage; the others keep the run's
        single_tokens: mask single tokens in this stage, whatever units the masking method has
    """

    context_length: int
    share: float | None = None
    steps: int | None = None
    global_rope_theta: float | None = None
    local_rope_theta: float | None = None
    long_share: float | None = None
    long_tokens: int | None = None
    source_weights: dict[str, float] | None = None
    single_tokens: bool = False

    def __post_init__(self) -> None:
        for name, value in (("global_rope_theta", self.global_rope_theta), ("local_rope_theta", self.local_rope_theta)):
            if value is not None and not value > 0:
                raise ValueError(f"{name}={value} of a stage is not positive; leave it out to keep the model's")
        if self.context_length < 3:
            raise ValueError(
                f"context_length={self.context_length} leaves no room between [CLS] and [SEP]; give 3 or more"
            )


@dataclass
class PrepareArguments:
    """What `prepare` reads, how, and where it writes."""

    corpus: list[str] = argument(
        list, "Text files, folders or patterns: .txt .jsonl(.gz/.zst/.xz/.bz2) .parquet.", group="Input and output"
    )
    tokenizer: str = argument("", "Folder of the tokenizer; if empty, the shipped one.")
    output_dir: str = argument("", "Folder for the shards.")
    overwrite: bool = argument(False, "Do finished work again instead of keeping it.")
    text_field: str = argument("text", "Field of the text in JSON lines, Parquet and data sets.")
    lines: bool = argument(False, "Every line of a .txt file is a document; else blank lines part them.")
    source_field: str | None = argument(None, "Field that names a document's source; null: file or data set.")
    folder_sources: bool = argument(False, "A document's source is the name of its file's folder; for many files.")
    max_documents: int | None = argument(None, "Read no more documents than this, for a trial.")

    dataset: str | None = argument(
        None,
        "Data set of the Hub, or a local folder (of save_to_disk too), as a stream.",
        group="Data set, instead of corpus",
    )
    dataset_config: str | None = argument(None, "Configuration of the data set.")
    dataset_split: str = argument("train", "Split of the data set.")
    dataset_revision: str | None = argument(None, "Commit or tag; a commit makes the run repeatable.")
    dataset_files: list[str] = argument(list, "Files to read; needed for the forms json, parquet, text.")

    segmenter: str = argument("rjieba", "Word segmenter: rjieba, jieba, lexicon or none.", group="Words and shards")
    user_dictionary: str | None = argument(None, "File with one word per line for the segmenter.")
    shard_characters: int = argument(8_000_000, "Characters of text in a shard.")
    prepare_workers: int = argument(2, "Processes, at most one for each core; 0 works in this one.")

    minimum_characters: int = argument(
        0, "Drop documents with fewer characters, white space not counted.", group="Filters"
    )
    minimum_han_share: float = argument(0.0, "Drop documents with a smaller share of Han characters, from 0 to 1.")
    drop_exact_duplicates: bool = argument(False, "Keep the first of documents equal but for width and white space.")
    near_duplicate_similarity: float | None = argument(
        None, "Keep the first of documents that share this much of their 5-grams; 0.8 is usual. null: keep all."
    )

    def check(self) -> None:
        """Refuse missing or impossible values before any work.

        Raises:
            ValueError: If neither or both of corpus and dataset are given; see `check_output` for the rest.
        """
        if bool(self.corpus) == bool(self.dataset):
            given = "both corpus and dataset are" if self.corpus else "corpus is not"
            raise ValueError(
                f"{given} given; set one of corpus and dataset, in the recipe or with --corpus or --dataset"
            )
        if self.dataset_files and not self.dataset:
            raise ValueError("dataset_files is given without dataset; name its form, for example --dataset json")
        if self.lines and self.dataset:
            raise ValueError(
                "lines is for .txt files of corpus; a row of a dataset is a document already, leave it out"
            )
        if self.folder_sources and self.dataset:
            raise ValueError("folder_sources is for files of corpus; name a field of the dataset with --source_field")
        self.check_output()

    def check_output(self) -> None:
        """Refuse missing or impossible values of everything but the input.

        Raises:
            ValueError: For an empty tokenizer or folder, or numbers out of range.
        """
        for name in ("tokenizer", "output_dir"):
            if not getattr(self, name):
                raise ValueError(f"{name} is not given; set it in the recipe or with --{name}")
        if self.folder_sources and self.source_field:
            raise ValueError(
                f"folder_sources is not read beside source_field={self.source_field!r}; leave one of them out"
            )
        if self.shard_characters < 1 or self.prepare_workers < 0:
            raise ValueError(
                f"shard_characters={self.shard_characters} must be positive and "
                f"prepare_workers={self.prepare_workers} not negative"
            )
        if self.max_documents is not None and self.max_documents < 1:
            raise ValueError(f"max_documents={self.max_documents} must be positive, or null for all")
        if self.minimum_characters < 0 or not 0 <= self.minimum_han_share <= 1:
            raise ValueError(
                f"minimum_characters={self.minimum_characters} must not be negative and "
                f"minimum_han_share={self.minimum_han_share} lie between 0 and 1"
            )
