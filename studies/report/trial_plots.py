"""Plots of trials and of the winner: plain figures from records and a verdict (pure)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from evaluation.intervals import Estimate
from evaluation.metrics.table import METRICS
from search.trial import State
from studies.report.findings import metric as metric_name
from studies.report.plot_style import ACCENT, BAD, QUIET, SECOND, Figure, laid_out, marker, safe, window_of
from studies.selection.document import Key, Selection
from studies.study.trial import Checkpoint, Trial
from studies.text.format import value
from studies.text.i18n import ENGLISH, Translator, marked

STATES: Mapping[State, str] = {
    "running": marked("running"),
    "finished": marked("finished"),
    "pruned": marked("pruned"),
    "infeasible": marked("infeasible"),
    "failed": marked("failed"),
    "waiting": marked("waiting"),
}
_ENDS: Mapping[State, tuple[str, str]] = {
    "pruned": ("x-thin", QUIET),
    "infeasible": ("x", BAD),
    "failed": ("x", BAD),
}
_LOSS = marked("log(loss / base loss)")
_IMAGES = marked("training images seen")


def curves(
    trials: Sequence[Trial],
    winner: Key,
    metric: str = "validation",
    say: Translator = ENGLISH,
) -> Figure:
    """A metric of all trials against images seen, from the base model on; the winner drawn last, with errors.

    Args:
        trials: all of them.
        winner: the chosen checkpoint.
        metric: one of the score card's.
        say: the language.
    """
    figure = go.Figure()
    drawn = [(trial, _points(trial, metric)) for trial in trials]
    drawn = [(trial, points) for trial, points in drawn if len(points) > 1]
    kept = [p for trial, points in drawn if trial.number == winner.trial for p in points]
    for trial, points in sorted(drawn, key=lambda pair: pair[0].number == winner.trial):
        draw = _winner_line if trial.number == winner.trial else _quiet_line
        figure.add_trace(draw(trial, points, say))
    for state in _ENDS:
        ended = [(trial.number, points[-1]) for trial, points in drawn if trial.state == state]
        if ended:
            figure.add_trace(_ends(state, ended, say))
    figure.add_trace(_star([p for p in kept if p[3] == winner.epoch], say))
    title = (
        say(_LOSS)
        if metric == "validation"
        else say("{metric}<br>points above base", metric=metric_name(metric, say))
    )
    heights = [point[1] for _, points in drawn for point in points]
    window = window_of(heights, METRICS[metric].direction < 0, kept)
    return laid_out(figure, say(_IMAGES), title, window)


def training_gap(trial: Trial, winner: Key, say: Translator = ENGLISH) -> Figure | None:
    """The winner's loss on held-out and on training images; None where training images were not measured."""
    held_out, seen = _points(trial, "validation"), _points(trial, "training")
    if len(seen) < 2:
        return None
    figure = go.Figure()
    for name, points, colour, dash in (
        (say("held-out images"), held_out, ACCENT, "solid"),
        (say("training images"), seen, SECOND, "dot"),
    ):
        figure.add_trace(
            go.Scatter(
                x=[p[0] for p in points],
                y=[p[1] for p in points],
                error_y=_bars(points),
                name=name,
                mode="lines+markers",
                line={"color": colour, "width": 2, "dash": dash},
                hovertemplate=say("{images} images: {figure}", images="%{x}", figure="%{y:.4f}"),
            )
        )
    figure.add_trace(_star([p for p in held_out if p[3] == winner.epoch], say))
    heights = [point[1] for point in (*held_out, *seen)]
    return laid_out(figure, say(_IMAGES), say(_LOSS), window_of(heights, True, [*held_out, *seen]))


def timesteps(values: Sequence[float], say: Translator = ENGLISH) -> Figure:
    """The winner's validation by noise level, from clean to noisy."""
    n = len(values)
    bars = go.Bar(
        x=[100 * (i + 0.5) / n for i in range(n)],
        y=list(values),
        width=[88 / n] * n,
        marker={"color": [ACCENT if value <= 0 else BAD for value in values]},
        hovertemplate=say("noise level {level} %: {figure}", level="%{x:.0f}", figure="%{y:.4f}")
        + "<extra></extra>",
    )
    figure = laid_out(go.Figure(bars), say("noise level (0 % clean, 100 % noise)"), say(_LOSS), None)
    return figure.update_xaxes(range=[0, 100], ticksuffix=" %")


Point = tuple[int, float, float, int]
"""Images seen, mean, standard error, epoch."""


def _points(trial: Trial, metric: str) -> list[Point]:
    """The base model's 0 at 0 images, then every checkpoint on which the metric was measured."""
    points: list[Point] = [(0, 0.0, 0.0, 0)]
    for checkpoint in trial.checkpoints:
        found = _measured(checkpoint, metric)
        if found is not None and math.isfinite(found.mean):
            error = found.standard_error if math.isfinite(found.standard_error) else 0.0
            points.append((checkpoint.images_seen, found.mean, error, checkpoint.epoch))
    return points


def _measured(checkpoint: Checkpoint, metric: str) -> Estimate | None:
    """A metric of a checkpoint, or the loss on its training images."""
    return checkpoint.scores.training if metric == "training" else checkpoint.scores.difference(metric)


def _quiet_line(trial: Trial, points: Sequence[Point], say: Translator) -> Figure:
    return go.Scatter(
        x=[p[0] for p in points],
        y=[p[1] for p in points],
        text=[str(p[3]) for p in points],
        name=say("trial {trial}", trial=trial.number),
        mode="lines+markers",
        line={"color": QUIET, "width": 1.2},
        marker={"size": 3.5},
        opacity=0.7,
        showlegend=False,
        hovertemplate=_hover(trial, say),
    )


def _winner_line(trial: Trial, points: Sequence[Point], say: Translator) -> Figure:
    return go.Scatter(
        x=[p[0] for p in points],
        y=[p[1] for p in points],
        text=[str(p[3]) for p in points],
        error_y=_bars(points),
        name=say("trial {trial}", trial=trial.number),
        mode="lines+markers",
        line={"color": ACCENT, "width": 3},
        marker={"size": 6},
        hovertemplate=_hover(trial, say),
    )


def _hover(trial: Trial, say: Translator) -> str:
    head = say(
        "trial {trial}, epoch {epoch}, {images} images: {figure}",
        trial=trial.number,
        epoch="%{text}",
        images="%{x}",
        figure="%{y:.4f}",
    )
    values = [f"{safe(name)} = {safe(value(chosen))}" for name, chosen in trial.values.items()]
    return "<br>".join([head, *values]) + "<extra></extra>"


def _ends(state: State, last: Sequence[tuple[int, Point]], say: Translator) -> Figure:
    symbol, colour = _ENDS[state]
    label = say(STATES[state])
    return go.Scatter(
        x=[point[0] for _, point in last],
        y=[point[1] for _, point in last],
        text=[say("trial {trial}", trial=number) for number, _ in last],
        name=label,
        mode="markers",
        marker=marker(symbol, colour, 9),
        hovertemplate=f"%{{text}} {label}<extra></extra>",
    )


def _star(points: Sequence[Point], say: Translator) -> Figure:
    return go.Scatter(
        x=[p[0] for p in points],
        y=[p[1] for p in points],
        name=say("chosen checkpoint"),
        mode="markers",
        marker={"symbol": "star", "size": 16, "color": SECOND, "line": {"color": "#ffffff", "width": 1}},
        hovertemplate=say("chosen: epoch {epoch}", epoch="%{text}") + "<extra></extra>",
        text=[str(p[3]) for p in points],
    )


def _bars(points: Sequence[Point]) -> dict[str, Any]:
    return {"array": [p[2] for p in points], "thickness": 1.2, "width": 4}


def run_curve(selection: Selection, run: str, say: Translator = ENGLISH) -> Figure | None:
    """The validation of a run's files by epoch, with bars of one standard error; None where nothing is finite."""
    files = [one for one in selection.candidates if one.origin and one.origin.run == run]
    found = [(one, one.scores.validation) for one in files if math.isfinite(one.scores.validation.mean)]
    if not found:
        return None
    points = [(one.epoch, e.mean, e.standard_error, one.epoch) for one, e in found]
    points = [(x, y, error if math.isfinite(error) else 0.0, epoch) for x, y, error, epoch in points]
    line = go.Scatter(
        x=[p[0] for p in points],
        y=[p[1] for p in points],
        error_y=_bars(points),
        mode="lines+markers",
        line={"color": ACCENT, "width": 3},
        marker={"size": 6},
        hovertemplate=say("epoch {label}", label="%{x}") + ": %{y:.4f}<extra></extra>",
    )
    figure = go.Figure(line)
    if won := [p for p, (one, _) in zip(points, found, strict=True) if one.key == selection.winner.key]:
        figure.add_trace(_star(won, say))
    heights = [p[1] for p in points]
    unit = say("Epoch") if files[0].origin and files[0].origin.unit == "epoch" else say("step")
    return laid_out(figure, unit, say(_LOSS), window_of(heights, True, points)).update_layout(
        showlegend=False
    )
