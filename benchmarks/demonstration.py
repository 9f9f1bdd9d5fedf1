"""Whether the demonstration's winner is better than the base model by eyes that no judge uses, on pictures never seen.

    pip install -c constraints.txt -e '.[tools]'
    .venv/bin/python -m benchmarks.demonstration [--study quickstart-flow]

Runs the quick start (or goes on with it in the folder), then lets base model, winner and the recipes' last epochs draw
32 Fluent flat pictures that are not in its set; prints their distances (`truth.py`) and writes a sheet for the eye.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.truth import Judged
from benchmarks.truth_studies import BASE, run, told
from benchmarks.truth_subjects import ANIMALS, FLAT, FOOD, OBJECTS, PLACES, Subject, emoji
from studies.errors import quiet
from studies.selection import document
from studies.study import beginning
from studies.study.study import Study

LIBRARY = Path(__file__).resolve().parents[1] / "studies" / "library"
FOLDERS = {"quickstart": "demonstration", "quickstart-flow": "demonstration-flow"}
"""Where each study's truth is kept."""
SUBJECT = Subject("demonstration", "fluentflat", 0, emoji(FLAT, ANIMALS, FOOD, OBJECTS, PLACES), False)


def main() -> None:
    """Prints a table and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(".micro/truth"), help="keeps what is finished")
    parser.add_argument("--study", choices=FOLDERS, default="quickstart")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    quiet()
    subject = replace(SUBJECT, name=FOLDERS[arguments.study])
    study = _finished(subject, folder, LIBRARY / f"{arguments.study}.toml")
    chosen = document.read(study.workspace)
    assert chosen is not None
    keys = {"winner": chosen.winner.key} | {
        f"recipe {i}": one.key for i, one in enumerate(chosen.baselines, 1)
    }
    seen = told(subject, study, folder, set(keys.values()))
    one = Judged(subject, study, seen, {}, folder / subject.name)
    table = Table(title="distance from Fluent flat pictures never seen; lower is better")
    for column in ("", "distance", "winner ahead by"):
        table.add_column(column, justify="right")
    ahead = {}
    for name, key in {"base": BASE, **keys}.items():
        gain, error = ahead[name] = one.ahead(keys["winner"], key)
        table.add_row(
            name, f"{one.figure(key):.1f}", "" if name == "winner" else f"{gain:+.1f} ± {error:.1f}"
        )
    Console().print(table)
    print(f"sheet: {one.sheet(folder / f'{subject.name}.png', [BASE, *keys.values()])}")
    gain, error = ahead["base"]
    print(json.dumps({"ahead_of_base": round(gain, 2), "error": round(error, 2), "better": gain > 2 * error}))


def _finished(subject: Subject, folder: Path, path: Path) -> Study:
    place = folder / subject.name
    study = beginning.begin(path, place / "workspace")
    if not study.workspace.selection.exists():
        run(study)
    if not (place / "kept_back").exists():
        subject.keep_back(place, {_words(example.caption) for example in study.dataset.examples})
    return study


def _words(caption: str) -> str:
    return caption.partition(", ")[2]


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
