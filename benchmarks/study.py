"""The demonstration as one packed study, against the same trials as one process each.

First `lorasearch run` searches the demonstration in a fresh workspace. Then every trial that it trained, with
the same hyperparameters and as many images as it saw there, is trained by benchmarks/solo_trial.py in a process
of its own with plain peft + diffusers (load, encode, train, save every epoch), and every epoch is evaluated
after with the same cells, prompts, seeds and sampling steps. The wall-clock ratio is what packing, the resident
base and the shared caches are worth; nothing is credited for trials that were pruned.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from studies.study.beginning import reopen
from studies.study.run_times import RunTimes
from studies.study.study import Study

ROOT = Path(__file__).resolve().parents[1]
QUICKSTART = ROOT / "studies" / "library" / "quickstart.toml"


def main() -> None:
    """Prints a table and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, help="compare only the first N trials (a quicker look)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        packed, study = _packed(Path(folder) / "packed")
        times = RunTimes.of(study.memory)
        assert times is not None
        trials = study.memory.records()[: arguments.trials]
        alone = [solo(study, record, Path(folder) / f"solo-{record.number}") for record in trials]
    images = sum(record.images_seen for record in study.memory.records())
    compared = sum(record.images_seen for record in trials)
    share = packed * compared / images
    figures = {
        "ratio": round(sum(alone) / share, 2),
        "evaluation_share": round(times.judging / times.wall, 3),
        "packed_seconds": round(packed, 1),
        "solo_seconds": round(sum(alone), 1),
        "trials": len(trials),
        "images": compared,
    }
    table = Table(title="one packed study against one process a trial")
    for column in ("way", "trials", "images", "seconds"):
        table.add_column(column, justify="right")
    table.add_row("packed study", str(len(trials)), str(compared), f"{share:.0f}")
    table.add_row("one process each", str(len(trials)), str(compared), f"{sum(alone):.0f}")
    Console().print(table)
    print(json.dumps(figures))


def _packed(workspace: Path) -> tuple[float, Study]:
    command = [
        sys.executable,
        "-m",
        "studies.cli.main",
        "run",
        str(QUICKSTART),
        "--workspace",
        str(workspace),
    ]
    began = time.perf_counter()
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began, reopen(workspace)


def solo(study: Study, record: Any, folder: Path) -> float:
    """Wall-clock seconds of one trial in a process of its own."""
    task = {
        "workspace": str(study.workspace.root),
        "trial": record.number,
        "epochs": len(record.cards),
        "folder": str(folder),
    }
    began = time.perf_counter()
    script = ROOT / "benchmarks" / "solo_trial.py"
    done = subprocess.run(
        [sys.executable, str(script), json.dumps(task)], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"trial {record.number} failed alone:\n{done.stderr}")
    seconds = time.perf_counter() - began
    print(
        f"trial {record.number}: {record.images_seen} images, {len(record.cards)} epochs, {seconds:.1f} s alone"
    )
    return seconds


if __name__ == "__main__":
    main()
