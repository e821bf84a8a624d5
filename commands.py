"""The commands of `chinese-modernbert`, one for each stage from raw text to a Hub folder: what runs each, its options.

A new command is a row here; `cli.py` runs it, and the site and the tests read the same table.
"""

from __future__ import annotations

from dataclasses import dataclass

# Packages that training and scoring of sentence encoders cannot do without.
ENCODERS = ("accelerate", "datasets", "matplotlib", "scipy", "sentence_transformers", "sklearn")


@dataclass(frozen=True)
class Command:
    """One command; its code is imported when it runs, so that the list of commands is quick.

    Attributes:
        purpose: one line for `--help`
        arguments: its options, a dataclass, as `module:name` below this package
        run: what runs them, as `module:name`; returns a path or text
        result: last line of the output around what `run` returns
        first: the option that leading words without `--` stand for; None: every word belongs to a named option
        tokenizer: the option that is the shipped tokenizer where it is not given; None: no option is
        own_options: the part of `arguments` that is ours, which `--help` shows without importing the library; None: all
        runs_model: it runs a model for long, so its process keeps freed memory
        needs: optional packages that it cannot do without, looked for before it begins
    """

    purpose: str
    arguments: str
    run: str
    result: str = "{}"
    first: str | None = None
    tokenizer: str | None = None
    own_options: str | None = None
    runs_model: bool = False
    needs: tuple[str, ...] = ()


COMMANDS: dict[str, Command] = {
    "tokenizer train": Command(
        "train a byte-fallback BPE tokenizer on text files; `tokenizer` alone does it too",
        "tokenization.arguments:TokenizerArguments",
        "tokenization.train_bpe:run_tokenizer_training",
        "tokenizer: {}",
    ),
    "tokenizer extend": Command(
        "add tokens to a tokenizer, for a domain or a script",
        "tokenization.arguments:ExtensionArguments",
        "tokenization.extend:run_extension",
        "tokenizer: {}",
    ),
    "tokenizer report": Command(
        "measure tokenizers side by side on text; alone, the shipped one",
        "tokenization.arguments:TokenizerReportArguments",
        "tokenization.diagnostics:run_report_command",
        first="tokenizers",
        tokenizer="tokenizers",
        needs=("matplotlib",),
    ),
    "prepare": Command(
        "turn text files into shards of token ids and word starts",
        "trainers.data.arguments:PrepareArguments",
        "trainers.data.prepare:run_prepare",
        "shards: {}",
        tokenizer="tokenizer",
    ),
    "mask": Command(
        "show what a masking method does to a text",
        "trainers.masking.options:MaskArguments",
        "trainers.masking.preview_command:run_mask",
        tokenizer="tokenizer",
    ),
    "pretrain": Command(
        "pre-train a model on shards, in stages, with resume",
        "trainers.pretraining.arguments:PretrainingArguments",
        "trainers.pretraining.run:run_pretraining",
        "checkpoint: {}",
        own_options="trainers.pretraining.options:PretrainingOptions",
        tokenizer="tokenizer",
        runs_model=True,
        needs=("accelerate",),
    ),
    "pretrain plot": Command(
        "draw the curves of a run, or of several side by side",
        "trainers.pretraining.plot_command:PlotArguments",
        "trainers.pretraining.plot_command:run_plot",
        "picture: {}",
        first="runs",
        needs=("matplotlib",),
    ),
    "pretrain progress": Command(
        "tell in one line how far a run is, how fast, and how long it will take",
        "trainers.pretraining.progress_command:ProgressArguments",
        "trainers.pretraining.progress_command:run_progress",
        first="run",
    ),
    "sts": Command(
        "train a sentence encoder in stages and score every stage",
        "trainers.contrastive.arguments:ContrastiveArguments",
        "trainers.contrastive.run:run_contrastive",
        "sentence encoder: {}/final",
        own_options="trainers.contrastive.options:ContrastiveOptions",
        runs_model=True,
        needs=ENCODERS,
    ),
    "retrieval": Command(
        "train a model for search of any kind in stages, and measure every stage beside BM25",
        "trainers.contrastive.arguments:RetrievalArguments",
        "trainers.contrastive.run:run_retrieval",
        "model for search: {}/final",
        own_options="trainers.contrastive.retrieval_options:RetrievalOptions",
        runs_model=True,
        needs=ENCODERS,
    ),
    "retrieval explain": Command(
        "show what a sparse encoder takes texts for: its terms by weight, those of the text and those it adds",
        "evaluation.retrieval.expansion_command:ExplainArguments",
        "evaluation.retrieval.expansion_command:run_explain",
        first="model_and_texts",
        runs_model=True,
        needs=("sentence_transformers",),
    ),
    "clue": Command(
        "fine-tune and score a model on CLUE, or on a task of your own",
        "trainers.clue.arguments:ClueArguments",
        "trainers.clue.run:run_clue",
        "report: {}",
        own_options="trainers.clue.options:ClueOptions",
        runs_model=True,
        needs=("accelerate", "datasets", "evaluate", "matplotlib", "scipy", "sklearn"),
    ),
    "spell train": Command(
        "train a corrector of wrong Chinese characters on pairs of sentences, and fit its threshold",
        "trainers.spelling.arguments:SpellingArguments",
        "trainers.spelling.run:run_spelling",
        "report: {}",
        own_options="trainers.spelling.options:SpellingOptions",
        runs_model=True,
        needs=("accelerate",),
    ),
    "spell pairs": Command(
        "make pairs to train a corrector on, from plain text and confusion sets",
        "trainers.spelling.synthetic:SyntheticArguments",
        "trainers.spelling.synthetic:run_synthetic",
        "pairs: {}",
        first="corpus",
    ),
    "spell check": Command(
        "find and correct wrong characters in a file of texts, or in the words of the command line",
        "trainers.spelling.check:SpellCheckArguments",
        "trainers.spelling.check:run_check",
        first="model",
        runs_model=True,
    ),
    "spell evaluate": Command(
        "score correctors on pairs of sentences, side by side",
        "trainers.spelling.evaluate:SpellEvaluateArguments",
        "trainers.spelling.evaluate:run_evaluate",
        "report: {}",
        first="models",
        runs_model=True,
    ),
    "minimal-pairs": Command(
        "score masked language models on minimal pairs of grammar (ZhoBLiMP), without training",
        "evaluation.language_modeling.minimal_pairs_command:MinimalPairsArguments",
        "evaluation.language_modeling.minimal_pairs_command:run_minimal_pairs",
        "report: {}",
        first="models",
        runs_model=True,
        needs=("matplotlib",),
    ),
    "fill": Command(
        "find words, of several tokens too, for the blanks of texts",
        "evaluation.language_modeling.fill_command:FillArguments",
        "evaluation.language_modeling.fill_command:run_fill",
        runs_model=True,
    ),
    "augment": Command(
        "make more texts from texts: words are masked one after another, others drawn in their place",
        "evaluation.rewriting.commands:AugmentArguments",
        "evaluation.rewriting.commands:run_augment",
        runs_model=True,
    ),
    "rewrite": Command(
        "replace the words of a list in texts, so that the texts stay alike",
        "evaluation.rewriting.commands:RewriteArguments",
        "evaluation.rewriting.commands:run_rewrite",
        runs_model=True,
    ),
    "fill evaluate": Command(
        "ask masked language models for a missing word of everyday sentences, without training",
        "evaluation.language_modeling.blanks_command:FillEvaluateArguments",
        "evaluation.language_modeling.blanks_command:run_fill_evaluate",
        "report: {}",
        first="models",
        runs_model=True,
    ),
    "predict": Command(
        "answer the rows of a file with a fine-tuned model",
        "trainers.clue.predict_options:PredictArguments",
        "trainers.clue.predict:run_predict",
        "predictions: {}",
        first="model",
        runs_model=True,
        needs=("scipy",),
    ),
    "explain": Command(
        "show which words a fine-tuned classifier's decisions rest on, and measure how faithful that is",
        "trainers.clue.explain_options:ExplainArguments",
        "trainers.clue.explain_command:run_explain",
        "report: {}",
        first="model",
        runs_model=True,
        needs=("matplotlib", "scipy"),
    ),
    "noise": Command(
        "make spelling errors in labelled rows, and score a fine-tuned model before and after",
        "trainers.clue.noise:NoiseArguments",
        "trainers.clue.noise:run_noise",
        first="data",
        runs_model=True,
    ),
    "release": Command(
        "build a Hub folder from a checkpoint",
        "hub_release.arguments:ReleaseArguments",
        "hub_release.builder:build_release",
        "release: {}",
    ),
    "verify": Command(
        "load a Hub folder in a fresh process without this package and compare",
        "hub_release.arguments:VerifyArguments",
        "hub_release.verification.command:run_verification",
        first="model",
    ),
    "convert": Command(
        "turn a checkpoint of the ModernBERT family into ours, or give ours a residual stream of mean zero",
        "hub_release.arguments:ConversionArguments",
        "hub_release.conversion:run_conversion",
        "checkpoint: {}",
        first="model",
    ),
    "gguf": Command(
        "write a Hub folder as one file for llama.cpp, with llama.cpp's own converter",
        "hub_release.arguments:GgufArguments",
        "hub_release.gguf.export:export_gguf",
        first="model",
    ),
    "push": Command(
        "upload a Hub folder, private unless --public",
        "hub_release.arguments:PushArguments",
        "hub_release.upload.push:push_release",
        first="model",
    ),
    "benchmark": Command(
        "time the encoder against Transformers' ModernBERT with the same weights",
        "demo.arguments:SpeedArguments",
        "demo.speed:run_model_speed",
        runs_model=True,
    ),
    "demo": Command(
        "the whole path on a generated corpus, in minutes on a CPU",
        "demo.arguments:DemoArguments",
        "demo.run:run_demo",
        "Hub folder: {}",
        runs_model=True,
        needs=("accelerate", "matplotlib"),
    ),
}
SHORT_NAMES = {"tokenizer": "tokenizer train"}
