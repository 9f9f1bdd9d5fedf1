"""The figures of one study, for the page and for the dashboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.memory import Memory
from search.trial import TrialRecord
from studies.report import search_plots, trial_plots
from studies.report.plot_style import Figure
from studies.selection.checkpoint import facts
from studies.spec.study_file import StudySpec
from studies.text.i18n import ENGLISH, Translator


def draw(
    spec: StudySpec,
    memory: Memory,
    verdict: Mapping[str, Any],
    records: Sequence[TrialRecord],
    say: Translator = ENGLISH,
) -> dict[str, Figure]:
    """Every plot that has something to show, by name.

    Args:
        spec: the study file.
        memory: the study's; it knows what mattered.
        verdict: the content of selection.json, or a provisional one.
        records: all trials.
        say: the language.
    """
    winner = verdict["winner"]
    champion = next(record for record in records if record.number == winner["trial"])
    clip = facts(champion.cards[0]).clip_image is not None
    found = {
        "curves": trial_plots.curves(records, winner, say=say),
        "gap": trial_plots.training_gap(champion, winner, say),
        "clip": trial_plots.curves(records, winner, "clip_image", say) if clip else None,
        "timesteps": trial_plots.timesteps(_finest(verdict)["validation_by_timestep"], say),
        "pareto": search_plots.pareto(verdict, compared(spec, verdict), say),
        **_of_space(spec, memory, winner["trial"], records, say),
    }
    return {name: figure for name, figure in found.items() if figure is not None}


def compared(spec: StudySpec, verdict: Mapping[str, Any]) -> list[str]:
    """The two metrics of the Pareto plot: the weightiest, then validation and CLIP; fewer if not measured."""
    weighted = sorted((n for n, w in spec.objective.items() if w > 0), key=lambda n: -spec.objective[n])
    wanted = [*weighted, "validation", "clip_image", "clip_text"]
    measured = [n for n in wanted if any(c["scores"].get(n) for c in verdict["candidates"])]
    return list(dict.fromkeys(measured))[:2]


def _of_space(
    spec: StudySpec, memory: Memory, winner: int, records: Sequence[TrialRecord], say: Translator
) -> dict[str, Figure | None]:
    """Importance, parallel lines and a slice for every parameter; None where too little is known."""
    shares, parameters = memory.importances(), spec.space.parameters
    return {
        "importance": search_plots.importance(shares, say) if shares else None,
        "parallel": search_plots.parallel(records, parameters, winner, say),
    } | {
        f"slice-{i}": search_plots.slices(records, name, parameter, winner, say)
        for i, (name, parameter) in enumerate(parameters.items())
    }


def _finest(verdict: Mapping[str, Any]) -> Mapping[str, Any]:
    """The winner's scores with the most timesteps: those of the confirmation, if there was one."""
    winner, confirmation = verdict["winner"], verdict["confirmation"]
    chosen = (winner["trial"], winner["epoch"])
    again = confirmation["finalists"] if confirmation else []
    found: Mapping[str, Any] = next(
        (f["scores"] for f in again if (f["trial"], f["epoch"]) == chosen), winner["scores"]
    )
    return found
