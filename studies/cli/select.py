"""``lorasearch select``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from studies.text.terminal import tell

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from studies.selection.document import Selection


@click.command(name="select")
@click.argument("workspace", type=click.Path(path_type=Path))
@click.option(
    "--weights",
    metavar="METRIC=N,...",
    help="Choose again from the stored scores by other weights, as validation=1,clip_image=2.  [default: the study's]",
)
@click.option("--json", "as_json", is_flag=True, help="All of selection.json, for scripts.")
def command(workspace: Path, weights: str | None, as_json: bool) -> None:
    """Show which checkpoint of WORKSPACE wins, and why.

    Before the study is finished the choice is provisional: not confirmed with fresh seeds, not tested. A choice
    with --weights trains, judges and changes nothing; put the weights into the study file's [objective] and run
    it again to have that choice confirmed and tested.

    \b
    Examples:
      lorasearch select workspaces/quickstart
      lorasearch select workspaces/quickstart --weights validation=1,clip_image=2
      lorasearch select workspaces/quickstart --json | jq .winner.params
    """
    from studies.report.choice import explained
    from studies.selection import document
    from studies.study.open import open_readonly, reading

    with reading():
        study = open_readonly(workspace)
        if weights is not None:
            chosen = explained(_provisional(workspace, _weights(weights)))
            selection = chosen.model_copy(update={"confirmation": None})
        else:
            selection = explained(document.read(study.workspace) or _provisional(workspace, None))
        trials = len(study.memory.records())
    if as_json:
        import json

        click.echo(json.dumps(selection.to_json(), indent=2, ensure_ascii=False))
        return
    for line in _lines(selection, trials, study.workspace.root, weights is not None):
        tell(line)


def _provisional(workspace: Path, weights: Mapping[str, float] | None) -> Selection:
    """The choice from stored scores; this needs the whole study, and torch with it."""
    from studies.selection.verdict import provisional
    from studies.study.beginning import reopen

    return provisional(reopen(workspace), weights)


def _weights(text: str) -> dict[str, float]:
    """Weights from ``metric=number,metric=number``."""
    from evaluation.metrics.table import directions
    from search.objective import weight_problems
    from studies.errors import StudyError

    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            raise StudyError(
                f"--weights: {part!r} is no METRIC=NUMBER; write it like validation=1,clip_image=0.5."
            ) from None
    if problems := weight_problems(found, directions()):
        raise StudyError([f"--weights: {problem}" for problem in problems])
    return found


def _lines(selection: Selection, trials: int, root: Path, weighed: bool) -> Iterator[str]:
    from studies.report.choice import baselines
    from studies.report.findings import ruling
    from studies.report.summary import titled
    from studies.text.format import estimate, value

    winner, final = selection.winner, selection.final
    if final:
        yield from titled(selection)
    else:
        title = "By these weights" if weighed else "Leader so far"
        yield f"{title}: trial {winner.trial}, epoch {winner.epoch} ({winner.images_seen} images seen)"
    yield from (f"  {name} = {value(chosen)}" for name, chosen in winner.params.items())
    assert selection.explanation is not None
    yield f"Why: {selection.explanation.reason}"
    if final:
        yield "Finalists, judged again with fresh seeds (objective in the search -> judged again):"
        for one in selection.finalists:
            name = f"trial {one.trial}, epoch {one.epoch}"
            yield f"  {name:<20} {estimate(one.objective_before, 2)} -> {estimate(one.objective, 2)}"
    if selection.test:
        loss = estimate(selection.test.validation, 4)
        yield f"Validation loss on test images: {loss} (log ratio to the base model)"
        yield from baselines(selection)
    yield ruling(selection.shares_of_variance)
    if trials > selection.trials:
        more = trials - selection.trials
        yield f"Since then {more} more trial{'s' if more > 1 else ''} began: `lorasearch run` reaches a new verdict."
    yield f"File: {root / ('best.safetensors' if final else winner.file)}"
