"""The learning-rate probe against a grid of learning rates, on the demonstration set.

Twelve rates train in one pack: AdamW at a constant schedule, the same images in the same order, as many as a trial
of the demonstration's study sees. After every epoch the judge scores all of them on the validation images; each
rate counts with its best epoch. The study's probe then runs on the same plan, three repetitions.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from evaluation.judge import Judge
from evaluation.panel import Panel
from evaluation.rendering import RenderSettings
from evaluation.subject import Subject
from studies.commands.probe import rule
from studies.report.explanation import sentence
from studies.spec.planner import Planner
from studies.study.preflight import examine
from trainer.outcome import Diverged, EpochEnd
from trainer.plan import TrainingPlan
from trainer.seeds import derive
from trainer.training import probe, session
from trainer.training.pack import Pack

TIMESTEPS = 16
"""For each validation image: with fewer, noise decides which of the good rates comes out best."""
QUICKSTART = Path(__file__).resolve().parents[1] / "studies" / "library" / "quickstart.toml"
LOWEST, HIGHEST, RATES = 3e-5, 1.7e-2, 12
REPETITIONS, MOST_STEPS = 3, 600


@dataclass(frozen=True, slots=True)
class Best:
    """The best epoch of one learning rate."""

    rate: float
    ratio: float
    """Validation log ratio: less is better; infinite if the rate never came to an epoch end."""
    error: float
    """Its standard error over the validation images."""
    epoch: int


def main() -> None:
    """Prints the grid, the probe and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=7, help="of everything random  [7]")
    parser.add_argument("--rank", type=int, default=8, help="of the LoRA  [8]")
    parser.add_argument("--alpha-over-rank", type=float, default=1.0, help="the LoRA's scale  [1]")
    parser.add_argument("--batch-size", type=int, default=2, help="images a step  [2]")
    arguments = parser.parse_args()
    spec, dataset = examine(QUICKSTART)
    planner = Planner(spec, dataset, arguments.seed)
    plan = planner.plan(
        {
            "lora.rank": arguments.rank,
            "lora.alpha_over_rank": arguments.alpha_over_rank,
            "data.repeats": 1,
            "data.batch_size": arguments.batch_size,
            "schedule.name": "constant",
            "schedule.warmup_share": 0.0,
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        pack = session.open(plan, dataset, Path(folder), RATES)
        found = probe.follow(pack, plan, REPETITIONS, MOST_STEPS)
        bests = grid(pack, judge_of(pack, TIMESTEPS, arguments.seed), plan)
    _tell(bests, found)


def judge_of(pack: Pack, timesteps: int, seed: int) -> Judge:
    """The study's judge of validation, without pictures."""
    data = pack.data
    size = data.dataset.sizes[0]
    panel = Panel(
        held_out=data.dataset.split.validation,
        seen=(),
        prompts=(),
        timesteps=timesteps,
        seed=derive(seed, "exam", "search"),
        settings=RenderSettings(1, 1.0, *size, ""),
        max_rows=32,
    )
    return Judge(data, pack.bank, panel, None)


def grid(pack: Pack, judge: Judge, plan: TrainingPlan) -> list[Best]:
    """Trains all rates in one pack and scores each at every epoch end."""
    step = (HIGHEST / LOWEST) ** (1 / (RATES - 1))
    bests = [Best(LOWEST * step**i, math.inf, math.nan, 0) for i in range(RATES)]
    for trial, best in enumerate(bests):
        optimiser = plan.optimiser.model_copy(update={"name": "adamw", "unet_lr": best.rate})
        pack.admit(trial, plan.model_copy(update={"optimiser": optimiser}))
    while pack.runs:
        events = pack.step()
        for event in events:
            if isinstance(event, Diverged):
                print(f"{bests[event.trial].rate:.3g} diverged: {sentence(event.trouble)}")
        ends = [event for event in events if isinstance(event, EpochEnd)]
        for end, found in zip(ends, _scored(pack, judge, ends), strict=True):
            if found[0] < bests[end.trial].ratio:
                bests[end.trial] = Best(bests[end.trial].rate, *found, end.epoch)
            if end.last:
                pack.evict(end.trial)
    return bests


def _scored(pack: Pack, judge: Judge, ends: Sequence[EpochEnd]) -> list[tuple[float, float]]:
    if not ends:
        return []
    cards = judge.score([Subject(pack.runs[end.trial].slot, 1) for end in ends])
    return [(card.validation.mean, card.validation.standard_error) for card, _ in cards]


def _tell(bests: Sequence[Best], found: probe.Probe) -> None:
    table = Table(title="best epoch of each learning rate")
    for column in ("learning rate", "validation log ratio", "± se", "epoch"):
        table.add_column(column, justify="right")
    best = min(bests, key=lambda one: one.ratio)
    for one in bests:
        style = "bold" if one is best else ""
        table.add_row(f"{one.rate:.3g}", f"{one.ratio:.4f}", f"{one.error:.4f}", str(one.epoch), style=style)
    console = Console()
    console.print(table)
    for number, course in enumerate(found.courses, start=1):
        state = "flat" if course.plateau.flat else "not flat"
        print(f"repetition {number}: {course.plateau.rate:.3g}, {state} at step {course.plateau.step}")
    print(f"Rule: {rule()}.")
    factor = max(found.rate / best.rate, best.rate / found.rate)
    print(f"Plateau {found.plateau:.3g}, the probe's rate {found.rate:.3g}; the grid's best {best.rate:.3g}.")
    facts = {"probe_lr": found.rate, "grid_best_lr": best.rate, "factor": round(factor, 3)}
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
