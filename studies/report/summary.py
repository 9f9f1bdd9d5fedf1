"""The verdict in a terminal."""

from __future__ import annotations

from collections import Counter

from evaluation.metrics.table import METRICS
from evaluation.scorecard import ScoreCard
from studies.report import earlier_studies
from studies.report.choice import answer, baselines, earlier_tests, reason
from studies.selection.document import Selection
from studies.study.run_times import RunTimes
from studies.study.study import Study
from studies.text.format import described, error


def summary(study: Study, selection: Selection, times: RunTimes | None) -> str:
    """What was found, why it was chosen, how it does on test images, and where the files are."""
    winner, workspace = selection.winner, study.workspace
    states = Counter(record.state for record in study.memory.records())
    lines = [
        "",
        f"{sum(states.values())} trials ({', '.join(f'{n} {state}' for state, n in sorted(states.items()))}), "
        f"{len(selection.candidates)} checkpoints scored" + (f" in {_time(times.wall)}" if times else ""),
        *titled(selection),
        f"  {described(winner.params)}",
        f"  {reason(selection)}",
    ]
    if selection.test:
        lines += [
            "On test images that the search never used, against the base model:",
            *scores(selection.test),
            *(f"  {line}" for line in baselines(selection)),
            *([f"  {before}"] if (before := earlier_tests(selection)) else []),
        ]
    if learnt := earlier_studies.of_study(study):
        lines.append(f"Earlier studies: {learnt}")
    if times and times.wall:
        share = times.judging / times.wall
        lines.append(f"Time: training {_time(times.training)}, judging {_time(times.judging)} ({share:.0%}).")
    if workspace.best.exists():
        lines += [f"Best file: {workspace.best}", f"Report:    {workspace.report}"]
    return "\n".join(lines)


def titled(selection: Selection) -> list[str]:
    """What the choice comes to, and which checkpoint it is."""
    winner = selection.winner
    title = "Best of what was tried" if selection.refused else "Winner"
    return [
        *([found] if (found := answer(selection)) else []),
        f"{title}: trial {winner.trial}, epoch {winner.epoch} ({winner.images_seen} images seen)",
    ]


def scores(card: ScoreCard) -> list[str]:
    """A line a metric: the difference from the base model with its error, and which sign is better."""
    lines = []
    for name, metric in METRICS.items():
        if found := card.difference(name):
            hint = "positive is better" if metric.direction > 0 else "negative is better"
            figures = f"{found.mean:+.{metric.digits}f} ± {error(found.standard_error, metric.digits)}"
            lines.append(f"  {metric.long:<32} {figures}  ({hint})")
    return lines


def _time(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60:02} s" if seconds >= 60 else f"{seconds:.1f} s"
