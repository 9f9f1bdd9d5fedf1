"""Whether a study hands over the same winner, but for its own standard error, whatever its seed.

One data set is searched once a seed, as `init` writes the study (cut as in `benchmarks/truth_studies.py`); the seed
decides on the split, the draws, all noise and all renders. Then all winners are judged together on pictures that no
study saw, with far more renders. A winner is as good as the best of them if it falls short of it by no more than the
standard error that its study stated for its objective; `same` is the share of these. `pairs` is the share of all pairs
that lie as near to each other by the smaller of the two stated errors.

    .venv/bin/python -m benchmarks.stability --folder .micro/stability
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.kept_back import judged_again
from benchmarks.truth_studies import finished
from benchmarks.truth_subjects import SUBJECTS
from studies.errors import quiet
from studies.selection import document
from studies.selection.rule import Rule
from studies.study.study import UNITS, Study


@dataclass(frozen=True, slots=True)
class Winner:
    """Of one seed."""

    seed: int
    key: tuple[int, int]
    stated: float
    """Objective, as its study measured it last."""
    error: float
    """Its standard error, as stated."""
    true: float
    """Objective on the pictures that were kept back."""


def main() -> None:
    """Prints a table and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--folder", type=Path, default=Path(".micro/stability"), help="keeps what is finished"
    )
    parser.add_argument("--subject", default="flex-signs", choices=[one.name for one in SUBJECTS])
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("--seeds must be at least 2")
    quiet()
    subject = next(one for one in SUBJECTS if one.name == arguments.subject)
    folder = arguments.folder.resolve()
    studies = {
        seed: finished(subject, folder / f"seed-{seed}", seed=seed) for seed in range(1, arguments.seeds + 1)
    }
    winners = _winners(studies, next(iter(studies.values())).workspace.root.parent)
    best = max(one.true for one in winners)
    same = [best - one.true <= one.error for one in winners]
    pairs = [abs(a.true - b.true) <= min(a.error, b.error) for a, b in combinations(winners, 2)]
    _print(winners, same)
    figures = {
        "same": statistics.fmean(same),
        "pairs": statistics.fmean(pairs),
        "spread": statistics.stdev(one.true for one in winners),
        "error_median": statistics.median(one.error for one in winners),
        "seeds": len(winners),
    }
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def _winners(studies: dict[int, Study], place: Path) -> list[Winner]:
    """By one rule for all: the first study's weights and units."""
    first = next(iter(studies.values()))
    rule = Rule.of(first.spec, first.memory.recall(UNITS))
    cards = judged_again([study.workspace.best for study in studies.values()], place)
    found = []
    for (seed, study), card in zip(studies.items(), cards, strict=True):
        chosen = document.read(study.workspace)
        assert chosen is not None and chosen.winner.objective is not None
        said = chosen.winner.objective
        found.append(
            Winner(seed, chosen.winner.key, said.mean, said.standard_error, rule.objective(card).mean)
        )
    return found


def _print(winners: list[Winner], same: list[bool]) -> None:
    table = Table(title="the winner of each seed")
    for column in ("seed", "trial, epoch", "stated", "on pictures kept back", "as good as the best"):
        table.add_column(column, justify="right")
    for one, good in zip(winners, same, strict=True):
        trial, epoch = one.key
        stated = f"{one.stated:.3f} ± {one.error:.3f}"
        table.add_row(str(one.seed), f"{trial}, {epoch}", stated, f"{one.true:.3f}", "yes" if good else "no")
    Console().print(table)


if __name__ == "__main__":
    main()
