"""How often, and by how much, the mean of checkpoints is better than the checkpoint that a study chose.

Of finished studies in a folder, the winner's own epochs beside it, and the best finalist of each other trial, are
averaged with it as `confirm.averages` does. Winner and averages are judged on pictures that the study has never seen
(`kept_back/`), with far more renders than a search has, by the study's own objective. Nothing is trained, and nothing
in the folder is written.

    .venv/bin/python -m benchmarks.averages --folder .micro/truth --studies 10
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.regret import CARE
from benchmarks.truth_studies import ASSETS
from evaluation.scorecard import ScoreCard
from search.objective import Measurement
from search.selection import CLEAR, lead
from studies.commands.judge_request import JudgeOptions, examine
from studies.errors import quiet
from studies.selection import document
from studies.selection.document import Considered, Selection
from studies.selection.file_judge import FileJudge
from studies.workspace import Workspace
from trainer.lora_files import file
from trainer.lora_files.averaging import averaged

KINDS = ("neighbours", "finalists")


@dataclass(frozen=True)
class Found:
    """By how much an average is better than the winner, in the objective's unit."""

    study: str
    kind: str
    members: int
    ahead: Measurement

    @property
    def errors(self) -> float:
        """In standard errors."""
        return self.ahead.mean / self.ahead.standard_error if self.ahead.standard_error else 0.0


def main() -> None:
    """Prints a table and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(".micro/truth"))
    parser.add_argument("--studies", type=int, default=10)
    parser.add_argument("--only", nargs="*", default=[], help="names of studies")
    arguments = parser.parse_args()
    quiet()
    places = [one.parent.parent for one in sorted(arguments.folder.glob("*/workspace/selection.json"))]
    wanted = [
        one
        for one in places
        if one.name in (arguments.only or [one.name])
        and all((one / part).is_dir() for part in ("images", "kept_back"))
    ]
    found = [one for place in wanted[: arguments.studies] for one in _compared(place)]
    _print(found)
    print(json.dumps({kind: _figures([one for one in found if one.kind == kind]) for kind in KINDS}))


def _compared(place: Path) -> Iterator[Found]:
    """The averages of one study beside its winner."""
    workspace = Workspace(place / "workspace")
    selection = document.read(workspace)
    assert selection is not None
    with tempfile.TemporaryDirectory() as scratch:
        files = {"winner": workspace.root / selection.winner.file}
        counts = {}
        for kind, members in _groups(selection).items():
            path = Path(scratch) / f"{kind}.safetensors"
            if len(members) > 1 and _averaged(path, [workspace.root / one.file for one in members]):
                files[kind], counts[kind] = path, len(members)
        cards = _judged(place, files, Path(scratch) / "judged") if counts else {}
    own = next((one for one in selection.candidates if one.key == selection.winner.key), None)
    for kind, count in counts.items():
        assert own is not None
        winner, average = (selection.rule.candidate(own.checkpoint, cards[name]) for name in ("winner", kind))
        found = Found(place.name, kind, count, lead(average, winner))
        print(
            f"  {place.name}: {kind} of {count}: {found.ahead.mean:+.3f} ± {found.ahead.standard_error:.3f}",
            flush=True,
        )
        yield found


def _groups(selection: Selection) -> dict[str, list[Considered]]:
    """What is averaged, the winner first."""
    winner, by_key = selection.winner, {one.key: one for one in selection.candidates}
    own = sorted((one for one in by_key.values() if one.trial == winner.trial), key=lambda one: one.epoch)
    place = [one.key for one in own].index(winner.key)
    beside = [one for one in own[max(0, place - 1) : place + 2] if one.key != winner.key]
    others: dict[int, Considered] = {}
    for one in sorted(selection.finalists, key=lambda one: -one.objective.mean):
        if one.trial != winner.trial and one.barred is None:
            others.setdefault(one.trial, by_key[one.key])
    first = by_key[winner.key]
    return {"neighbours": [first, *beside], "finalists": [first, *others.values()]}


def _averaged(path: Path, members: list[Path]) -> bool:
    """Writes an average; whether there is one."""
    loras = [file.read(one) for one in members]
    try:
        tensors = averaged([one.tensors for one in loras])
    except file.LoraFileError:
        return False
    file.write(path, tensors, loras[0].metadata, "fp16")
    return True


def _judged(place: Path, files: Mapping[str, Path], scratch: Path) -> dict[str, ScoreCard]:
    """Cards on the pictures that were kept back."""
    options = JudgeOptions(
        list(files.values()),
        ASSETS / "micro-sd",
        place / "images",
        scratch,
        place / "kept_back",
        str(ASSETS / "micro-clip"),
    )
    request = examine(options)
    request = replace(request, judge=request.judge.model_copy(update=CARE))
    scored = FileJudge(request, lambda _: None).score(range(len(request.files)))
    names = {path: name for name, path in files.items()}
    return {names[one.path]: card for one, (card, _) in zip(request.files, scored, strict=True)}


def _figures(found: list[Found]) -> dict[str, float]:
    if not found:
        return {"studies": 0}
    return {
        "studies": len(found),
        "better": round(sum(one.errors > CLEAR for one in found) / len(found), 3),
        "worse": round(sum(one.errors < -CLEAR for one in found) / len(found), 3),
        "lead_median": round(statistics.median(one.ahead.mean for one in found), 4),
        "lead_best": round(max(one.ahead.mean for one in found), 4),
        "lead_worst": round(min(one.ahead.mean for one in found), 4),
    }


def _print(found: list[Found]) -> None:
    table = Table(title="how far an average is ahead of the chosen checkpoint, on pictures kept back")
    for column in ("study", "average of", "files", "ahead", "errors"):
        table.add_column(column, justify="left" if column in ("study", "average of") else "right")
    for one in found:
        ahead = f"{one.ahead.mean:+.3f} ± {one.ahead.standard_error:.3f}"
        table.add_row(one.study, one.kind, str(one.members), ahead, f"{one.errors:+.1f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
