"""Images trained until a search finds a checkpoint as good as the best of 24 full random trials.

For each seed, 24 trials drawn at random are trained to their horizon with nothing pruned; the best validation
figure of all their checkpoints is the target. Then each strategy searches the same space on the same data, and the
images that it has trained, in all trials together, also those still in training and those of the learning-rate probe,
are counted up to the moment when a checkpoint reaches the target. The ratio is that count over the images of the random
trials. Every strategy has as many images as those, four trials at a time; one that has spent them in vain counts as
"not reached". Beside it stands the share after which a checkpoint is as good as the target but for its own standard
error: the target is the best of some 200 checkpoints, and the last step to it is luck.

The space is what guides disagree about: every parameter over the values that some guide gives, and learning rates over
a factor of a thousand, as for a base model that nobody knows. The LoRA's moving average is judged, so that a figure
is a configuration's and not one lucky checkpoint's. lorasearch's default is what `init` writes: a Gaussian
process, pruning by pace, trials that end when they are past their best, the guides' recipes first, and a probe that
centres the range.

    .venv/bin/python benchmarks/efficiency.py --seeds 5

With --folder, finished strategies are kept there and not run again.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from studies.commands import init
from studies.engines.engine import Event, Scored
from studies.engines.inline import open_worker
from studies.engines.worker import Worker
from studies.errors import quiet
from studies.runner import preparation
from studies.runner.progress import Listener
from studies.runner.runner import Runner
from studies.spec import toml
from studies.study import beginning, study
from studies.study.probe import remembered
from studies.study.trial import Checkpoint
from trainer.files import write_whole

LIBRARY = Path(__file__).resolve().parents[1] / "studies" / "library"
TRIALS = 24
HORIZON = 896
EPOCH = 84
"""Images: 42 to train on, two repeats."""
PACK = 4
SPACE: dict[str, dict[str, Any]] = {
    "optimiser.unet_lr": {"low": 1e-5, "high": 1e-2, "log": True},
    "optimiser.name": {"choices": ["adamw", "lion"]},
    "schedule.name": {"choices": ["constant_with_warmup", "cosine", "linear"]},
    "lora.rank": {"choices": [4, 8, 16, 32]},
    "lora.alpha_over_rank": {"choices": [0.0625, 0.25, 0.5, 1.0]},
    "lora.dropout": {"low": 0.0, "high": 0.3},
    "lora.text_encoder": {"choices": [True, False]},
    "optimiser.text_lr_over_unet_lr": {"low": 0.1, "high": 0.5, "when": {"lora.text_encoder": True}},
    "data.repeats": {"choices": [2, 4]},
    "data.batch_size": {"choices": [1, 2, 4, 8]},
    "noise.offset": {"low": 0.0, "high": 0.5},
    "noise.min_snr_gamma": {"low": 1.0, "high": 20.0, "log": True},
}
"""What the guides give, one or the other (see docs/parameters.md)."""
UNSAID = {"data.repeats": 2, "lora.dropout": 0.0, "schedule.name": "constant_with_warmup"}
"""What the recipes leave open, as their guides have it."""
APART = 1000
"""Added to the seed of a search's draws, so that it does not begin with the very trials that set its target."""
RANDOM = "random, no pruning"
DEFAULT = "lorasearch's default"
LAST_TOLD = "TPE, epochs searched, last checkpoint told"

Table_ = dict[str, Any]
Opener = Callable[..., Any]
"""Makes an engine of a study, a workspace, images, a seed and who counts steps."""


class Reached(Exception):
    """A checkpoint is as good as the target, or all images are spent."""


class Counter(Listener):
    """Counts images and ends the search when it has its checkpoint.

    Args:
        target: validation figure to reach; lower is better.
        limit: images after which the search has failed.
    """

    def __init__(self, target: float, limit: float) -> None:
        self.target, self.limit = target, limit
        self.images, self.best = 0, math.inf
        self.near: int | None = None
        """Images until a checkpoint reached the target but for its standard error."""

    def stepped(self, images: int, loss: float) -> None:
        """Counts."""
        self.images += images
        if self.images >= self.limit:
            raise Reached

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Compares."""
        found = checkpoint.scores.validation
        self.best = min(self.best, found.mean)
        if self.near is None and found.mean <= self.target + found.standard_error:
            self.near = self.images
        if self.best <= self.target:
            raise Reached


class LastTold:
    """A worker that tells of a trial's last checkpoint only, as scripts do that sample the number of epochs."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._worker, name)

    def advance(self) -> list[Event]:
        """Without the checkpoints before the last."""
        return [event for event in self._worker.advance() if not isinstance(event, Scored) or event.last]


def _open_last_told(*opened: Any) -> LastTold:
    return LastTold(open_worker(*opened))


def main() -> None:
    """Prints a table and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keeps what is finished")
    parser.add_argument("--only", help="one strategy")
    arguments = parser.parse_args()
    quiet()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    names = [name for name in STRATEGIES if arguments.only in (None, name)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = (arguments.folder or Path(scratch)).resolve()
        ratios: dict[str, list[float]] = {name: [] for name in names}
        near: dict[str, list[float]] = {name: [] for name in names}
        for seed in seeds:
            random = _outcome(folder, RANDOM, seed, -math.inf, math.inf)
            for name in names:
                found = _outcome(folder, name, seed, random["best"], random["images"])
                reached = found["best"] <= random["best"]
                ratios[name].append(found["images"] / random["images"] if reached else math.inf)
                near[name].append(math.inf if found["near"] is None else found["near"] / random["images"])
                print(
                    f"seed {seed}: {name}: {_shown(ratios[name][-1])} (best {found['best']:.4f}, "
                    f"random {random['best']:.4f}; within its error {_shown(near[name][-1])})",
                    flush=True,
                )
    _print(ratios, near)


def _print(ratios: Mapping[str, list[float]], near: Mapping[str, list[float]]) -> None:
    table = Table(
        title=f"images until the best of {TRIALS} full random trials is reached, as a share of theirs"
    )
    for column in ("strategy", "median", "by seed", "within the error"):
        table.add_column(column)
    for name, found in ratios.items():
        table.add_row(
            name,
            _shown(statistics.median(found)),
            *(" ".join(map(_shown, each)) for each in (found, near[name])),
        )
    Console().print(table)
    own, close = ratios.get(DEFAULT, [math.inf]), near.get(DEFAULT, [math.inf])
    figures = {
        "ratio_median": _plain(statistics.median(own)),
        "ratio_worst": _plain(max(own)),
        "unreached": sum(map(math.isinf, own)),
        "near_median": _plain(statistics.median(close)),
        "near_worst": _plain(max(close)),
        "medians": {name: _plain(statistics.median(found)) for name, found in ratios.items()},
    }
    print(json.dumps(figures))


def _shown(ratio: float) -> str:
    return f"{ratio:.2f}" if math.isfinite(ratio) else "not reached"


def _plain(ratio: float) -> float | None:
    return round(ratio, 3) if math.isfinite(ratio) else None


def _outcome(folder: Path, name: str, seed: int, target: float, limit: float) -> Table_:
    """What a strategy trained and found; read from ``folder`` if it stands there."""
    kept = folder / f"{name.replace(' ', '-')}-{seed}.json"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as scratch:
            found = _search(Path(scratch), name, seed, Counter(target, limit))
        write_whole(
            kept, json.dumps({"images": found.images, "best": found.best, "near": found.near}).encode()
        )
    found: Table_ = json.loads(kept.read_text())
    return found


def _search(folder: Path, name: str, seed: int, counter: Counter) -> Counter:
    """Searches until the counter has enough or the images are spent."""
    table = as_init_writes(folder, seed)
    table["budget"] |= {"trials": TRIALS} if name == RANDOM else {"images": int(counter.limit)}
    engine = STRATEGIES.get(name, _random)(table)
    path = folder / "study.toml"
    path.write_text(written(table))
    opened = beginning.begin(path, folder / "workspace")
    worker = engine(opened.spec, opened.workspace, opened.dataset, opened.seed, counter.stepped)
    worker.limit_pack(2 * PACK if name == RANDOM else PACK)
    opened = preparation.probed(opened, worker, counter)
    counter.images += probed_images(opened)
    drawn = opened if name == RANDOM else replace(opened, seed=opened.seed + APART)
    with suppress(Reached):
        Runner(drawn, worker, counter).search()
    return counter


def probed_images(opened: study.Study) -> int:
    """Images that the probe has trained."""
    found = remembered(opened.memory)
    batch = opened.spec.first[0].get("data.batch_size", 1) if opened.spec.first else 1
    return sum(len(course.rates) for course in found.courses) * int(batch) if found else 0


def as_init_writes(folder: Path, seed: int) -> Table_:
    """What `lorasearch init` writes for the demonstration, over the guides' space and judged by validation alone."""
    assets = LIBRARY / "assets"
    file = folder / "init.toml"
    init.start(assets / "demo", str(assets / "micro-sd"), str(assets / "micro-clip"), file, None)
    table = tomllib.loads(file.read_text())
    table["study"] = {"name": "efficiency", "seed": seed}
    table["plan"]["ema"] = {"decay": 0.98}
    del table["plan"]["data"]["repeats"], table["plan"]["schedule"]["name"], table["samples"]
    table["budget"] |= {"images_per_trial": HORIZON}
    del table["budget"]["trials"]
    table["search"]["space"] = dict(SPACE)
    table["first"] = [_by_share(recipe) | UNSAID for recipe in table["first"]]
    table["judge"] = {"prompt_count": 0, "timesteps": 8, "seen_images": 0}
    table["objective"] = {"validation": 1.0}
    table["pack"] = {"size": 2 * PACK}
    return table


def _by_share(recipe: Table_) -> Table_:
    """A recipe with alpha as the guides' space above has it."""
    alpha, rank = recipe["lora.alpha"], recipe["lora.rank"]
    return {name: value for name, value in recipe.items() if name != "lora.alpha"} | {
        "lora.alpha_over_rank": alpha / rank
    }


def _ours(table: Table_) -> Opener:
    return open_worker


def _plainly(table: Table_, sampler: str, pruner: str) -> Opener:
    """Optuna as it comes: a sampler and a pruner, no recipe, no probe, every trial to its end if it is not pruned."""
    table["search"] |= {"sampler": sampler, "pruner": {"name": pruner}}
    table["budget"]["checkpoints_without_gain"] = 0
    table["probe"] = {"enabled": False}
    table["first"] = []
    return open_worker


_random = partial(_plainly, sampler="random", pruner="none")


def _last_told(table: Table_) -> Opener:
    _plainly(table, "tpe", "none")
    table["plan"]["data"]["repeats"] = 2
    del table["search"]["space"]["data.repeats"]
    table["search"]["space"]["data.epochs"] = {"low": 1, "high": HORIZON // EPOCH}
    return _open_last_told


def written(table: Table_) -> str:
    """A study file of these tables; ``first`` is taken out."""
    text = "".join(toml.section("[[first]]", recipe) for recipe in table.pop("first"))
    return "".join(toml.section(f"[{name}]", entries) for name, entries in table.items()) + text


STRATEGIES: dict[str, Callable[[Table_], Opener]] = {
    DEFAULT: _ours,
    "TPE, no pruning": partial(_plainly, sampler="tpe", pruner="none"),
    "TPE, median pruner": partial(_plainly, sampler="tpe", pruner="median"),
    LAST_TOLD: _last_told,
}
"""Each changes the study to its own and says who trains it."""


if __name__ == "__main__":
    main()
