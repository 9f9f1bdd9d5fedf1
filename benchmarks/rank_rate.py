"""How far the best learning rate moves when the rank changes, by the way in which the LoRA's scale is written.

Three ways to hold something fixed while ranks go from 4 to 64: the scale itself (``lora.alpha_over_rank``, what
studies searched before ``lora.alpha``), alpha (the scale falls as 1 / rank), and alpha under rsLoRA (it falls as
1 / sqrt(rank)). For each, and each rank, rates over seven octaves are trained on the demonstration; the best rate is
the vertex of the parabola through the lowest validation figure and its neighbours. `octaves` is how far apart the
ranks' best rates lie: 0 is a rate that can be kept when the rank changes.

    .venv/bin/python -m benchmarks.rank_rate
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.efficiency import as_init_writes, written
from studies.engines.inline import open_worker
from studies.errors import quiet
from studies.runner.progress import Listener
from studies.runner.runner import Runner
from studies.study import beginning
from studies.study.trial import read_trials

RANKS = (4, 16, 64)
ALPHA = 4.0
RATES = tuple(2e-4 * 2**step for step in range(8))
HORIZON = 504
"""Images a trial: the demonstration's 42, twelve times; every second time a checkpoint."""
WAYS: Mapping[str, Mapping[str, Any]] = {
    "scale fixed": {"lora.scaling": "alpha/rank", "alpha": lambda rank: ALPHA / 16},
    "alpha fixed": {"lora.scaling": "alpha/rank", "alpha": lambda rank: ALPHA / rank},
    "alpha fixed, rsLoRA": {"lora.scaling": "alpha/sqrt(rank)", "alpha": lambda rank: ALPHA / rank},
}
"""What is fixed -> the scaling, and alpha over the rank; all alike at rank 16, but for rsLoRA's fourfold scale."""

Recipe = dict[str, Any]


def main() -> None:
    """Prints a table and, last, one JSON object."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    quiet()
    recipes = {
        (way, rank, rate): _recipe(way, rank, rate) for way in WAYS for rank in RANKS for rate in RATES
    }
    with tempfile.TemporaryDirectory() as scratch:
        found = dict(zip(recipes, _trained(Path(scratch), list(recipes.values())), strict=True))
    table = Table(title="best learning rate by rank, and the validation figure there")
    for column in ("fixed", *(f"rank {rank}" for rank in RANKS), "octaves apart"):
        table.add_column(column, justify="right")
    octaves = {}
    for way in WAYS:
        best = [_vertex([found[way, rank, rate] for rate in RATES]) for rank in RANKS]
        octaves[way] = max(place for place, _ in best) - min(place for place, _ in best)
        shown = (f"{2e-4 * 2**place:.1e} ({low:.3f})" for place, low in best)
        table.add_row(way, *shown, f"{octaves[way]:.1f}")
    Console(width=120).print(table)
    print(json.dumps({"octaves": {way: round(value, 2) for way, value in octaves.items()}}))


def _recipe(way: str, rank: int, rate: float) -> Recipe:
    own = WAYS[way]
    return {
        "lora.scaling": own["lora.scaling"],
        "lora.alpha_over_rank": own["alpha"](rank),
        "lora.rank": rank,
        "optimiser.unet_lr": rate,
    }


def _trained(folder: Path, recipes: list[Recipe]) -> list[float]:
    """The lowest validation figure of each recipe's checkpoints."""
    table = as_init_writes(folder, seed=0)
    table["budget"] = {"trials": len(recipes), "images_per_trial": HORIZON, "checkpoints_without_gain": 0}
    table["search"] = {"sampler": "random", "pruner": {"name": "none"}, "space": _space()}
    table["probe"] = {"enabled": False}
    table["plan"]["data"]["repeats"] = 2
    table["first"] = recipes
    path = folder / "study.toml"
    path.write_text(written(table))
    study = beginning.begin(path, folder / "workspace")
    watch = Listener()
    worker = open_worker(study.spec, study.workspace, study.dataset, study.seed, watch.stepped)
    Runner(study, worker, watch).search()
    trials = sorted(read_trials(study.memory), key=lambda trial: trial.number)
    return [
        min((one.scores.validation.mean for one in trial.checkpoints), default=math.inf) for trial in trials
    ]


def _space() -> Recipe:
    return {
        "optimiser.unet_lr": {"low": RATES[0], "high": RATES[-1], "log": True},
        "lora.rank": {"choices": list(RANKS)},
        "lora.alpha_over_rank": {"low": ALPHA / RANKS[-1], "high": 1.0, "log": True},
        "lora.scaling": {"choices": ["alpha/rank", "alpha/sqrt(rank)"]},
    }


def _vertex(figures: list[float]) -> tuple[float, float]:
    """Where the lowest lies, in octaves from the first rate, and how low; a parabola's if it has two neighbours."""
    at = min(range(len(figures)), key=figures.__getitem__)
    if not 0 < at < len(figures) - 1 or not all(map(math.isfinite, figures[at - 1 : at + 2])):
        return float(at), figures[at]
    before, low, after = figures[at - 1 : at + 2]
    bend = before - 2 * low + after
    shift = 0.5 * (before - after) / bend if bend > 0 else 0.0
    return at + shift, low - 0.25 * (before - after) * shift


if __name__ == "__main__":
    main()
