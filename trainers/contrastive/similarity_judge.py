"""The judge of the command `sts`: similarity on scored sets, and search in passages by exact cosines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...evaluation.retrieval.reading import task_of_rows
from ...evaluation.sentences.mteb import named_tasks, run_mteb
from ...evaluation.sentences.report import ScoredEncoder, write_sentence_report
from ...evaluation.sentences.scores import SentenceScores, evaluate_encoder
from ...runtime.files import model_fingerprint
from ...tokenization.documents import find_text_files
from .arguments import ContrastiveArguments
from .baselines import check_against, check_kept_scores, score_baselines, score_sizes
from .datasets import NamedRows, read_named
from .judge import Judge
from .models import load_encoder
from .settings import shown_settings
from .stages import FINAL, SCORES, finished_stages


class SimilarityJudge(Judge):
    """Scored pairs and passages.

    Args:
        arguments: `evaluation` and `retrieval` name the sets

    Raises:
        ValueError: If a set for similarity has no scores, or a run to compare with was scored on other data.
        FileNotFoundError: If a file of a set is missing.
    """

    arguments: ContrastiveArguments

    def __init__(self, arguments: ContrastiveArguments) -> None:
        super().__init__(arguments)
        self.scored = {one.name: one.rows.pairs for one in read_named(arguments.evaluation, arguments.data, "test")}
        for name, pairs in self.scored.items():
            if not pairs:
                raise ValueError(f"{name} has no scored pairs to evaluate on; name it under retrieval")
        named = read_named(arguments.retrieval, arguments.data, "test")
        self.retrieval = {one.name: task_of_rows(one.rows, one.kind) for one in named}
        check_kept_scores(arguments.against, self.scored, self.retrieval)

    @classmethod
    def check(cls, arguments: ContrastiveArguments) -> None:
        """Refuse a command without a set, models to compare with that are none, text and tasks that are not there."""
        if not arguments.evaluation and not arguments.retrieval:
            raise ValueError(
                "nothing to evaluate on; give scored pairs with --evaluation (a set such as stsb:test, or a file such "
                "as scored.jsonl), or --retrieval"
            )
        check_against(arguments)
        if arguments.baselines and arguments.baseline_corpus:
            find_text_files(arguments.baseline_corpus)  # read when all stages are trained
        if arguments.mteb:
            named_tasks(arguments.mteb)

    def texts(self) -> dict[str, list[str]]:
        """Return the texts of pairs, queries and passages by set."""
        found = {
            name: [text for pair in pairs for text in (pair.first, pair.second)] for name, pairs in self.scored.items()
        }
        for name, task in self.retrieval.items():
            found.setdefault(name, []).extend((*task.queries, *task.passages))
        return found

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """Return the pairs and the tasks."""
        return self.scored, self.retrieval

    def score(self, model: Any, folder: Path) -> SentenceScores:
        """Return similarity, with intervals, and retrieval by exact search, with float and quantized vectors."""
        return evaluate_encoder(model, self.scored, self.retrieval, self.arguments.bootstrap_resamples)

    def no_scores(self) -> SentenceScores:
        """Return scores of no set."""
        return SentenceScores({})

    def summary(self, scores: SentenceScores) -> list[str]:
        """Return a line for each set of pairs."""
        return [
            f"{name}: {', '.join(f'{key} {value}' for key, value in one.scores.items())}"
            for name, one in scores.similarity.items()
        ]

    def report(self, output: Path, training: Sequence[Sequence[NamedRows]], rows: str, data: Mapping[str, str]) -> None:
        """Score baselines, the last stage cut to sizes, and what is asked of mteb; write the report."""
        arguments = self.arguments
        scores: dict[str, float] = {}
        if arguments.mteb:  # its own cache keeps the tasks that an interrupted run had finished
            final = output / FINAL
            weights = model_fingerprint(final).rsplit(" ", maxsplit=1)[-1]  # mteb calls every folder alike
            scores = run_mteb(load_encoder(final, arguments), named_tasks(arguments.mteb), output / "mteb" / weights)
        folders = finished_stages(output)
        names = ["before training"]
        names += [f"stage {number}, {stage.loss}" for number, stage in enumerate(arguments.stages, start=1)]
        *before, last = [
            ScoredEncoder(name, "stage", SentenceScores.load(folder / SCORES))
            for name, folder in zip(names, folders, strict=True)
        ]
        compared = score_baselines(arguments, training, self.scored, self.retrieval, rows)
        sizes = score_sizes(folders[-1], arguments, self.scored, self.retrieval)
        named = [ScoredEncoder(f"{last.name}, {size} dimensions", "size", found) for size, found in sizes]
        encoders = [*compared, *before, *named, last]
        settings = shown_settings(arguments)
        write_sentence_report(output, encoders, settings, arguments.bootstrap_resamples, scores, data)
