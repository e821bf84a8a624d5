"""The metrics of every kind of task as one `evaluate` module, a configuration for each form of prediction."""

import datasets
import evaluate
import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef, mean_absolute_error, r2_score
from sklearn.preprocessing import MultiLabelBinarizer

from .answers import answer_f1, exact_match

_TEXTS = datasets.Sequence(datasets.Value("string"))
_COLUMNS = {
    "classification": (datasets.Value("int64"), datasets.Value("int64")),
    "multi_label": (datasets.Sequence(datasets.Value("int64")), datasets.Sequence(datasets.Value("int64"))),
    "regression": (datasets.Value("float64"), datasets.Value("float64")),
    "answers": (datasets.Value("string"), _TEXTS),
    "entities": (_TEXTS, _TEXTS),
}


class ClueMetrics(evaluate.Metric):
    """Metrics from 0 to 1; the configuration says what a prediction is.

    "classification": class numbers; accuracy, macro F1 and Matthews' correlation.
    "multi_label": lists of label numbers; F1 over all rows and labels (micro), macro F1, share of rows without a fault.
    "regression": numbers; Pearson and Spearman (0 where all numbers are equal), R2 and the mean absolute error.
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
        if self.config_name == "multi_label":
            return _label_scores(predictions, references)
        if self.config_name == "regression":
            return _number_scores(np.array(predictions), np.array(references))
        if self.config_name == "answers":
            pairs = list(zip(predictions, references, strict=True))
            exact = sum(exact_match(*pair) for pair in pairs) / len(pairs)
            f1 = sum(answer_f1(*pair) for pair in pairs) / len(pairs)
            return {"average": (exact + f1) / 2, "exact_match": exact, "f1": f1}
        hits = sum(len(set(found) & set(gold)) for found, gold in zip(predictions, references, strict=True))
        found, gold = (sum(len(set(row)) for row in rows) for rows in (predictions, references))
        precision, recall = hits / max(found, 1), hits / max(gold, 1)
        return {"f1": 2 * hits / max(found + gold, 1), "precision": precision, "recall": recall}


def _label_scores(predictions: list, references: list) -> dict[str, float]:
    binarizer = MultiLabelBinarizer().fit([*predictions, *references])
    found, gold = binarizer.transform(predictions), binarizer.transform(references)
    micro, macro = (
        float(f1_score(gold, found, average=how, zero_division=0.0))  # pyright: ignore[reportArgumentType]
        for how in ("micro", "macro")
    )
    return {"f1": micro, "macro_f1": macro, "accuracy": float(accuracy_score(gold, found))}


def _number_scores(found: np.ndarray, gold: np.ndarray) -> dict[str, float]:
    pearson = spearman = 0.0
    if np.ptp(found) and np.ptp(gold):  # no correlation is defined where all numbers are equal
        pearson = float(np.corrcoef(found, gold)[0, 1])
        spearman = float(np.corrcoef(rankdata(found), rankdata(gold))[0, 1])
    r2 = float(r2_score(gold, found)) if len(gold) > 1 else 0.0
    error = float(mean_absolute_error(gold, found))
    return {"pearson": pearson, "spearman": spearman, "r2": r2, "mean_absolute_error": error}
