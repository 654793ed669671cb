"""ROUGE as an `evaluate.Metric` that works with no network (`evaluate.load("rouge")` fetches its script).

Apart from `mtl.metrics.rouge`, because importing `evaluate` imports torch.

    OfflineRouge().compute(predictions=["a cat"], references=["the cat"])
"""

from __future__ import annotations

import datasets
import evaluate

from mtl.metrics.rouge import ROUGE_TYPES, rouge_scores


class OfflineRouge(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
    """Means over the pairs of the F-measures of `rouge_scores`, in 0..1, under the names of ROUGE_TYPES.

    Kept in memory, so that nothing is written to evaluate's cache folder.
    """

    def __init__(self) -> None:
        super().__init__(keep_in_memory=True, seed=0)  # evaluate's own default seed reads numpy's global state

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="ROUGE-1/2/L/Lsum F-measures with Porter stemming, over rouge_score, offline.",
            citation="Lin 2004, ROUGE: A Package for Automatic Evaluation of Summaries",
            inputs_description="predictions: list of str; references: list of str, one for each prediction.",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        pairs = [rouge_scores(*pair) for pair in zip(predictions, references, strict=True)]
        return {name: sum(scores[name] for scores in pairs) / len(pairs) for name in ROUGE_TYPES}
