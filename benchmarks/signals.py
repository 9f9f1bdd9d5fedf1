"""Whether validation loss tells the quality of pictures, by family of base models and by noise level.

Studies of some subjects (`truth_studies.py`), on the micro Stable Diffusion and on the micro Stable Diffusion 3. Every
checkpoint of their trials is looked at by eyes that no rule uses (64 pictures of captions that were kept back), and
judged at twelve noise levels. How well the ranks agree, level by level, and weighted by what each level tells in the
other subjects, is what the last line says.

    .venv/bin/python -m benchmarks.signals --folder .micro/signal
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from benchmarks.truth import Judged, seen
from benchmarks.truth_subjects import SUBJECTS
from evaluation.metrics.table import METRICS
from evaluation.scorecard import ScoreCard
from studies.errors import quiet

BASES: Mapping[str, str] = {"sd1": "micro-sd", "sd3": "micro-sd3"}
"""Shipped bases by family."""
NAMES = ("outlined-animals", "faces", "rounded-signs")
"""Subjects that are studied, unless others are named."""
JUDGED = ("clip_image", "style")
BEST = 3
"""Levels that are named best."""


def main() -> None:
    """Prints a table and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="keeps all that is made")
    parser.add_argument("--only", nargs="+", default=NAMES, metavar="SUBJECT")
    parser.add_argument("--families", nargs="+", choices=BASES, default=list(BASES))
    arguments = parser.parse_args()
    quiet()
    chosen = [subject for subject in SUBJECTS if subject.name in arguments.only]
    folder = arguments.folder.resolve()
    found = {
        family: _figures([seen(subject, folder / family, BASES[family]) for subject in chosen])
        for family in arguments.families
    }
    table = Table(title=f"rank correlation with the eyes, median of {len(chosen)} subjects")
    table.add_column("")
    for family in found:
        table.add_column(family, justify="right")
    for name in next(iter(found.values())):
        table.add_row(name.replace("_", " "), *(str(figures[name]) for figures in found.values()))
    Console().print(table)
    print(json.dumps(found))


def _figures(found: Sequence[Judged]) -> dict[str, object]:
    by_level = np.array([_by_level(one) for one in found])
    telling = by_level.mean(axis=0)
    levels = np.argsort(-telling)[:BEST]
    return {
        "rank_correlation_validation": _median(
            [_agreement(one, _metric(one, "validation")) for one in found]
        ),
        **{
            f"rank_correlation_{name}": _median([_agreement(one, _metric(one, name)) for one in found])
            for name in JUDGED
        },
        "rank_correlation_weighted": _median(
            [
                _agreement(one, _levels(one) @ _weights(np.delete(by_level, place, axis=0)))
                for place, one in enumerate(found)
            ]
        ),
        "rank_correlation_by_level": [round(float(value), 2) for value in telling],
        "best_levels": sorted(round((int(level) + 0.5) / len(telling), 3) for level in levels),
        "checkpoints": sum(len(one.checkpoints) for one in found),
        "eyes_own": _median([one.reliability for one in found]),
    }


def _weights(others: np.ndarray) -> np.ndarray:
    """What each level told in other subjects, shape (levels,); all alike where there is none, or nothing was told."""
    told_by = others.mean(axis=0).clip(min=0) if len(others) else np.ones(others.shape[1])
    return told_by / told_by.sum() if told_by.any() else np.full(len(told_by), 1 / len(told_by))


def _by_level(one: Judged) -> list[float]:
    return [_agreement(one, level) for level in _levels(one).T]


def _cards(one: Judged) -> list[ScoreCard]:
    return [one.cards[key] for key in one.checkpoints]


def _levels(one: Judged) -> np.ndarray:
    """Gain by noise level: shape (checkpoints, levels)."""
    return METRICS["validation"].direction * np.array([card.validation_by_timestep for card in _cards(one)])


def _metric(one: Judged, name: str) -> np.ndarray:
    return METRICS[name].direction * np.array([card.metrics[name].difference.mean for card in _cards(one)])


def _agreement(one: Judged, figures: np.ndarray) -> float:
    """Rank correlation of figures, higher is better, with what the eyes say."""
    return float(spearmanr(figures, [-one.figure(key) for key in one.checkpoints]).statistic)


def _median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 3)


if __name__ == "__main__":
    main()
