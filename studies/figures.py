"""The report's plots: plain figures from records and a verdict (pure)."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from search.parameter import Choice, Parameter, Real
from search.trial import State, TrialRecord
from studies.cards import facts
from studies.words import value

Figure = Any
"""A ``plotly.graph_objects.Figure``; plotly has no types."""

ACCENT, QUIET, BAD, SECOND = "#2f80ed", "#98a1ae", "#d9534f", "#e39a2d"
"""Colours that can be read on white and on near-black."""
_ENDS: Mapping[State, tuple[str, str, str]] = {
    "pruned": ("x-thin", QUIET, "pruned"),
    "infeasible": ("x", BAD, "infeasible"),
    "failed": ("x", BAD, "failed"),
}
_LOSS = "log(loss / base loss)"
_LONGEST = 28
_REACH = 0.75
"""How far a plot shows what is worse than the base model, in units of the best."""


def curves(records: Sequence[TrialRecord], winner: Mapping[str, Any], metric: str = "validation") -> Figure:
    """A metric of all trials against images seen, from the base model on; the winner drawn last, with errors.

    Args:
        records: all trials.
        winner: the verdict's winner.
        metric: "validation", "clip_image" or "clip_text".
    """
    figure = go.Figure()
    drawn = [(record, _points(record, metric)) for record in records]
    drawn = [(record, points) for record, points in drawn if len(points) > 1]
    for record, points in drawn:
        if record.number != winner["trial"]:
            figure.add_trace(_quiet_line(record, points))
    for record, points in drawn:
        if record.number == winner["trial"]:
            figure.add_trace(_winner_line(record, points))
    for state in _ENDS:
        if any(record.state == state for record, _ in drawn):
            figure.add_trace(
                _ends(state, [(r.number, points[-1]) for r, points in drawn if r.state == state])
            )
    chosen = [
        p
        for record, points in drawn
        if record.number == winner["trial"]
        for p in points
        if p[3] == winner["epoch"]
    ]
    figure.add_trace(_star(chosen))
    title = (
        _LOSS
        if metric == "validation"
        else f"{metric.replace('_', ' ').replace('clip', 'CLIP')}, points above base"
    )
    heights = [point[1] for _, points in drawn for point in points]
    kept = [p for record, points in drawn if record.number == winner["trial"] for p in points]
    return _laid_out(figure, "training images seen", title, _window(heights, metric == "validation", kept))


def training_gap(record: TrialRecord, winner: Mapping[str, Any]) -> Figure | None:
    """The winner's loss on held-out and on training images; None where training images were not measured."""
    held_out, seen = _points(record, "validation"), _points(record, "training")
    if len(seen) < 2:
        return None
    figure = go.Figure()
    for name, points, colour, dash in (
        ("held-out images", held_out, ACCENT, "solid"),
        ("training images", seen, SECOND, "dot"),
    ):
        figure.add_trace(
            go.Scatter(
                x=[p[0] for p in points],
                y=[p[1] for p in points],
                error_y=_bars(points),
                name=name,
                mode="lines+markers",
                line={"color": colour, "width": 2, "dash": dash},
                hovertemplate="%{x} images: %{y:.4f}",
            )
        )
    figure.add_trace(_star([p for p in held_out if p[3] == winner["epoch"]]))
    heights = [point[1] for point in (*held_out, *seen)]
    return _laid_out(figure, "training images seen", _LOSS, _window(heights, True, [*held_out, *seen]))


def timesteps(values: Sequence[float]) -> Figure:
    """The winner's validation by noise level, from clean to noisy."""
    n = len(values)
    middles = [100 * (i + 0.5) / n for i in range(n)]
    bars = go.Bar(
        x=middles,
        y=list(values),
        width=[88 / n] * n,
        marker={"color": [ACCENT if value <= 0 else BAD for value in values]},
        hovertemplate="noise level %{x:.0f} %: %{y:.4f}<extra></extra>",
    )
    figure = _laid_out(go.Figure(bars), "noise level (0 % clean, 100 % noise)", _LOSS, None)
    return figure.update_xaxes(range=[0, 100], ticksuffix=" %")


def importance(shares: Mapping[str, float]) -> Figure:
    """Shares of parameters, the largest on top."""
    ranked = sorted(shares.items(), key=lambda item: item[1])
    bars = go.Bar(
        x=[100 * share for _, share in ranked],
        y=[_safe(name) for name, _ in ranked],
        orientation="h",
        marker={"color": ACCENT},
        text=[f"{share:.0%}" for _, share in ranked],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
    )
    figure = _laid_out(go.Figure(bars), "share of importance (%)", "", None)
    figure.update_xaxes(range=[0, 115 * max(shares.values(), default=1)], showticklabels=False, title=None)
    return figure.update_yaxes(automargin=True, showgrid=False)


def slices(records: Sequence[TrialRecord], name: str, parameter: Parameter, winner: int) -> Figure | None:
    """Each trial's best objective against one parameter; None if fewer than two trials had it."""
    points = [
        (record, record.values[name], max(point.objective for point in record.curve))
        for record in records
        if record.curve and name in record.values
    ]
    if len(points) < 2:
        return None
    figure = go.Figure()
    groups = {
        "winner": ([p for p in points if p[0].number == winner], "star", ACCENT, 15),
        "pruned": (
            [p for p in points if p[0].state == "pruned" and p[0].number != winner],
            "x-thin",
            QUIET,
            8,
        ),
        "others": (
            [p for p in points if p[0].state != "pruned" and p[0].number != winner],
            "circle",
            ACCENT,
            8,
        ),
    }
    for label in ("pruned", "others", "winner"):
        chosen, symbol, colour, size = groups[label]
        figure.add_trace(
            go.Scatter(
                x=[_on_axis(v, parameter) for _, v, _ in chosen],
                y=[objective for *_, objective in chosen],
                text=[f"trial {record.number}" for record, *_ in chosen],
                name=label,
                mode="markers",
                marker=_marker(symbol, colour, size),
                opacity=1 if label == "winner" else 0.75,
                hovertemplate="%{text}: %{x} → %{y:.2f}<extra></extra>",
            )
        )
    _laid_out(figure, _safe(name), "best objective", _window([p[2] for p in points], False))
    return _axis(figure, parameter).update_layout(showlegend=False)


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


def _quiet_line(record: TrialRecord, points: Sequence[Point]) -> Figure:
    return go.Scatter(
        x=[p[0] for p in points],
        y=[p[1] for p in points],
        text=[f"epoch {p[3]}" for p in points],
        name=f"trial {record.number}",
        mode="lines+markers",
        line={"color": QUIET, "width": 1.2},
        marker={"size": 3.5},
        opacity=0.7,
        showlegend=False,
        hovertemplate=_hover(record),
    )


def _winner_line(record: TrialRecord, points: Sequence[Point]) -> Figure:
    return go.Scatter(
        x=[p[0] for p in points],
        y=[p[1] for p in points],
        text=[f"epoch {p[3]}" for p in points],
        error_y=_bars(points),
        name=f"trial {record.number}",
        mode="lines+markers",
        line={"color": ACCENT, "width": 3},
        marker={"size": 6},
        hovertemplate=_hover(record),
    )


def _hover(record: TrialRecord) -> str:
    values = "<br>".join(f"{_safe(name)} = {_safe(value(chosen))}" for name, chosen in record.values.items())
    return f"trial {record.number}, %{{text}}, %{{x}} images: %{{y:.4f}}<br>{values}<extra></extra>"


def _ends(state: State, last: Sequence[tuple[int, Point]]) -> Figure:
    symbol, colour, label = _ENDS[state]
    return go.Scatter(
        x=[point[0] for _, point in last],
        y=[point[1] for _, point in last],
        text=[f"trial {number}" for number, _ in last],
        name=label,
        mode="markers",
        marker=_marker(symbol, colour, 9),
        hovertemplate=f"%{{text}} {label}<extra></extra>",
    )


def _star(points: Sequence[Point]) -> Figure:
    return go.Scatter(
        x=[p[0] for p in points],
        y=[p[1] for p in points],
        name="chosen checkpoint",
        mode="markers",
        marker={"symbol": "star", "size": 16, "color": SECOND, "line": {"color": "#ffffff", "width": 1}},
        hovertemplate="chosen: epoch %{text}<extra></extra>",
        text=[str(p[3]) for p in points],
    )


def _marker(symbol: str, colour: str, size: float) -> dict[str, Any]:
    edge = {"color": colour, "width": 1.8} if symbol == "x-thin" else {"width": 0}
    return {"symbol": symbol, "size": size, "color": colour, "line": edge}


def _bars(points: Sequence[Point]) -> dict[str, Any]:
    return {"array": [p[2] for p in points], "thickness": 1.2, "width": 4}


def _axis(figure: Figure, parameter: Parameter) -> Figure:
    match parameter:
        case Choice(choices=choices):
            order = [_safe(value(choice)) for choice in choices]
            return figure.update_xaxes(type="category", categoryorder="array", categoryarray=order)
        case Real(log=True):
            return figure.update_xaxes(type="log", exponentformat="e", dtick=1)
        case _:
            return figure.update_xaxes(type="log" if parameter.log else "linear")


def _on_axis(chosen: Any, parameter: Parameter) -> Any:
    return _safe(value(chosen)) if isinstance(parameter, Choice) else chosen


def _window(
    heights: Sequence[float], lower_is_better: bool, kept: Sequence[Point] = ()
) -> list[float] | None:
    """A range that shows all that is of interest: what is far worse than the base model is cut off.

    Args:
        heights: every mean in the plot.
        lower_is_better: which way is up.
        kept: points that are shown with their error bars, whatever is cut.
    """
    if not heights:
        return None
    sign = -1 if lower_is_better else 1
    best = sign * max(sign * height for height in heights)
    worst = sign * min(sign * height for height in heights)
    if best and sign * worst < -_REACH * abs(best):
        worst = -sign * _REACH * abs(best)
    shown = [best, worst, *(p[1] + p[2] for p in kept), *(p[1] - p[2] for p in kept)]
    margin = 0.08 * (max(shown) - min(shown) or abs(best) or 1.0)
    return [min(shown) - margin, max(shown) + margin]


def _laid_out(figure: Figure, x: str, y: str, window: list[float] | None) -> Figure:
    quiet = {
        "gridcolor": "rgba(128,138,150,.22)",
        "zerolinecolor": "rgba(128,138,150,.6)",
        "linecolor": "rgba(128,138,150,.4)",
    }
    figure.update_layout(
        margin={"l": 48, "r": 14, "t": 10, "b": 46},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 12, "color": "#7d8794"},
        hovermode="closest",
        showlegend=len(figure.data) > 1,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "bgcolor": "rgba(0,0,0,0)"},
        template="none",
        bargap=0.25,
    )
    figure.update_xaxes(title={"text": x, "standoff": 8}, **quiet)
    return figure.update_yaxes(title={"text": y, "standoff": 10}, range=window, automargin=True, **quiet)


def _safe(text: str) -> str:
    """Plotly reads a few HTML tags in its texts; a study's own words are only words."""
    return html.escape(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…", quote=False)
