"""How far the chosen checkpoint is from the best one, on images and seeds that no choice has seen.

Each study searches on its own pictures: other styles and subjects than the demonstration's. Afterwards every
checkpoint of every trial is judged again on the study's test images, with far more renders than the search
had: the truth. The regret of a choice is its distance from the best checkpoint in the study's objective, as a share
of the range between the best and the worst. Beside lorasearch's choice stand the ways by which people choose.

    .venv/bin/python benchmarks/regret.py

The artwork is fetched from npm when it is not in .micro/ yet (`tools/artwork.py`). With --folder, finished studies
are kept there and not run again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import artwork  # noqa: E402

from evaluation.scorecard import ScoreCard  # noqa: E402
from search.curve import best  # noqa: E402
from studies.engines.engine import Exam  # noqa: E402
from studies.engines.inline import open_worker  # noqa: E402
from studies.errors import quiet  # noqa: E402
from studies.runner.progress import LineLog  # noqa: E402
from studies.runner.runner import Runner  # noqa: E402
from studies.selection import document  # noqa: E402
from studies.selection.rule import Rule  # noqa: E402
from studies.spec import toml  # noqa: E402
from studies.study import beginning  # noqa: E402
from studies.study.study import UNITS, Study  # noqa: E402
from studies.study.trial import Checkpoint, Trial, read_trials  # noqa: E402
from trainer.files import write_whole  # noqa: E402

LIBRARY = ROOT / "studies" / "library"
IMAGES = 96
TRUTH = Exam("test", 16, 34, 2, "truth", 0)
"""Timesteps an image, prompts, and seeds a prompt: 68 renders a checkpoint, where a search has 4."""
OURS = "lorasearch"
artwork.PACKAGES["openmoji"] = artwork.Package(
    "openmoji",
    "@iconify-json/openmoji",
    "1.2.29",
    "OpenMoji",
    "CC BY-SA 4.0",
    "https://openmoji.org",
)
STYLES = ("fluentflat", "openmoji", "fluent")
"""Those that the micro base has not seen: there is something to learn."""
CATEGORIES = ("Food & Drink", "Objects", "Travel & Places", "Activities", "Animals & Nature")
SUBJECTS = [(STYLES[i % 3], CATEGORIES[i % 5]) for i in range(15)]
"""All pairs of a style and a subject; `confirm.preference` was chosen on the first ten."""

Key = tuple[int, int]
"""Trial and epoch."""


def main() -> None:
    """Prints a table and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=len(SUBJECTS))
    parser.add_argument("--first", type=int, default=0, help="number of the first study")
    parser.add_argument("--folder", type=Path, help="keeps what is finished")
    arguments = parser.parse_args()
    quiet()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (arguments.folder or Path(scratch)).resolve()
        found = [_regrets(folder, number) for number in range(arguments.first, arguments.studies)]
    _print(found)


def _print(found: Sequence[Mapping[str, float]]) -> None:
    table = Table(title="regret in per cent of the range between best and worst checkpoint")
    table.add_column("choice")
    for column in ("median", "worst", "mean"):
        table.add_column(column, justify="right")
    table.add_column("by study")
    figures = {}
    for name in found[0]:
        values = [regrets[name] for regrets in found]
        summary = (statistics.median(values), max(values), statistics.fmean(values))
        figures[name] = {"median": round(summary[0], 4), "worst": round(summary[1], 4)}
        table.add_row(name, *(f"{100 * v:.1f}" for v in summary), " ".join(f"{100 * v:.0f}" for v in values))
    Console().print(table)
    ours = figures.pop(OURS)
    print(json.dumps({**ours, "studies": len(found), "baselines": figures}))


def _regrets(folder: Path, number: int) -> dict[str, float]:
    """The regret of every way to choose in one study."""
    place = folder / f"study-{number}"
    kept = place / "truth.json"
    if not kept.exists():
        write_whole(kept, json.dumps(_truth(place, number)).encode())
    opened = beginning.reopen(place / "workspace")
    rule = Rule.of(opened.spec, opened.memory.recall(UNITS))
    truth = {
        (trial, epoch): rule.objective(ScoreCard.model_validate(scores)).mean
        for trial, epoch, scores in json.loads(kept.read_text())
    }
    high, low = max(truth.values()), min(truth.values())
    regrets = {name: (high - truth[choose(opened)]) / (high - low) for name, choose in CHOICES.items()}
    style, category = SUBJECTS[number]
    shown = ", ".join(f"{name} {100 * regret:.1f}" for name, regret in regrets.items())
    print(f"{number}: {style}, {category}, {len(truth)} checkpoints: {shown}", flush=True)
    return regrets


def _truth(place: Path, number: int) -> list[tuple[int, int, Mapping[str, Any]]]:
    """Runs a study and judges all its checkpoints on the test images: (trial, epoch, scores)."""
    path = _write_study(place, number)
    opened = beginning.begin(path, place / "workspace")
    watch = LineLog(Console(quiet=True))
    worker = open_worker(opened.spec, opened.workspace, opened.dataset, opened.seed, watch.stepped)
    worker.limit_pack(int(opened.spec.pack.size))
    Runner(opened, worker, watch).run()
    keys = [one.key for trial in read_trials(opened.memory) for one in _usable(trial)]
    size, scores = int(opened.spec.pack.size), list[ScoreCard]()
    for start in range(0, len(keys), size):
        scores += worker.examine(keys[start : start + size], TRUTH)
    return [(*key, card.to_json()) for key, card in zip(keys, scores, strict=True)]


def _write_study(place: Path, number: int) -> Path:
    """The pictures and the study file."""
    style, category = SUBJECTS[number]
    folder = place / "images" / f"10_{style}"
    folder.mkdir(parents=True, exist_ok=True)
    kinds = artwork.categories()
    gallery = artwork.gallery(style)
    names = [n for n in gallery.names if kinds.get(n) == category and n not in artwork.DEMO_CONCEPTS]
    chosen = gallery.only(names[:: max(1, len(names) // IMAGES)][:IMAGES])
    for name, picture in zip(chosen.names, chosen.on_white(), strict=True):
        Image.fromarray(picture).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(f"{style} style, {artwork.words(name)}")
    table = tomllib.loads((LIBRARY / "quickstart.toml").read_text())
    table["study"] = {"name": "regret", "seed": 100 + number}
    table["plan"]["base"]["path"] = str(LIBRARY / "assets" / "micro-sd")
    table["plan"]["data"]["folder"] = str(place / "images")
    clip = str(LIBRARY / "assets" / "micro-clip")
    table["judge"] = {"clip": clip, "steps": 6, "guidance": 3.0, "outside_prompt_count": 0}
    table["confirm"] = {"outside_prompt_count": 0}
    table["objective"] = {"validation": 1.0, "clip_image": 0.25}
    table["budget"] = {"trials": 12, "images_per_trial": 384}
    table["split"] = {"validation": 0.25, "test": 0.35}
    table["search"]["pruner"] = {"name": "pace"}
    table["search"]["space"]["data.repeats"] = {"choices": [2, 4]}
    first = "".join(toml.section("[[first]]", recipe) for recipe in table.pop("first"))
    path = place / "study.toml"
    path.write_text("".join(toml.section(f"[{n}]", entries) for n, entries in table.items()) + first)
    return path


def _usable(trial: Trial) -> list[Checkpoint]:
    return [one for one in trial.checkpoints if one.scores.unusable is None]


def _ours(opened: Study) -> Key:
    selection = document.read(opened.workspace)
    assert selection is not None
    return selection.winner.key


def _last_of_best(opened: Study) -> Key:
    trials = [trial for trial in read_trials(opened.memory) if _usable(trial)]
    champion = max(trials, key=lambda trial: best(trial.curve) or 0.0)
    return _usable(champion)[-1].key


def _lowest(figure: Callable[[Checkpoint], float]) -> Callable[[Study], Key]:
    def choose(opened: Study) -> Key:
        return min((figure(c), *c.key) for trial in read_trials(opened.memory) for c in _usable(trial))[1:]

    return choose


def _rise(metric: str) -> Callable[[Checkpoint], float]:
    return lambda checkpoint: checkpoint.scores.metrics[metric].difference.mean


CHOICES: Mapping[str, Callable[[Study], Key]] = {
    OURS: _ours,
    "last epoch of the best trial": _last_of_best,
    "lowest training loss": _lowest(lambda checkpoint: checkpoint.training_loss or 0.0),
    "lowest validation loss": _lowest(_rise("validation")),
    "highest CLIP image": _lowest(lambda checkpoint: -_rise("clip_image")(checkpoint)),
    "highest CLIP text": _lowest(lambda checkpoint: -_rise("clip_text")(checkpoint)),
}


if __name__ == "__main__":
    main()
