"""How well optima of trials are forecast from stored learning curves, and what pruning by forecasts would have saved.

Every trial of every finished study in a folder is asked for and reported once more, through the search's own driver,
checkpoint by checkpoint, four at a time; nothing is trained. Replayed are the studies' objectives and, apart, their
validation figures.

    .venv/bin/python -m benchmarks.forecast --folder .micro/truth

Forecasts: of trials that were trained to the horizon, after each earlier checkpoint, from all that was known then:
the best of the checkpoints to come. Beside it stand the last value, and the line that the pruner `pace` draws. Errors
are in units of the study's spread, from its median checkpoint to its best; what lies more than three below the best
counts as three below, since how far a trial falls that diverges matters to nobody.
Pruners: images trained, as a share of training every trial to the horizon, and by how much the best checkpoint that was
trained is worse than the best that is stored. A stored trial that was pruned when it was trained goes on in a replay
that would not have ended it: it costs the whole horizon then and shows nothing more. That counts against `none` and
`forecast`, since `pace` made the stored studies; on whole trials alone, below, all are told alike.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.table import Table

from benchmarks.stored_curves import Figure, Stored, StoredStudy, studies
from search.budget import Budget
from search.curve import best_so_far, smooth
from search.curve_model import Curve, CurveModel, enough
from search.curve_rows import CurveRows
from search.driver import Driver
from search.memory import Memory
from search.pruners import PrunerSettings, first_look
from search.settings import SearchSettings
from search.trial import Finished, Point, Pruned
from studies.errors import quiet

MEMORY = Path("/dev/shm")
"""Where databases cost least."""
SLOTS = 4
"""Trials that are trained at a time."""
PRUNERS = ("none", "pace", "forecast")


@dataclass(frozen=True)
class Foretold:
    """One forecast beside what came, in the study's spread; and whether the interval of 90 % held it."""

    forecast: float
    last: float
    line: float
    inside: bool


@dataclass(frozen=True)
class Pruning:
    """What one pruner made of one study."""

    images: float
    """Share of all trials to the horizon."""
    lost: float
    """In the study's spread."""


def main() -> None:
    """Prints tables and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(".micro/truth"))
    parser.add_argument("--only", nargs="*", default=[], help="names of studies")
    parser.add_argument("--figures", nargs="*", default=get_args(Figure), choices=get_args(Figure))
    arguments = parser.parse_args()
    quiet()
    figures: dict[str, Any] = {}
    for figure in arguments.figures:
        found = [
            one for one in studies(arguments.folder, figure) if one.name in (arguments.only or [one.name])
        ]
        told = [one for study in found for one in _foretold(study)]
        figures[figure] = {
            "studies": len(found),
            **_forecasts(figure, told),
            "all": _pruners(figure, "all", found),
        }
        whole = [replace(one, trials=one.whole) for one in found if len(one.whole) >= 4]
        figures[figure]["whole_trials"] = _pruners(figure, "whole", whole) if whole else None
    print(json.dumps({"beats_pace": all(map(_beats, figures.values())), **figures}))


def _beats(figure: Any) -> bool:
    """Whether forecasting trains fewer images than pace and loses no more, on all trials and on whole ones."""
    return all(
        figure[which]["forecast"]["images"] < figure[which]["pace"]["images"]
        and figure[which]["forecast"]["lost_mean"] <= figure[which]["pace"]["lost_mean"]
        for which in ("all", "whole_trials")
        if figure[which]
    )


def _foretold(study: StoredStudy) -> list[Foretold]:
    """Forecasts of whole trials, each from the trials with lower numbers and its own first checkpoints."""
    found = []
    for trial in study.whole:
        before = [_curve(one) for one in study.trials if one.number < trial.number]
        for upto in range(1, len(trial.points)):
            own = _curve(replace(trial, points=trial.points[:upto]))
            if not enough([*before, own]):
                continue
            told, low, high = CurveModel(
                [*before, own], CurveRows(study.distributions, study.horizon)
            ).coming(own)
            truth = max(point.objective for point in trial.points[upto:])
            floor = study.best - 3 * study.spread
            guesses = told, own.points[-1].objective, _line(study, own)
            errors = [abs(max(guess, floor) - max(truth, floor)) / study.spread for guess in guesses]
            found.append(Foretold(*errors, max(low, floor) <= max(truth, floor) <= high))
    return found


def _curve(trial: Stored) -> Curve:
    return Curve(trial.number, trial.values, trial.points)


def _line(study: StoredStudy, own: Curve) -> float:
    """Where the line ends that the pruner `pace` draws through the last two values."""
    before, now = (Point(0, 0.0), *best_so_far(smooth(own.points)))[-2:]
    slope = (now.objective - before.objective) / (now.images_seen - before.images_seen)
    return now.objective + max(0.0, slope) * (study.horizon - now.images_seen)


def _pruned(study: StoredStudy, pruner: str) -> Pruning:
    """One study through the driver, with one pruner; without any, all is trained and nothing lost."""
    if pruner == "none":
        return Pruning(1.0, 0.0)
    settings = SearchSettings(
        sampler="random",
        pruner=PrunerSettings(name=pruner, min_images=first_look(pruner, study.horizon)),
        budget=Budget(trials=len(study.trials)),
        horizon_images=study.horizon,
        first=tuple(dict(trial.values) for trial in study.trials),
        baselines=sum(trial.number < study.recipes for trial in study.trials),
    )
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as scratch:
        memory = Memory.open(f"sqlite:///{scratch}/replay.db", "replay", Path(scratch) / "artifacts")
        driver = Driver(memory, study.space, settings, 0, lambda: 0.0)
        ended = list(_trained(study, driver))
    kept = max(point.objective for trial in ended for point in trial.points)
    images = sum(_images(study, trial) for trial in ended)
    return Pruning(images / (study.horizon * len(ended)), (study.best - kept) / study.spread)


def _images(study: StoredStudy, trial: Stored) -> int:
    """What a trial cost: the horizon where the stored one ended before the replay would have ended it."""
    return study.horizon if trial.state == "running" else trial.points[-1].images_seen


def _trained(study: StoredStudy, driver: Driver) -> Iterator[Stored]:
    """Trials as the driver let them be trained, those with the fewest images first, `SLOTS` at a time."""
    running: dict[int, tuple[Stored, int]] = {}
    while True:
        while len(running) < SLOTS and (proposal := driver.ask()) is not None:
            running[proposal.number] = study.trials[proposal.number], 0
        if not running:
            return
        number = min(running, key=lambda n: (running[n][0].points[running[n][1]].images_seen, n))
        trial, done = running[number]
        verdict = driver.report(number, {"epoch": done + 1}, trial.points[done])
        running[number] = trial, done + 1
        last = done + 1 == len(trial.points)
        if verdict == "continue" and not last:
            continue
        del running[number]
        driver.tell(number, Finished() if verdict == "continue" else Pruned())
        cut = verdict == "continue" and trial.state == "pruned"
        yield replace(trial, points=trial.points[: done + 1], state="running" if cut else "finished")


def _forecasts(figure: str, told: Sequence[Foretold]) -> dict[str, float]:
    table = Table(title=f"{figure}: error of the best to come, in the study's spread, {len(told)} forecasts")
    for column in ("by", "median", "mean"):
        table.add_column(column, justify="left" if column == "by" else "right")
    ways = {
        "forecast": [one.forecast for one in told],
        "last value": [one.last for one in told],
        "line of pace": [one.line for one in told],
    }
    found = {}
    for name, errors in ways.items():
        median, mean = statistics.median(errors), statistics.fmean(errors)
        table.add_row(name, f"{median:.3f}", f"{mean:.3f}")
        found[f"error_{name.replace(' ', '_')}"] = round(median, 3)
    inside = sum(one.inside for one in told) / len(told)
    table.caption = f"{inside:.0%} of the best to come lie in their interval of 90 %"
    Console(width=120).print(table)
    return {"forecasts": len(told), **found, "inside_90": round(inside, 3)}


def _pruners(figure: str, which: str, found: Sequence[StoredStudy]) -> dict[str, Any]:
    table = Table(title=f"{figure}: pruners on {which} trials of {len(found)} studies")
    for column in ("pruner", "images", "lost, mean", "lost, worst", "studies that lost"):
        table.add_column(column, justify="left" if column == "pruner" else "right")
    figures = {}
    for name in PRUNERS:
        made = [_pruned(study, name) for study in found]
        lost = [one.lost for one in made]
        figures[name] = {
            "images": round(statistics.fmean(one.images for one in made), 4),
            "lost_mean": round(statistics.fmean(lost), 4),
            "lost_worst": round(max(lost), 4),
            "lost_studies": sum(one > 0 for one in lost),
        }
        shown = figures[name]
        table.add_row(
            name,
            f"{shown['images']:.3f}",
            f"{shown['lost_mean']:.3f}",
            f"{shown['lost_worst']:.3f}",
            str(shown["lost_studies"]),
        )
    Console(width=120).print(table)
    return figures


if __name__ == "__main__":
    main()
