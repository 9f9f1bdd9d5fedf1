"""Plots of trials and of the winner: plain figures from records and a verdict (pure)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from search.objective import DIRECTIONS
from search.trial import State, TrialRecord
from studies.report.findings import metric as metric_name
from studies.report.plot_style import ACCENT, BAD, QUIET, SECOND, Figure, laid_out, marker, safe, window_of
from studies.selection.checkpoint import facts
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
    records: Sequence[TrialRecord],
    winner: Mapping[str, Any],
    metric: str = "validation",
    say: Translator = ENGLISH,
) -> Figure:
    """A metric of all trials against images seen, from the base model on; the winner drawn last, with errors.

    Args:
        records: all trials.
        winner: the verdict's winner.
        metric: one of the score card's.
        say: the language.
    """
    figure = go.Figure()
    drawn = [(record, _points(record, metric)) for record in records]
    drawn = [(record, points) for record, points in drawn if len(points) > 1]
    kept = [p for record, points in drawn if record.number == winner["trial"] for p in points]
    for record, points in sorted(drawn, key=lambda pair: pair[0].number == winner["trial"]):
        draw = _winner_line if record.number == winner["trial"] else _quiet_line
        figure.add_trace(draw(record, points, say))
    for state in _ENDS:
        ended = [(record.number, points[-1]) for record, points in drawn if record.state == state]
        if ended:
            figure.add_trace(_ends(state, ended, say))
    figure.add_trace(_star([p for p in kept if p[3] == winner["epoch"]], say))
    title = (
        say(_LOSS)
        if metric == "validation"
        else say("{metric}<br>points above base", metric=metric_name(metric, say))
    )
    heights = [point[1] for _, points in drawn for point in points]
    window = window_of(heights, DIRECTIONS[metric] < 0, kept)
    return laid_out(figure, say(_IMAGES), title, window)


def training_gap(record: TrialRecord, winner: Mapping[str, Any], say: Translator = ENGLISH) -> Figure | None:
    """The winner's loss on held-out and on training images; None where training images were not measured."""
    held_out, seen = _points(record, "validation"), _points(record, "training")
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
    figure.add_trace(_star([p for p in held_out if p[3] == winner["epoch"]], say))
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


def _points(record: TrialRecord, metric: str) -> list[Point]:
    """The base model's 0 at 0 images, then every checkpoint on which the metric was measured."""
    points: list[Point] = [(0, 0.0, 0.0, 0)]
    for card in record.cards:
        estimate = getattr(facts(card), metric)
        if estimate is not None and math.isfinite(estimate.mean):
            error = estimate.standard_error if math.isfinite(estimate.standard_error) else 0.0
            points.append((card["images_seen"], estimate.mean, error, card["epoch"]))
    return points


def _quiet_line(record: TrialRecord, points: Sequence[Point], say: Translator) -> Figure:
    return go.Scatter(
        x=[p[0] for p in points],
        y=[p[1] for p in points],
        text=[str(p[3]) for p in points],
        name=say("trial {trial}", trial=record.number),
        mode="lines+markers",
        line={"color": QUIET, "width": 1.2},
        marker={"size": 3.5},
        opacity=0.7,
        showlegend=False,
        hovertemplate=_hover(record, say),
    )


def _winner_line(record: TrialRecord, points: Sequence[Point], say: Translator) -> Figure:
    return go.Scatter(
        x=[p[0] for p in points],
        y=[p[1] for p in points],
        text=[str(p[3]) for p in points],
        error_y=_bars(points),
        name=say("trial {trial}", trial=record.number),
        mode="lines+markers",
        line={"color": ACCENT, "width": 3},
        marker={"size": 6},
        hovertemplate=_hover(record, say),
    )


def _hover(record: TrialRecord, say: Translator) -> str:
    head = say(
        "trial {trial}, epoch {epoch}, {images} images: {figure}",
        trial=record.number,
        epoch="%{text}",
        images="%{x}",
        figure="%{y:.4f}",
    )
    values = [f"{safe(name)} = {safe(value(chosen))}" for name, chosen in record.values.items()]
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
