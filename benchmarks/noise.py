"""Whether the judge's standard errors tell the truth, on the demonstration base and set.

One LoRA is trained for a moment. Then its checkpoint is judged again and again, each time with other noise,
timesteps and render seeds, as in the search. (a) The standard error on one card must cover the spread of the
validation figure over 30 of these. (b) Two measurements of the same checkpoint are compared as selection
compares two checkpoints; no more than 10 % of 200 such comparisons may differ by two standard errors.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from evaluation.scorecard import ScoreCard
from search.selection import Candidate, lead
from search.trial import Proposal
from studies.engines.engine import Scored
from studies.engines.inline import open_worker
from studies.engines.worker import Worker
from studies.errors import quiet
from studies.selection.rule import Rule
from studies.spec.study_file import StudySpec
from studies.study.exam import Exam
from studies.study.preflight import examine
from studies.study.trial import Checkpoint
from studies.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
QUICKSTART = ROOT / "studies" / "library" / "quickstart.toml"
SPREAD_SEEDS = 30
LEVEL = 2.0
"""Standard errors from which a difference is called significant."""


def main() -> None:
    """Prints a table and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--comparisons", type=int, default=200, help="how many null comparisons are made")
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate of the LoRA that is judged")
    arguments = parser.parse_args()
    quiet()
    with tempfile.TemporaryDirectory() as folder:
        spec, worker, units, checkpoint = _trained(Path(folder), arguments.lr)
        cards = _measured(spec, worker, max(arguments.comparisons, SPREAD_SEEDS))
    means = [found.validation.mean for found in cards[:SPREAD_SEEDS]]
    spread = statistics.stdev(means)
    error = statistics.mean(found.validation.standard_error for found in cards[:SPREAD_SEEDS])
    table = Table(title="two measurements of one checkpoint, compared as selection does")
    for column in ("weights", "comparisons", "called significant"):
        table.add_column(column, justify="right")
    shares = {}
    for weights in ({"validation": 1.0}, spec.objective):
        rule = Rule.of(spec, units).model_copy(update={"weights": weights})
        found = [rule.candidate(checkpoint, scores) for scores in cards]
        name = ", ".join(f"{metric} {weight:g}" for metric, weight in weights.items())
        shares[name] = _null_share(found[: arguments.comparisons])
        table.add_row(name, str(arguments.comparisons), f"{shares[name]:.3f}")
    Console().print(table)
    covered = "covers" if error >= spread else "DOES NOT COVER"
    print(
        f"The card's standard error {error:.4f} {covered} the spread {spread:.4f} over {SPREAD_SEEDS} seeds."
    )
    figures = {"spread": spread, "standard_error": error, "null_share": max(shares.values())}
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


def _trained(folder: Path, rate: float) -> tuple[StudySpec, Worker, dict[str, float], Checkpoint]:
    """A worker that has trained one epoch of one trial and let it go, and what its card says of it."""
    spec, dataset = examine(QUICKSTART)
    workspace = Workspace(folder)
    workspace.prepare()
    recipe = {**spec.first[1], "optimiser.unet_lr": rate}
    worker = open_worker(spec, workspace, dataset, 0, lambda images, loss: None)
    units = worker.measure_units()
    worker.admit(Proposal(0, recipe), ())
    events = worker.advance()
    if not isinstance(events[0], Scored):
        sys.exit(f"The LoRA could not be trained: {events[0]}")
    worker.stop(0)
    return spec, worker, units, events[0].checkpoint


def _measured(spec: StudySpec, worker: Worker, count: int) -> list[ScoreCard]:
    """The checkpoint's cards, each with seeds of its own."""
    judge = spec.judge
    exam = Exam("validation", judge.timesteps, judge.prompt_count, judge.seeds_per_prompt, "")
    found = []
    for i in range(count):
        (card,) = worker.examine([(0, 1)], replace(exam, label=f"null {i}"))
        found.append(card)
    return found


def _null_share(found: Sequence[Candidate]) -> float:
    """Share of neighbours, the last with the first, that differ by more than noise is said to explain."""
    leads = [lead(first, second) for first, second in zip(found, (*found[1:], found[0]), strict=True)]
    return sum(abs(ahead.mean) > LEVEL * ahead.standard_error for ahead in leads) / len(leads)


if __name__ == "__main__":
    main()
