"""Whether the choice holds by a truth that is not its own: eyes that no judge uses, on captions no study has seen.

Studies as `init` writes them, cut to twelve trials of 780 images, on styles and photographs that the micro base has not
seen. Every checkpoint draws 32 captions that were kept back, twice each; an ImageNet network compares them with
the pictures that were kept back (`truth_eyes.py`). Its figure is the mean of two distances, times 100, lower is better:
content (pooled features, picture by picture) and style (Gram matrices of early layers, set by set).

    pip install -c constraints.txt -e '.[tools]'
    .venv/bin/python -m benchmarks.truth --folder .micro/truth

Twenty-six studies chose the rules, fifteen test them (`truth_subjects.py`); the last line is about those of the
fifteen that were asked for, or says that it is no evidence. Everything is kept in the folder and made once, so that a
run that was stopped goes on, and other rules are replayed without training (--replay).
With --grids, a sheet of pictures for the eye is written for each study before any figure is printed.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr
from torch import Tensor

from benchmarks.truth_eyes import Seen, content_distance, style_distance
from benchmarks.truth_studies import BASE, MICRO, SEEDS, Key, Truth, finished, judged, noise_of, told, usable
from benchmarks.truth_subjects import SUBJECTS, Subject
from evaluation.scorecard import ScoreCard
from search.selection import CLEAR, Candidate, Preference, steadied
from studies.errors import quiet
from studies.selection import document
from studies.selection.rule import Rule
from studies.study.study import UNITS, Study
from studies.study.trial import Checkpoint

RESAMPLES = 200
HALVES = 6
"""How often captions are cut into two halves."""
BEFORE = {"validation": 1.0, "clip_image": 0.5}
"""Weights of the rule before this benchmark was, in units of noise."""


def main() -> None:
    """Prints two tables and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(".micro/truth"), help="keeps what is finished")
    parser.add_argument("--only", nargs="*", default=[], help="names of subjects")
    parser.add_argument("--replay", action="store_true", help="show what other weights would have chosen")
    parser.add_argument("--grids", action="store_true", help="write pictures for the eye")
    arguments = parser.parse_args()
    quiet()
    chosen = [subject for subject in SUBJECTS if not arguments.only or subject.name in arguments.only]
    found = [seen(subject, arguments.folder.resolve()) for subject in chosen]
    if arguments.grids:
        for one in found:
            print(one.grid(arguments.folder / f"{one.subject.name}.png"))
    _by_study(found)
    if arguments.replay:
        for much in (True, False):
            _by_weights(found, much)
    evidence = [one for one in found if not one.subject.chooses]
    figures = {name: _figures([_outcome(one, name) for one in evidence or found]) for name in RULES}
    _by_rule(figures, bool(evidence))
    ours = figures.pop(OURS)
    print(
        json.dumps(
            {
                **ours,
                "reliability_median": round(
                    statistics.median(one.reliability for one in evidence or found), 3
                ),
                "studies": len(evidence or found),
                "evidence": bool(evidence),
                "rules": figures,
            }
        )
    )


@dataclass(frozen=True)
class Judged:
    """One study beside what the eyes saw of it."""

    subject: Subject
    study: Study
    truth: Truth
    noise: Mapping[str, float]
    place: Path
    """Where all of it is kept."""

    @cached_property
    def cards(self) -> Mapping[Key, ScoreCard]:
        """Every checkpoint's, of many renders."""
        return {key: card for key, (card, _) in judged(self.study, self.place).items() if card}

    @cached_property
    def checkpoints(self) -> Mapping[Key, Checkpoint]:
        """Every usable one."""
        return {one.key: one for one in usable(self.study)}

    @cached_property
    def selection(self) -> document.Selection:
        """What the study chose."""
        found = document.read(self.study.workspace)
        assert found is not None
        return found

    @cached_property
    def recipes(self) -> list[Key]:
        """The guides' recipes at their last epochs."""
        count = len(self.study.spec.first)
        return [max(key for key in self.checkpoints if key[0] == trial) for trial in range(count)]

    @cached_property
    def shares(self) -> Tensor:
        """How much each caption counts: all alike, then as they are drawn with replacement; rows add up to 1."""
        count = len(self.truth.real.content)
        drawn = torch.randint(count, (RESAMPLES, count), generator=torch.Generator().manual_seed(0))
        rows = torch.nn.functional.one_hot(drawn, count).sum(dim=1)
        return torch.cat([torch.ones(1, count), rows]) / count

    @cached_property
    def distances(self) -> Mapping[Key, Tensor]:
        """The eyes' figure of each checkpoint and of the base, by draw of captions: shape (1 + resamples,)."""
        return {key: self._by(self.shares, seen.mean(SEEDS)) for key, seen in self.truth.seen.items()}

    def _by(self, shares: Tensor, seen: Seen) -> Tensor:
        """A figure for each row of shares."""
        real = self.truth.real
        return 50 * (shares @ content_distance(seen, real) + style_distance(seen, real, shares))

    def figure(self, key: Key) -> float:
        """The eyes' figure, lower is better."""
        return float(self.distances[key][0])

    def regret(self, key: Key) -> float:
        """How far one is from the best, as a share of the range between the best and the worst."""
        figures = [self.figure(other) for other in self.checkpoints]
        return (self.figure(key) - min(figures)) / (max(figures) - min(figures))

    def regret_in_errors(self, key: Key) -> float:
        """How far one is from the best, in standard errors of a checkpoint's figure."""
        errors = [float(self.distances[other][1:].std()) for other in self.checkpoints]
        return (self.figure(key) - min(map(self.figure, self.checkpoints))) / statistics.median(errors)

    @cached_property
    def reliability(self) -> float:
        """How well the eyes' ranks agree with themselves, between halves of the captions: mean over draws, stepped up
        to the whole (Spearman-Brown). No rule's ranks can be expected to agree better than its square root."""
        count, generator = len(self.truth.real.content), torch.Generator().manual_seed(1)
        found = []
        for _ in range(HALVES):
            order = torch.randperm(count, generator=generator)
            halves = torch.zeros(2, count)
            halves[0, order[: count // 2]] = halves[1, order[count // 2 :]] = 1
            shares = halves / halves.sum(dim=1, keepdim=True)
            figures = [self._by(shares, self.truth.seen[key].mean(SEEDS)) for key in self.checkpoints]
            found.append(float(spearmanr(*torch.stack(figures).T).statistic))
        half = statistics.fmean(found)
        return 2 * half / (1 + half)

    def ahead(self, key: Key, other: Key) -> tuple[float, float]:
        """By how much one is better than another, and the error of that."""
        gain = self.distances[other] - self.distances[key]
        return float(gain[0]), float(gain[1:].std())

    def grid(self, path: Path) -> Path:
        """A sheet: what was kept back, base, recipes, choice, and the best by the eyes."""
        best = min(self.checkpoints, key=self.figure)
        return self.sheet(path, [BASE, *self.recipes, self.selection.winner.key, best])

    def sheet(self, path: Path, keys: Sequence[Key]) -> Path:
        """What was kept back, and below it what some checkpoints draw."""
        real = sorted((path.parent / self.subject.name / "kept_back").glob("*.png"))[:16]
        sheet = Image.new("RGB", (66 * len(real), 66 * (1 + len(keys))), "white")
        for column, picture in enumerate(real):
            sheet.paste(Image.open(picture).convert("RGB"), (66 * column, 0))
            for row, key in enumerate(keys, 1):
                sheet.paste(Image.fromarray(self.truth.pictures[key][0, column]), (66 * column, 66 * row))
        sheet.save(path)
        return path


def seen(subject: Subject, folder: Path, base: str = MICRO) -> Judged:
    """A subject's study on a shipped base, run and looked at; what is kept in the folder is not made again."""
    study = finished(subject, folder, base)
    place = folder / subject.name
    return Judged(subject, study, told(subject, study, folder), noise_of(subject, study, folder), place)


OURS = "lorasearch"


def _ours(one: Judged) -> Key:
    return one.selection.winner.key


def _by(weights: Mapping[str, float], noisy: bool = False) -> Callable[[Judged], Key]:
    """The best by the search's scores with other weights; the rule of before gave half an error for earliness."""

    def choose(one: Judged) -> Key:
        return Preference(earlier=0.5 if noisy else 0.0).choose(_candidates(one, weights, noisy)).key

    return choose


def _candidates(
    one: Judged, weights: Mapping[str, float], noisy: bool = False, much: bool = False
) -> list[Candidate]:
    """All checkpoints, by the search's scores, or by those of many renders."""
    rule = Rule.of(one.study.spec, one.noise if noisy else one.study.memory.recall(UNITS))
    rule = rule.model_copy(update={"weights": dict(weights)})
    cards = one.cards if much else {}
    return [rule.candidate(checkpoint, cards.get(key)) for key, checkpoint in one.checkpoints.items()]


def _last(one: Judged) -> Key:
    """The last epoch of the trial that has the best checkpoint by the rule."""
    best = max(_candidates(one, one.study.spec.objective), key=lambda found: found.objective.mean)
    return max(key for key in one.checkpoints if key[0] == best.trial)


WEIGHED: Mapping[str, tuple[Mapping[str, float], bool]] = {
    "the rule of before": (BEFORE, True),
    "lowest validation loss": ({"validation": 1.0}, False),
    "highest CLIP image": ({"clip_image": 1.0}, False),
}
"""Rules by their weights, and whether these are in units of noise."""
RULES: Mapping[str, Callable[[Judged], Key]] = {
    OURS: _ours,
    **{name: _by(*how) for name, how in WEIGHED.items()},
    "last epoch": _last,
}
REPLAYED = {
    "style 1, CLIP image 0.25": ({"style": 1.0, "clip_image": 0.25}, False),
    "style alone": ({"style": 1.0}, False),
    **WEIGHED,
}


@dataclass(frozen=True)
class Outcome:
    """How one choice fared in one study."""

    recipes: Sequence[tuple[float, float]]
    """By how much it is better than each recipe's last epoch, with the error."""
    base: tuple[float, float]
    regret: float
    """Share of the range between best and worst checkpoint."""
    regret_in_errors: float
    correlation: float
    """Of ranks, between the rule's figures and the eyes'."""

    @property
    def worst(self) -> tuple[float, float]:
        """Against the recipe that it fares worst against."""
        return min(self.recipes, key=lambda pair: pair[0] / pair[1] if pair[1] else math.inf)


def _outcome(one: Judged, rule: str) -> Outcome:
    key = RULES[rule](one)
    rivals = [recipe for recipe in one.recipes if recipe != key]
    return Outcome(
        [one.ahead(key, recipe) for recipe in rivals] or [(0.0, 0.0)],
        one.ahead(key, BASE),
        one.regret(key),
        one.regret_in_errors(key),
        _correlation(one, rule),
    )


def _correlation(one: Judged, rule: str) -> float:
    """Of the figures by which a rule ranks; ours steadies them."""
    if rule in WEIGHED:
        return _agreement(one, _candidates(one, *WEIGHED[rule]))
    return _agreement(one, steadied(_candidates(one, one.study.spec.objective)))


def _agreement(one: Judged, ranked: Sequence[Candidate]) -> float:
    """The rank correlation of candidates' objectives with the eyes' figures."""
    found = spearmanr([c.objective.mean for c in ranked], [-one.figure(c.key) for c in ranked])
    return float(found.statistic)


def _figures(outcomes: Sequence[Outcome]) -> dict[str, float]:
    count = len(outcomes)

    def share(holds: Callable[[tuple[float, float]], bool], of: Sequence[tuple[float, float]]) -> float:
        return round(sum(map(holds, of)) / count, 4)

    against = [one.worst for one in outcomes]
    regrets = [100 * one.regret for one in outcomes]
    return {
        "better_than_recipe": share(lambda pair: pair[0] > CLEAR * pair[1], against),
        "cannot_tell": share(lambda pair: abs(pair[0]) <= CLEAR * pair[1], against),
        "worse_than_recipe": share(lambda pair: pair[0] < -CLEAR * pair[1], against),
        "better_than_base": share(lambda pair: pair[0] > CLEAR * pair[1], [one.base for one in outcomes]),
        "rank_correlation_median": round(statistics.median(one.correlation for one in outcomes), 3),
        "regret_median": round(statistics.median(regrets), 1),
        "regret_worst": round(max(regrets), 1),
        "regret_in_errors_median": round(statistics.median(one.regret_in_errors for one in outcomes), 2),
        "regret_in_errors_worst": round(max(one.regret_in_errors for one in outcomes), 2),
    }


def _by_study(found: Sequence[Judged]) -> None:
    table = Table(
        title="distance from pictures that were kept back, by eyes that chose nothing; lower is better"
    )
    for column in (
        "study",
        "images",
        "base",
        "recipe 1",
        "recipe 2",
        "chosen",
        "best",
        "ranks",
        "eyes' own",
        "regret %",
    ):
        table.add_column(column, justify="left" if column == "study" else "right")
    for one in found:
        chosen, outcome = _ours(one), _outcome(one, OURS)
        recipes = [f"{one.figure(key):.1f}" for key in one.recipes]
        gain, error = outcome.worst
        table.add_row(
            one.subject.name + ("" if one.subject.chooses else " *"),
            str(one.subject.images),
            f"{one.figure(BASE):.1f}",
            *recipes,
            f"{one.figure(chosen):.1f} ({gain:+.1f} ± {error:.1f})",
            f"{min(map(one.figure, one.checkpoints)):.1f}",
            f"{outcome.correlation:.2f}",
            f"{one.reliability:.2f}",
            f"{100 * outcome.regret:.1f}",
        )
    table.caption = (
        "* chose no rule; in brackets by how much the chosen one is better than the better-matched recipe; "
        "eyes' own: how well the ranks by the eyes agree with themselves, whose root bounds all ranks"
    )
    Console(width=120).print(table)


def _by_weights(found: Sequence[Judged], much: bool) -> None:
    """What other weights would have chosen in each study, in the order of the studies."""
    table = Table(title="judged by many renders" if much else "judged as in the search")
    for column in ("weights", "ranks", "regret %", "errors ahead of the better recipe"):
        table.add_column(column)
    for name, (weights, noisy) in REPLAYED.items():
        ranks, regrets, ahead = [], [], []
        for one in found:
            ranked = _candidates(one, weights, noisy, much)
            key = max(ranked, key=lambda candidate: candidate.objective.mean).key
            gain, error = one.ahead(key, min(one.recipes, key=one.figure))
            ranks.append(f"{_agreement(one, ranked):.2f}")
            regrets.append(f"{100 * one.regret(key):.1f}")
            ahead.append(f"{gain / error if error else 0.0:+.1f}")
        table.add_row(name, *(" ".join(column) for column in (ranks, regrets, ahead)))
    Console(width=120).print(table)


def _by_rule(figures: Mapping[str, Mapping[str, float]], evidence: bool) -> None:
    which = "that chose nothing" if evidence else "that chose the rules: no evidence"
    table = Table(title=f"by rule, on the studies {which}")
    table.add_column("rule")
    for name in figures[OURS]:
        table.add_column(name.replace("_", " "), justify="right")
    for rule, values in figures.items():
        table.add_row(rule, *(f"{value:g}" for value in values.values()))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
