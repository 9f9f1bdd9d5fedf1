"""Whether the tenth study on a base model is cheaper than the first: data sets in a row, each learning from all before.

Every study is searched twice, with `learn_from` and without. The ratio is the images until the search with memory has
a checkpoint as good as the target, over those of the search without, trials counted in the order in which they were
begun: paired, because data sets differ in how soon they are learnt. A study with an empty memory is what the first one
of a row is. One that does not reach the target counts with all its images.

    .venv/bin/python -m benchmarks.priors --folder .micro/truth

Nothing is trained: each stored study of the folder stands for a data set by the curve model over its trials
(`search/curve_model.py`), whose noise is drawn anew for each checkpoint; ten of them stand in a row, in several orders.
The target is just below the best of 24 random trials to their end, and it is reached by what a checkpoint is worth
without noise.
With --real FOLDER, the subjects of `benchmarks/truth.py` are trained in a row instead, each twice, hours; the target is
there what the search without memory reached less its standard error, so that its luck counts less.
An unrelated memory is one of studies on another base model.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import tomlkit
from optuna.distributions import BaseDistribution
from rich.console import Console
from rich.table import Table

from benchmarks.stored_curves import StoredStudy, studies, table_of, widened
from search.curve_model import Curve, CurveModel
from search.curve_rows import CurveRows
from search.driver import Driver
from search.memory import Memory
from search.pruners import PrunerSettings, first_look
from search.samplers import derived_seed
from search.settings import SearchSettings
from search.trial import Finished, Point, Pruned, TrialRecord, Value
from studies.errors import quiet
from studies.spec import study_file
from studies.spec.study_file import StudySpec
from studies.study.earlier import EarlierStudy, Prior, prior

ROW, TRIALS, CHECKPOINTS = 10, 24, 4
HORIZON = 800
PARAMETERS = 7
"""Searched in a study that stands for a data set: with fewer, all studies would have too little in common."""
UNSEEN = 0.02
"""Of the way from the base model to the real images: stored studies are flat near their best, and who is first to the
very top is chance."""
APART = 1000
"""Added to the seed of the trials that set a target."""
MEMORY = Path("/dev/shm")
"""Where databases cost least."""


def main() -> None:
    """Prints a table and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(".micro/truth"), help="finished studies")
    parser.add_argument("--orders", type=int, default=3)
    parser.add_argument("--real", type=Path, help="trains instead, and keeps what is finished there")
    arguments = parser.parse_args()
    quiet()
    if arguments.real:
        _report(["in order"], [_trained(arguments.real.resolve())])
        return
    found = [one for one in studies(arguments.folder, "objective") if len(one.distributions) >= PARAMETERS]
    spec = _spec(found)
    data = [Surrogate(one, spec) for one in found]
    rows = []
    for order in range(arguments.orders):
        drawn = np.random.default_rng(order).permutation(len(data))[:ROW]
        rows.append(_row([data[place] for place in drawn], order))
        print(f"  order {order}: {' '.join(f'{ratio:.2f}' for ratio in rows[-1])}", flush=True)
    _report([f"order {order}" for order in range(arguments.orders)], rows, _unrelated(data[0], data[1]))


def _row(row: Sequence[Surrogate], seed: int) -> list[float]:
    """The ratios of studies in a row."""
    before: list[EarlierStudy] = []
    ratios = []
    for one in row:
        alone = one.search(Prior(), seed)
        found = one.search(prior(before, one.spec, "base"), seed) if before else alone
        target = one.target(seed)
        ratios.append(one.until(found, target) / one.until(alone, target))
        before.append(_earlier(one.stored.name, found, one.spec, "base"))
    return ratios


def _unrelated(first: Surrogate, second: Surrogate) -> float:
    """The ratio of a study whose memory is all of another base model."""
    other = _earlier(first.stored.name, first.search(Prior(), 0), first.spec, "another base")
    found = second.search(prior([other], second.spec, "base"), 0)
    target = second.target(0)
    return second.until(found, target) / second.until(second.search(Prior(), 0), target)


def _until(records: Sequence[TrialRecord], target: float) -> int:
    """Images that trials had seen, one after the other, when an objective reached the target."""
    images = 0
    for record in records:
        for point in record.curve:
            if point.objective >= target:
                return images + point.images_seen
        images += record.images_seen
    return images


def _earlier(name: str, records: Sequence[TrialRecord], spec: StudySpec, base: str) -> EarlierStudy:
    weighed = frozenset(metric for metric, weight in spec.objective.items() if weight)
    return EarlierStudy(name, base, spec.shared_plan.data.resolution, weighed, records)


def _spec(found: Sequence[StoredStudy]) -> StudySpec:
    """One study file for all: the parameters that all have, as wide as any was searched."""
    shared = set.intersection(*(set(one.distributions) for one in found))
    drawn: dict[str, BaseDistribution] = {}
    for one in found:
        for name in sorted(shared):
            drawn[name] = widened(drawn.get(name), one.distributions[name])
    table = {
        "study": {"name": "priors"},
        "plan": {"base": {"path": "base"}, "data": {"folder": "images", "resolution": 64}},
        "budget": {"trials": TRIALS, "images_per_trial": HORIZON},
        "search": {
            "sampler": "gp",
            "learn_from": "all",
            "space": {name: table_of(one) for name, one in drawn.items()},
        },
        "objective": {"validation": 1.0},
    }
    return study_file.parse(tomlkit.dumps(table), Path("/"))


@dataclass(frozen=True)
class Surrogate:
    """A stored study as a data set that can be searched without training."""

    stored: StoredStudy
    spec: StudySpec

    @cached_property
    def model(self) -> CurveModel:
        """What stands for training."""
        known = [Curve(one.number, one.values, one.points) for one in self.stored.trials]
        return CurveModel(known, CurveRows(self.stored.distributions, self.stored.horizon))

    def search(self, memory: Prior, seed: int, sampler: str = "") -> list[TrialRecord]:
        """As a study would: pruned by pace, one trial after the other; random trials are not pruned."""
        sampler = sampler or self.spec.search.sampler
        settings = SearchSettings(
            sampler=sampler,
            pruner=PrunerSettings(
                name="none" if sampler == "random" else "pace", min_images=first_look("pace", HORIZON)
            ),
            budget=self.spec.budget.limits(),
            horizon_images=HORIZON,
            first=memory.recipes,
            lessons=memory.lessons,
        )
        with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as scratch:
            opened = Memory.open(f"sqlite:///{scratch}/search.db", "search", Path(scratch) / "artifacts")
            driver = Driver(opened, self.spec.space, settings, seed, lambda: 0.0)
            while (proposal := driver.ask()) is not None:
                self._train(driver, proposal.number, proposal.values, seed)
            return driver.records()

    def target(self, seed: int) -> float:
        """Just below the best of random trials, without noise; they are drawn apart from those of a search."""
        found = self._true(self.search(Prior(), seed + APART, "random"))
        return max(point.objective for record in found for point in record.curve) - UNSEEN

    def until(self, records: Sequence[TrialRecord], target: float) -> int:
        """Images until a checkpoint was worth the target."""
        return _until(self._true(records), target)

    def _true(self, records: Sequence[TrialRecord]) -> list[TrialRecord]:
        """Trials with what their checkpoints are worth without noise."""
        return [
            replace(record, curve=tuple(map(Point, images, self._levels(record.values, images))))
            for record in records
            for images in [[point.images_seen for point in record.curve]]
        ]

    def _levels(self, values: Mapping[str, Value], images: Sequence[int]) -> list[float]:
        scaled = [seen * self.stored.horizon // HORIZON for seen in images]
        return self.model.expected(Curve(-1, values), scaled)

    def _train(self, driver: Driver, number: int, values: Mapping[str, Value], seed: int) -> None:
        verdict = "continue"
        images = [HORIZON * (place + 1) // CHECKPOINTS for place in range(CHECKPOINTS)]
        noise = np.random.default_rng(derived_seed(seed, self.stored.name, number)).normal(size=CHECKPOINTS)
        levels = zip(images, self._levels(values, images), noise, strict=True)
        for epoch, (seen, level, drawn) in enumerate(levels, 1):
            point = Point(seen, level + self.model.noise * float(drawn))
            verdict = driver.report(number, {"epoch": epoch}, point)
            if verdict != "continue":
                break
        driver.tell(number, Pruned() if verdict == "prune" else Finished())


def _trained(folder: Path) -> list[float]:
    """The ratios of subjects that are trained in a row."""
    from benchmarks.truth_studies import begun, run
    from benchmarks.truth_subjects import SUBJECTS
    from studies.runner.preparation import learnt
    from studies.runner.progress import Listener
    from studies.study import beginning

    before: list[str] = []
    ratios = []
    for subject in SUBJECTS[:ROW]:
        records = {}
        for way, sources in (("alone", []), ("learning", before)):
            place = folder / way / subject.name
            study = begun(subject, folder / way)
            if sources:
                table = tomlkit.parse((place / "study.toml").read_text())
                table["search"]["learn_from"] = sources
                (place / "study.toml").write_text(tomlkit.dumps(table))
                study = beginning.begin(place / "study.toml", place / "workspace")
                learnt(study, Listener())
            if not (place / "workspace" / "selection.json").exists():
                run(study)
            records[way] = study.memory.records()
        before = [*before, str(folder / "learning" / subject.name / "workspace")]
        target = _reached(records["alone"])
        ratios.append(_until(records["learning"], target) / _until(records["alone"], target))
        print(f"  {subject.name}: {ratios[-1]:.2f}", flush=True)
    return ratios


def _reached(records: Sequence[TrialRecord]) -> float:
    """The best objective less its standard error."""
    cards = [card for record in records for card in record.cards if card["objective"] is not None]
    top = max(cards, key=lambda card: float(card["objective"]))
    return float(top["objective"]) - float(top.get("objective_error") or 0.0)


def _report(names: Sequence[str], rows: Sequence[Sequence[float]], unrelated: float | None = None) -> None:
    table = Table(title="images until the target with memory, as a share of those without")
    table.add_column("row")
    for place in range(len(rows[0])):
        table.add_column(f"study {place + 1}", justify="right")
    for name, row in zip(names, rows, strict=True):
        table.add_row(name, *(f"{ratio:.2f}" for ratio in row))
    Console(width=140).print(table)
    figures = {
        "ratio": round(statistics.median(row[-1] for row in rows), 3),
        "ratio_late_mean": round(statistics.fmean(one for row in rows for one in row[len(row) // 2 :]), 3),
        "ratio_worst": round(max(one for row in rows for one in row), 3),
        "unrelated": unrelated,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
