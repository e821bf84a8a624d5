"""The metrics of CLUE as one `evaluate` module with three configurations: classification, answers, entities."""

import datasets
import evaluate
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from .answers import answer_f1, exact_match

_TEXTS = datasets.Sequence(datasets.Value("string"))
_COLUMNS = {
    "classification": (datasets.Value("int64"), datasets.Value("int64")),
    "answers": (datasets.Value("string"), _TEXTS),
    "entities": (_TEXTS, _TEXTS),
}


class ClueMetrics(evaluate.Metric):
    """Metrics from 0 to 1; the configuration says what a prediction is.

    "classification": class numbers; accuracy, macro F1 and Matthews' correlation.
    "answers": a text and its accepted answers; exact match, F1 and their mean ("average").
    "entities": lists of "start:end:type"; precision, recall and F1 over all entities, exact borders and type.
    """

    def _info(self) -> evaluate.MetricInfo:
        if self.config_name not in _COLUMNS:
            raise ValueError(f"configuration '{self.config_name}' is not one of {', '.join(_COLUMNS)}")
        predictions, references = _COLUMNS[self.config_name]
        return evaluate.MetricInfo(
            description=str(self.__doc__),
            citation="",
            inputs_description="predictions and references, one item for each example",
            features=datasets.Features({"predictions": predictions, "references": references}),
        )

    def _compute(self, predictions: list, references: list) -> dict[str, float]:  # pyright: ignore[reportIncompatibleMethodOverride]
        if self.config_name == "classification":
            return {
                "accuracy": float(accuracy_score(references, predictions)),
                "macro_f1": float(f1_score(references, predictions, average="macro")),
                "matthews": float(matthews_corrcoef(references, predictions)),
            }
        if self.config_name == "answers":
            pairs = list(zip(predictions, references, strict=True))
            exact = sum(exact_match(*pair) for pair in pairs) / len(pairs)
            f1 = sum(answer_f1(*pair) for pair in pairs) / len(pairs)
            return {"average": (exact + f1) / 2, "exact_match": exact, "f1": f1}
        hits = sum(len(set(found) & set(gold)) for found, gold in zip(predictions, references, strict=True))
        found, gold = (sum(len(set(row)) for row in rows) for rows in (predictions, references))
        precision, recall = hits / max(found, 1), hits / max(gold, 1)
        return {"f1": 2 * hits / max(found + gold, 1), "precision": precision, "recall": recall}
