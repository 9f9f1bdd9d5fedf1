"""The verdict in a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from evaluation.intervals import Estimate
from studies.report.findings import earlier_tests
from studies.study.study import Study
from studies.text.format import described, error


def summary(study: Study, verdict: Mapping[str, Any], seconds: Mapping[str, float] | None) -> str:
    """What was found, why it was chosen, how it does on test images, and where the files are."""
    winner, workspace = verdict["winner"], study.workspace
    states = Counter(record.state for record in study.memory.records())
    lines = [
        "",
        f"{sum(states.values())} trials ({', '.join(f'{n} {state}' for state, n in sorted(states.items()))}), "
        f"{len(verdict['candidates'])} checkpoints scored"
        + (f" in {_time(seconds['wall'])}" if seconds else ""),
        f"Winner: trial {winner['trial']}, epoch {winner['epoch']} ({winner['images_seen']} images seen)",
        f"  {described(winner['params'])}",
        f"  {winner['reason']}",
    ]
    if verdict["test"]:
        lines += [
            "On test images that the search never used, against the base model:",
            *_scores(verdict["test"]),
            *([f"  {before}"] if (before := earlier_tests(verdict)) else []),
        ]
    if seconds and seconds["wall"]:
        share = seconds["judging"] / seconds["wall"]
        lines.append(
            f"Time: training {_time(seconds['training'])}, judging {_time(seconds['judging'])} ({share:.0%})."
        )
    if workspace.best.exists():
        lines += [f"Best file: {workspace.best}", f"Report:    {workspace.report}"]
    return "\n".join(lines)


def _scores(scores: Mapping[str, Any]) -> list[str]:
    labels = {
        "validation": ("validation loss, mean log ratio", "negative is better", 4),
        "clip_image": ("CLIP image-image similarity", "positive is better", 2),
        "clip_text": ("CLIP text-image similarity", "positive is better", 2),
        "diversity": ("diversity between seeds", "positive is better", 2),
        "memorisation": ("memorisation", "negative is better", 2),
        "flexibility": ("prompts outside the data set", "positive is better", 2),
    }
    lines = []
    for name, (label, hint, digits) in labels.items():
        if scores.get(name):
            found = Estimate.model_validate(scores[name])
            lines.append(
                f"  {label:<32} {found.mean:+.{digits}f} ± {error(found.standard_error, digits)}  ({hint})"
            )
    return lines


def _time(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60:02} s" if seconds >= 60 else f"{seconds:.1f} s"
