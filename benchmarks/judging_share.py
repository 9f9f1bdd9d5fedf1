"""What share of a study's time judging takes: in the demonstration, and in three studies as `init` writes them.

    .venv/bin/python -m benchmarks.judging_share

The three are of those of `benchmarks/truth.py`, with 24, 36 and 96 images; artwork that is not in .micro/ is fetched.
Time is the worker's own, training and judging together; loading and writing are left out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.truth_studies import begun, run
from benchmarks.truth_subjects import SUBJECTS
from studies.errors import quiet
from studies.study import beginning

QUICKSTART = Path(__file__).resolve().parents[1] / "studies" / "library" / "quickstart.toml"
NAMES = ("rounded-signs", "outlined-animals", "fluent-nature")
GOAL = 0.15


def main() -> None:
    """Prints a table and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only-demonstration", action="store_true")
    arguments = parser.parse_args()
    quiet()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        seconds = {"demonstration": run(beginning.begin(QUICKSTART, folder / "demonstration"))}
        for subject in SUBJECTS:
            if subject.name in NAMES and not arguments.only_demonstration:
                seconds[subject.name] = run(begun(subject, folder))
    shares = {name: _share(found) for name, found in seconds.items()}
    table = Table(title=f"judging, of the time that a study works; goal {GOAL:.0%}")
    for column in ("study", "training", "judging", "share"):
        table.add_column(column, justify="left" if column == "study" else "right")
    for name, found in seconds.items():
        table.add_row(name, f"{found['training']:.0f} s", f"{found['judging']:.0f} s", f"{shares[name]:.1%}")
    Console().print(table)
    print(json.dumps({"worst": max(shares.values()), **shares}))


def _share(seconds: Mapping[str, float]) -> float:
    return round(seconds["judging"] / sum(seconds.values()), 4)


if __name__ == "__main__":
    main()
