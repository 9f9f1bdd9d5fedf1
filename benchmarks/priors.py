"""Whether the tenth study on a base model is cheaper than the first: data sets in a row, each learning from all before.

Every study is searched twice, with `learn_from` and without; the target is the best that the search without memory
finds. The ratio is the images until the search with memory has a checkpoint as good, over those of the search without,
trials counted in the order in which they were begun: paired, because data sets differ in how soon they are learnt. A
study with an empty memory is what the first one of a row is. One that does not reach the target counts with all its
images.

    .venv/bin/python -m benchmarks.priors --folder .micro/truth

Nothing is trained: each stored study of the folder stands for a data set by the curve model over its trials
(`search/curve_model.py`), whose noise is drawn anew for each checkpoint; ten of them stand in a row, in several orders.
With --real FOLDER, the subjects of `benchmarks/truth.py` are trained in a row instead, each twice; hours.
An unrelated memory is one of studies on another base model.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tomlkit
from optuna.distributions import BaseDistribution
from rich.console import Console
from rich.table import Table

from benchmarks.stored_curves import StoredStudy, studies, table_of, widened
from search.curve import best, smooth
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
MEMORY = Path("/dev/shm")
"""Where databases cost least."""

Search = Callable[[Prior, int], list[TrialRecord]]
"""A search of one data set with a memory and a seed."""


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
    found = list(studies(arguments.folder, "objective"))[: ROW * 3]
    spec = _spec(found)
    searches = {one.name: Surrogate(one, spec).search for one in found}
    names = list(searches)
    rows = []
    for order in range(arguments.orders):
        drawn = np.random.default_rng(order).permutation(len(names))[:ROW]
        rows.append(_row([names[place] for place in drawn], searches, spec, order))
        print(f"  order {order}: {' '.join(f'{ratio:.2f}' for ratio in rows[-1])}", flush=True)
    _report([f"order {order}" for order in range(arguments.orders)], rows, _unrelated(searches, spec))


def _row(names: Sequence[str], searches: Mapping[str, Search], spec: StudySpec, seed: int) -> list[float]:
    """The ratios of studies in a row."""
    before: list[EarlierStudy] = []
    ratios = []
    for name in names:
        alone = searches[name](Prior(), seed)
        found = searches[name](prior(before, spec, "base"), seed) if before else alone
        ratios.append(_ratio(found, alone))
        before.append(_earlier(name, found, spec, "base"))
    return ratios


def _unrelated(searches: Mapping[str, Search], spec: StudySpec) -> float:
    """The ratio of a study whose memory is all of another base model."""
    first, second, *_ = searches
    other = _earlier(first, searches[first](Prior(), 0), spec, "another base")
    return _ratio(searches[second](prior([other], spec, "base"), 0), searches[second](Prior(), 0))


def _ratio(found: Sequence[TrialRecord], alone: Sequence[TrialRecord]) -> float:
    target = max(value for record in alone if (value := best(record.curve)) is not None)
    return _until(found, target) / _until(alone, target)


def _until(records: Sequence[TrialRecord], target: float) -> int:
    """Images that trials had seen, one after the other, when a smoothed objective reached the target."""
    images = 0
    for record in records:
        for point in smooth(record.curve):
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
        "search": {"learn_from": "all", "space": {name: table_of(one) for name, one in drawn.items()}},
        "objective": {"validation": 1.0},
    }
    return study_file.parse(tomlkit.dumps(table), Path("/"))


@dataclass(frozen=True)
class Surrogate:
    """A stored study as a data set that can be searched without training."""

    stored: StoredStudy
    spec: StudySpec

    def search(self, memory: Prior, seed: int) -> list[TrialRecord]:
        """As a study would: TPE, pruned by pace, one trial after the other."""
        settings = SearchSettings(
            pruner=PrunerSettings(name="pace", min_images=first_look("pace", HORIZON)),
            budget=self.spec.budget.limits(),
            horizon_images=HORIZON,
            first=memory.recipes,
            lessons=memory.lessons,
        )
        model = CurveModel(
            [Curve(one.number, one.values, one.points) for one in self.stored.trials],
            CurveRows(self.stored.distributions, self.stored.horizon),
        )
        with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as scratch:
            opened = Memory.open(f"sqlite:///{scratch}/search.db", "search", Path(scratch) / "artifacts")
            driver = Driver(opened, self.spec.space, settings, seed, lambda: 0.0)
            while (proposal := driver.ask()) is not None:
                self._train(driver, proposal.number, proposal.values, model, seed)
            return driver.records()

    def _train(
        self, driver: Driver, number: int, values: Mapping[str, Value], model: CurveModel, seed: int
    ) -> None:
        verdict = "continue"
        images = [HORIZON * (place + 1) // CHECKPOINTS for place in range(CHECKPOINTS)]
        scaled = [seen * self.stored.horizon // HORIZON for seen in images]
        expected = model.expected(Curve(-1, values), scaled)
        noise = np.random.default_rng(derived_seed(seed, self.stored.name, number)).normal(size=CHECKPOINTS)
        for epoch, (seen, level, drawn) in enumerate(zip(images, expected, noise, strict=True), 1):
            point = Point(seen, level + model.noise * float(drawn))
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
        ratios.append(_ratio(records["learning"], records["alone"]))
        print(f"  {subject.name}: {ratios[-1]:.2f}", flush=True)
    return ratios


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
