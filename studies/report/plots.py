"""The figures of one study, for the page and for the dashboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from search.memory import Memory
from studies.report import search_plots, trial_plots
from studies.report.page import Plot
from studies.report.plot_style import Figure
from studies.selection.document import Selection
from studies.spec.study_file import StudySpec
from studies.study.trial import Trial
from studies.text.i18n import ENGLISH, Translator


def draw(
    spec: StudySpec,
    memory: Memory,
    selection: Selection,
    trials: Sequence[Trial],
    say: Translator = ENGLISH,
) -> dict[str, Figure]:
    """Every plot of a study that has something to show, by name.

    Args:
        spec: the study file.
        memory: the study's; it knows what mattered.
        selection: what was chosen, for good or so far.
        trials: all of them.
        say: the language.
    """
    winner = selection.winner
    champion = next(trial for trial in trials if trial.number == winner.trial)
    clip = "clip_image" in champion.checkpoints[0].scores.metrics
    return _shown(
        {
            "curves": trial_plots.curves(trials, winner, say=say),
            "gap": trial_plots.training_gap(champion, winner, say),
            "clip": trial_plots.curves(trials, winner, "clip_image", say) if clip else None,
            "timesteps": trial_plots.timesteps(selection.finest.validation_by_timestep, say),
            "pareto": search_plots.pareto(selection, compared(selection), say),
            **_of_space(spec, memory, winner.trial, trials, say),
        }
    )


def of_files(selection: Selection, say: Translator = ENGLISH) -> dict[str, Figure]:
    """The plots of judged files, by name: a curve for each run of several, and noise levels."""
    runs = [run.run for run in selection.files.runs if run.files > 1] if selection.files else []
    curves = {f"run-{i}": trial_plots.run_curve(selection, run, say) for i, run in enumerate(runs)}
    return _shown(
        {**curves, "timesteps": trial_plots.timesteps(selection.finest.validation_by_timestep, say)}
    )


def of_trials(drawn: Mapping[str, Figure], say: Translator) -> list[Plot]:
    """How a study's trials went: the headings of what was drawn."""
    headings = [
        Plot("curves", say("Validation loss of all trials"), 400),
        Plot(
            "gap",
            say("The chosen trial and its training images"),
            376,
            say("Where the dotted line falls away from the other, the LoRA learns its images by heart."),
        ),
        Plot("clip", say("CLIP likeness to the held-out images"), 340, say("Higher is better.")),
    ]
    return [plot for plot in headings if plot.id in drawn]


def of_runs(selection: Selection, drawn: Mapping[str, Figure], say: Translator) -> list[Plot]:
    """How the runs of judged files went."""
    runs = [run.run for run in selection.files.runs if run.files > 1] if selection.files else []
    title = say("Validation by epoch")
    names = [f"{title}: {run}" if len(runs) > 1 else title for run in runs]
    return [Plot(f"run-{i}", name, 340) for i, name in enumerate(names) if f"run-{i}" in drawn]


def compared(selection: Selection) -> list[str]:
    """The two metrics of the Pareto plot: the weightiest, then validation and CLIP; fewer if not measured."""
    weights = selection.rule.weights
    weighted = sorted((n for n, w in weights.items() if w > 0), key=lambda n: -weights[n])
    wanted = [*weighted, "validation", "clip_image", "clip_text"]
    measured = [n for n in wanted if any(n in c.scores.metrics for c in selection.candidates)]
    return list(dict.fromkeys(measured))[:2]


def _shown(found: dict[str, Figure | None]) -> dict[str, Figure]:
    return {name: figure for name, figure in found.items() if figure is not None}


def _of_space(
    spec: StudySpec, memory: Memory, winner: int, trials: Sequence[Trial], say: Translator
) -> dict[str, Figure | None]:
    """Importance, parallel lines and a slice for every parameter; None where too little is known."""
    shares, parameters = memory.importances(), spec.space.parameters
    return {
        "importance": search_plots.importance(shares, say) if shares else None,
        "parallel": search_plots.parallel(trials, parameters, winner, say),
    } | {
        f"slice-{i}": search_plots.slices(trials, name, parameter, winner, say)
        for i, (name, parameter) in enumerate(parameters.items())
    }
