"""How far the chosen checkpoint is from the best one, by two truths, on pictures that no choice has seen.

Of every study of `benchmarks/truth.py`, each checkpoint of each trial is judged again on the pictures that were kept
back, with far more renders than the search had: its own truth. The eyes of that benchmark are the other. The regret
of a choice is its distance from the best checkpoint, as a share of the range between the best and the worst. Beside
lorasearch's choice stand the ways by which people choose.

    .venv/bin/python -m benchmarks.regret --folder .micro/truth

Studies are shared with `benchmarks/truth.py`; what is finished is kept in the folder.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.kept_back import judged_again
from benchmarks.truth import Judged, seen
from benchmarks.truth_studies import Key
from benchmarks.truth_subjects import SUBJECTS
from evaluation.scorecard import ScoreCard
from studies.errors import quiet
from studies.selection.rule import Rule
from studies.study.study import UNITS
from studies.study.trial import Checkpoint, read_trials
from trainer.files import write_whole

OURS = "lorasearch"


@dataclass(frozen=True)
class Regrets:
    """Of every way to choose in one study, shares of the range."""

    own: Mapping[str, float]
    independent: Mapping[str, float]


def main() -> None:
    """Prints two tables and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(".micro/truth"), help="keeps what is finished")
    parser.add_argument(
        "--only", nargs="*", default=[], help="names of subjects; else those that chose no rule"
    )
    arguments = parser.parse_args()
    quiet()
    wanted = [s for s in SUBJECTS if (s.name in arguments.only if arguments.only else not s.chooses)]
    found = [_regrets(seen(subject, arguments.folder.resolve()), arguments.folder) for subject in wanted]
    own = _print("by the objective on the pictures kept back", [one.own for one in found])
    other = _print("by eyes that chose nothing", [one.independent for one in found])
    ours, independent = own.pop(OURS), other.pop(OURS)
    figures = {**ours, "studies": len(found), "baselines": own}
    figures |= {f"independent_{name}": value for name, value in independent.items()}
    print(json.dumps(figures | {"independent_baselines": other}))


def _print(title: str, found: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    table = Table(title=f"regret in per cent of the range between best and worst checkpoint, {title}")
    table.add_column("choice")
    for column in ("median", "worst", "mean"):
        table.add_column(column, justify="right")
    table.add_column("by study")
    figures = {}
    for name in found[0]:
        values = [100 * regrets[name] for regrets in found]
        summary = (statistics.median(values), max(values), statistics.fmean(values))
        figures[name] = {"median": round(summary[0], 2), "worst": round(summary[1], 2)}
        table.add_row(name, *(f"{v:.1f}" for v in summary), " ".join(f"{v:.0f}" for v in values))
    Console(width=120).print(table)
    return figures


def _regrets(one: Judged, folder: Path) -> Regrets:
    rule = Rule.of(one.study.spec, one.study.memory.recall(UNITS))
    own = {key: rule.objective(card).mean for key, card in _again(one, folder).items()}
    independent = {key: -one.figure(key) for key in own}
    picks = {OURS: one.selection.winner.key, **{name: choose(one) for name, choose in CHOICES.items()}}
    return Regrets(_shares(own, picks), _shares(independent, picks))


def _shares(figures: Mapping[Key, float], picks: Mapping[str, Key]) -> dict[str, float]:
    """Regrets where more is better."""
    high, low = max(figures.values()), min(figures.values())
    return {name: (high - figures[key]) / (high - low) for name, key in picks.items()}


def _again(one: Judged, folder: Path) -> dict[Key, ScoreCard]:
    """Every checkpoint's card on the pictures that were kept back."""
    place = folder / one.subject.name
    kept = place / "kept_back.json"
    if not kept.exists():
        files = {one.study.workspace.root / c.file: c.key for c in one.checkpoints.values()}
        cards = judged_again(list(files), place)
        told = [(*key, card.to_json()) for key, card in zip(files.values(), cards, strict=True)]
        write_whole(kept, json.dumps(told).encode())
    stored = json.loads(kept.read_text())
    return {(trial, epoch): ScoreCard.model_validate(card) for trial, epoch, card in stored}


def _last_of_best(one: Judged) -> Key:
    trials = [trial for trial in read_trials(one.study.memory) if trial.best]
    champion = max(trials, key=lambda trial: trial.objective or 0.0)
    return max(key for key in one.checkpoints if key[0] == champion.number)


def _lowest(figure: Callable[[Checkpoint], float]) -> Callable[[Judged], Key]:
    def choose(one: Judged) -> Key:
        return min((figure(checkpoint), *key) for key, checkpoint in one.checkpoints.items())[1:]

    return choose


def _rise(metric: str) -> Callable[[Checkpoint], float]:
    return lambda checkpoint: checkpoint.scores.metrics[metric].difference.mean


def _best_recipe(one: Judged) -> Key:
    """The last epoch of the recipe with the lowest validation loss there."""
    return min(one.recipes, key=lambda key: _rise("validation")(one.checkpoints[key]))


CHOICES: Mapping[str, Callable[[Judged], Key]] = {
    "last epoch of the best trial": _last_of_best,
    "last epoch of the better recipe": _best_recipe,
    "lowest training loss": _lowest(lambda checkpoint: checkpoint.training_loss or 0.0),
    "lowest validation loss": _lowest(_rise("validation")),
    "highest CLIP image": _lowest(lambda checkpoint: -_rise("clip_image")(checkpoint)),
    "highest CLIP text": _lowest(lambda checkpoint: -_rise("clip_text")(checkpoint)),
    "smallest style distance": _lowest(_rise("style")),
}


if __name__ == "__main__":
    main()
