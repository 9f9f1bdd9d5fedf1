"""SIGKILLs at random moments over the demonstration's study, each followed by a resume.

The study runs undisturbed, and once more while its process is killed again and again. After every kill each trial that
had ended must still be there as it was, and every file of the workspace must open and be whole. With random
sampling and no pruning, where timing cannot matter, the selection must be the undisturbed one; with the default
sampler and pruner every checkpoint must equal what its plan gives alone, and the chosen one must be within one standard
error of the undisturbed choice.

    .venv/bin/python benchmarks/chaos.py --kills 50
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from safetensors import safe_open

from search.trial import TrialRecord
from studies.spec import toml
from studies.spec.planner import Planner
from studies.study.beginning import reopen
from trainer.lora_files.file import read, slot_keys
from trainer.outcome import EpochEnd
from trainer.training import session
from trainer.training.pack import Pack

LIBRARY = Path(__file__).resolve().parents[1] / "studies" / "library"
ENDED = ("finished", "pruned", "infeasible", "failed")
TOLERANCE = 5e-3
"""Relative 2-norm: files are in half precision, and an update by sign can turn at a gradient of zero."""


@dataclass
class Toll:
    """What the kills have cost."""

    kills: int = 0
    lost: int = 0
    """Ended trials that are gone or have changed."""
    corrupt: int = 0
    """Files that do not open whole."""


@dataclass(frozen=True)
class Comparison:
    """A selection after kills beside the undisturbed one."""

    same: bool
    """Whether the same checkpoint was chosen from the same ones."""
    within: bool
    """Whether the objectives of the chosen ones are within one standard error."""
    moved: float | None
    """Largest difference in the objective of a checkpoint that beats the base model, in its standard errors: a trial
    that goes on in other company is the same to rounding, unless it blows up. None where the checkpoints differ."""


def main() -> None:
    """Prints a table and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="of each study")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--trials", type=int, help="of the study; the demonstration's if not given")
    parser.add_argument(
        "--alone", type=int, default=4, help="trials of the default study trained again alone"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = {
            name: _ordeal(Path(scratch) / name, name, arguments) for name in ("random sampling", "default")
        }
    _print(found)


def _ordeal(folder: Path, name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    folder.mkdir()
    study_file = _study(folder, plain=name == "random sampling", trials=arguments.trials)
    undisturbed, killed = folder / "undisturbed", folder / "killed"
    start_up = _first_checkpoint(study_file, undisturbed)
    toll = disturbed(study_file, killed, arguments.kills, 2 * start_up, random.Random(arguments.seed))
    found = compared(undisturbed, killed)
    apart = 0.0 if name == "random sampling" else worst_apart(killed, arguments.alone)
    return {"toll": toll, "found": found, "apart": apart}


def _print(found: Mapping[str, Mapping[str, Any]]) -> None:
    table = Table(title="a study whose process is killed again and again")
    for column in (
        "study",
        "kills",
        "lost",
        "corrupt",
        "same selection",
        "within one SE",
        "moved, SE",
        "apart from alone",
    ):
        table.add_column(column, justify="left" if column == "study" else "right")
    for name, row in found.items():
        toll, one = row["toll"], row["found"]
        moved = "" if one.moved is None else f"{one.moved:.1e}"
        figures = (toll.kills, toll.lost, toll.corrupt, one.same, one.within, moved, f"{row['apart']:.1e}")
        table.add_row(name, *map(str, figures))
    Console().print(table)
    tolls = [row["toll"] for row in found.values()]
    plain, default = found["random sampling"], found["default"]
    print(
        json.dumps(
            {
                "kills": sum(toll.kills for toll in tolls),
                "lost": sum(toll.lost for toll in tolls),
                "corrupt": sum(toll.corrupt for toll in tolls),
                "same_selection": plain["found"].same,
                "moved_in_standard_errors": plain["found"].moved,
                "default_within_one_standard_error": default["found"].within,
                "default_apart_from_alone": default["apart"],
            }
        )
    )


def _study(folder: Path, plain: bool, trials: int | None) -> Path:
    """The demonstration's study; with random sampling and no pruning where asked."""
    table = tomllib.loads((LIBRARY / "quickstart.toml").read_text())
    for place, key in (("base", "path"), ("data", "folder")):
        table["plan"][place][key] = str(LIBRARY / table["plan"][place][key])
    table["judge"]["clip"] = str(LIBRARY / table["judge"]["clip"])
    table["budget"]["trials"] = trials or table["budget"]["trials"]
    if plain:
        table["search"] |= {"sampler": "random", "pruner": {"name": "none"}}
        table["budget"]["checkpoints_without_gain"] = 0
    first = "".join(toml.section("[[first]]", recipe) for recipe in table.pop("first"))
    path = folder / "study.toml"
    path.write_text("".join(toml.section(f"[{n}]", entries) for n, entries in table.items()) + first)
    return path


def run(
    study_file: Path, workspace: Path, stdout: int = subprocess.DEVNULL, stderr: int | None = None
) -> subprocess.Popen[bytes]:
    """Starts or resumes a study in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "studies.cli.main",
        "run",
        str(study_file),
        "--workspace",
        str(workspace),
    ]
    return subprocess.Popen(command, stdout=stdout, stderr=stderr)


def _first_checkpoint(study_file: Path, workspace: Path) -> float:
    """Runs a study to its end; seconds until its first checkpoint."""
    process, began, first = run(study_file, workspace), time.monotonic(), 0.0
    while process.poll() is None:
        if not first and next(workspace.glob("trials/*/trial-*.safetensors"), None):
            first = time.monotonic() - began
        time.sleep(0.05)
    if process.returncode != 0:
        raise SystemExit(f"{workspace}: the undisturbed study ended with code {process.returncode}.")
    return first


def disturbed(study_file: Path, workspace: Path, kills: int, span: float, moments: random.Random) -> Toll:
    """Kills a study's process until it has been killed so often or has come to its end, then lets it finish.

    Args:
        study_file: what is run.
        workspace: where.
        kills: how many at most.
        span: a kill comes this many seconds after the start at most.
        moments: draws when.
    """
    toll, before = Toll(), dict[int, TrialRecord]()
    while toll.kills < kills:
        process = run(study_file, workspace)
        try:
            process.wait(moments.uniform(0, span))
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        toll.kills += 1
        before = _inspected(workspace, before, toll)
    if run(study_file, workspace).wait() != 0:
        raise SystemExit(f"{workspace}: the study did not come to its end.")
    _inspected(workspace, before, toll)
    return toll


def _inspected(workspace: Path, before: Mapping[int, TrialRecord], toll: Toll) -> dict[int, TrialRecord]:
    """The ended trials; counts those of ``before`` that are no longer as they were, and files that are not whole."""
    if not (workspace / "study.toml").exists() or not (workspace / "study.sqlite3").exists():
        return dict(before)
    toll.corrupt += len(broken(workspace))
    try:
        records = {r.number: r for r in reopen(workspace).memory.records() if r.state in ENDED}
    except Exception as error:
        if before:
            raise SystemExit(f"{workspace}: the study cannot be opened any more ({error}).") from error
        return {}
    toll.lost += sum(records.get(number) != record for number, record in before.items())
    return records


def broken(workspace: Path) -> list[Path]:
    """Files of a workspace that cannot be read whole; half-written ones have names that nothing reads."""
    return [
        path for path in workspace.rglob("*") if path.is_file() and path.name[0] != "." and not whole(path)
    ]


def whole(path: Path) -> bool:
    """Whether a file of a kind that has a form is in that form to its last byte."""
    try:
        match path.suffix:
            case ".safetensors":
                with safe_open(path, framework="pt") as file:
                    for name in file.keys():  # noqa: SIM118
                        file.get_tensor(name)
            case ".json":
                json.loads(path.read_text(encoding="utf-8"))
            case ".toml":
                tomllib.loads(path.read_text(encoding="utf-8"))
            case ".png":
                Image.open(path).load()
            case ".sqlite3":
                with closing(sqlite3.connect(path)) as database:
                    return bool(database.execute("pragma integrity_check").fetchall() == [("ok",)])
    except Exception:
        return False
    return True


def compared(undisturbed: Path, killed: Path) -> Comparison:
    """What the kills have changed in what was selected."""
    ours, theirs = (json.loads((path / "selection.json").read_text()) for path in (undisturbed, killed))
    first, second = (document["winner"]["objective"] for document in (ours, theirs))
    gap = abs(first["mean"] - second["mean"])
    same = _choice(ours) == _choice(theirs)
    return Comparison(
        same=same,
        within=gap <= max(first["standard_error"], second["standard_error"]),
        moved=_moved(ours["candidates"], theirs["candidates"]) if same else None,
    )


def _choice(selection: Mapping[str, Any]) -> Any:
    """The winner, and the checkpoints it was chosen from."""
    winner = selection["winner"]
    return (
        winner["trial"],
        winner["epoch"],
        winner["params"],
        [(candidate["trial"], candidate["epoch"]) for candidate in selection["candidates"]],
    )


def _moved(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> float:
    pairs = [(one["objective"], other["objective"]) for one, other in zip(ours, theirs, strict=True)]
    gaps = [abs(a["mean"] - b["mean"]) / a["standard_error"] for a, b in pairs if a["mean"] > 0]
    return max(gaps, default=0.0)


def worst_apart(workspace: Path, count: int) -> float:
    """The largest relative distance of a checkpoint from what its plan gives alone.

    Args:
        workspace: of an ended study.
        count: how many of its trials are trained again, those with the most epochs.
    """
    study = reopen(workspace)
    planner = Planner(study.spec, study.dataset, study.seed)
    template = planner.plan({})
    pack = session.open(template, study.dataset, workspace / "cache", 1)
    longest = sorted(study.memory.records(), key=lambda record: -len(record.cards))[:count]
    worst = 0.0
    for record in longest:
        run_ = pack.admit(record.number, planner.plan(record.values))
        for _ in record.cards:
            end = _next_epoch(pack)
            alone = slot_keys(pack.bank, run_.slot, pack.base.kohya_names)
            stored = read(study.workspace.lora(record.number, end.epoch)).tensors
            worst = max(worst, *(distance(stored, alone, part) for part in ("lora_down", "lora_up")))
        if record.number in pack.runs:
            pack.evict(record.number)
    return worst


def _next_epoch(pack: Pack) -> EpochEnd:
    while True:
        for event in pack.step():
            if isinstance(event, EpochEnd):
                return event
            raise SystemExit(f"A trial that was stored ends with {event} when it is trained alone.")


def distance(stored: Mapping[str, torch.Tensor], alone: Mapping[str, torch.Tensor], part: str) -> float:
    """Relative 2-norm of the difference over all layers."""
    pairs: Sequence[tuple[torch.Tensor, torch.Tensor]] = [
        (stored[name].float().flatten(), alone[name].flatten()) for name in alone if part in name
    ]
    here, there = (torch.cat(list(side)) for side in zip(*pairs, strict=True))
    return float((here - there).norm() / there.norm())


if __name__ == "__main__":
    main()
