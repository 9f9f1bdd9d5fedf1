"""Plots of the search: which parameters matter, where good values lie, what trades for what (pure)."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from evaluation.metrics.table import METRICS
from search.parameter import Choice, Parameter, Real
from search.trial import Value as Chosen
from studies.report.choice import checkpoint
from studies.report.findings import metric
from studies.report.plot_style import ACCENT, QUIET, SECOND, Figure, laid_out, marker, safe, window_of
from studies.selection import document
from studies.selection.document import Selection
from studies.study.trial import Trial
from studies.text.format import estimate, value
from studies.text.i18n import ENGLISH, Translator, marked

_GROUPS = {
    "pruned": (marked("pruned"), "x-thin", QUIET, 8),
    "others": (marked("others"), "circle", ACCENT, 8),
    "winner": (marked("winner"), "star", SECOND, 15),
}
_LINE = 13
"""Characters of a parameter's name on one line above its post."""
_BEST = marked("best objective")


def importance(shares: Mapping[str, float], say: Translator = ENGLISH) -> Figure:
    """Shares of parameters, the largest on top."""
    ranked = sorted(shares.items(), key=lambda item: item[1])
    bars = go.Bar(
        x=[100 * share for _, share in ranked],
        y=[safe(name) for name, _ in ranked],
        orientation="h",
        marker={"color": ACCENT},
        text=[f"{share:.0%}" for _, share in ranked],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
    )
    figure = laid_out(go.Figure(bars), say("share of importance (%)"), "", None)
    figure.update_xaxes(range=[0, 115 * max(shares.values(), default=1)], showticklabels=False, title=None)
    return figure.update_yaxes(automargin=True, showgrid=False)


def slices(
    trials: Sequence[Trial],
    name: str,
    parameter: Parameter,
    winner: int,
    say: Translator = ENGLISH,
) -> Figure | None:
    """Each trial's best objective against one parameter; None if fewer than two trials had it."""
    points = [(r, r.values[name], best(r)) for r in trials if r.best and name in r.values]
    if len(points) < 2:
        return None
    figure = go.Figure()
    for group, (label, symbol, colour, size) in _GROUPS.items():
        chosen = [point for point in points if _group(point[0], winner) == group]
        figure.add_trace(
            go.Scatter(
                x=[_on_axis(v, parameter) for _, v, _ in chosen],
                y=[objective for *_, objective in chosen],
                text=[say("trial {trial}", trial=trial.number) for trial, *_ in chosen],
                name=say(label),
                mode="markers",
                marker=marker(symbol, colour, size),
                opacity=1 if group == "winner" else 0.75,
                hovertemplate="%{text}: %{x} → %{y:.2f}<extra></extra>",
            )
        )
    laid_out(figure, safe(name), say(_BEST), window_of([p[2] for p in points], False))
    return _axis(figure, parameter).update_layout(showlegend=False)


def parallel(
    trials: Sequence[Trial],
    parameters: Mapping[str, Parameter],
    winner: int,
    say: Translator = ENGLISH,
) -> Figure | None:
    """Every trial as a line over all parameters, ending at its best objective; None for fewer than two.

    Drawn with plain lines: plotly's own parallel coordinates need WebGL and code made at run time, which a
    page that forbids both, a printer or an old phone does not show.
    """
    scored = [trial for trial in trials if trial.best]
    if len(scored) < 2 or not parameters:
        return None
    reached = [best(trial) for trial in scored]
    low, high = _cut(reached)
    figure = go.Figure()
    for trial in sorted(scored, key=lambda r: (r.number == winner, best(r))):
        places = [_place(trial.values[n], p) if n in trial.values else None for n, p in parameters.items()]
        end = min(1.0, max(0.0, (best(trial) - low) / (high - low)))
        figure.add_trace(_thread(trial, [*places, end], list(parameters), trial.number == winner, say))
    return _posts(figure, parameters, (low, high), say)


def pareto(selection: Selection, metrics: Sequence[str], say: Translator = ENGLISH) -> Figure | None:
    """All checkpoints in two metrics, with the front of those that none beats in every compared metric.

    Args:
        selection: with its candidates.
        metrics: the two to draw.
        say: the language.
    """
    if len(metrics) != 2:
        return None
    everyone = [c for c in selection.candidates if all(c.scores.difference(name) for name in metrics)]
    front = {one.key for one in selection.pareto}
    winner = selection.winner.key
    groups = [
        (say("dominated"), marker("circle", QUIET, 6), [c for c in everyone if c.key not in front]),
        (say("Pareto front"), marker("circle", ACCENT, 9), [c for c in everyone if c.key in front]),
        (say("chosen checkpoint"), marker("star", SECOND, 16), [c for c in everyone if c.key == winner]),
    ]
    figure = go.Figure()
    for label, looks, chosen in groups:
        figure.add_trace(_dots(chosen, metrics, label, looks, say))
    x, y = ([c.scores.metrics[name].difference.mean for c in everyone] for name in metrics)
    titles = [say("{metric}<br>difference to base", metric=metric(name, say)) for name in metrics]
    down = [METRICS[name].direction < 0 for name in metrics]
    laid_out(figure, titles[0], titles[1], window_of(y, down[1]))
    figure.update_layout(margin={"b": 62})
    return figure.update_xaxes(range=window_of(x, down[0]), title_standoff=14)


def best(trial: Trial) -> float:
    """A scored trial's highest objective."""
    assert trial.objective is not None
    return trial.objective


def _dots(
    chosen: Sequence[document.Considered],
    metrics: Sequence[str],
    label: str,
    looks: Mapping[str, Any],
    say: Translator,
) -> Figure:
    x, y = ([c.scores.metrics[name].difference for c in chosen] for name in metrics)
    return go.Scatter(
        x=[found.mean for found in x],
        y=[found.mean for found in y],
        text=[checkpoint(c.trial, c.epoch, say) for c in chosen],
        name=label,
        mode="markers",
        marker=looks,
        customdata=[[estimate(a, 4), estimate(b, 4)] for a, b in zip(x, y, strict=True)],
        hovertemplate="%{text}<br>%{customdata[0]}<br>%{customdata[1]}<extra></extra>",
    )


def _thread(
    trial: Trial,
    places: Sequence[float | None],
    names: Sequence[str],
    won: bool,
    say: Translator,
) -> Figure:
    """One trial's line; where a parameter did not apply it goes straight on."""
    told = [f"{safe(n)} = {safe(value(trial.values[n]))}" if n in trial.values else "–" for n in names]
    told.append(f"{say(_BEST)} {best(trial):.2f}")
    colour = SECOND if won else _shade(places[-1] or 0.0)
    return go.Scatter(
        x=list(range(len(places))),
        y=list(places),
        text=told,
        name=say("trial {trial}", trial=trial.number),
        mode="lines+markers",
        connectgaps=True,
        opacity=1 if won else 0.3 + 0.7 * (places[-1] or 0.0),
        line={"color": colour, "width": 3.5 if won else 1.6},
        marker={"size": 7 if won else 4},
        showlegend=False,
        hovertemplate=say("trial {trial}: {text}", trial=trial.number, text="%{text}") + "<extra></extra>",
    )


def _shade(share: float) -> str:
    """The colour between a poor objective's (0) and the best one's (1)."""
    ends = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in (QUIET, ACCENT)]
    mixed = [round(low + share * (high - low)) for low, high in zip(*ends, strict=True)]
    return f"rgb({', '.join(map(str, mixed))})"


def _posts(
    figure: Figure, parameters: Mapping[str, Parameter], reach: tuple[float, float], say: Translator
) -> Figure:
    """An upright line with its own labels for every parameter and for the objective."""
    laid_out(figure, "", "", [-0.08, 1.08])
    names = [*(_folded(name) for name in parameters), say(_BEST)]
    figure.update_xaxes(
        tickvals=list(range(len(names))),
        ticktext=names,
        side="top",
        range=[-0.25, len(names) - 0.45],
        showgrid=False,
        zeroline=False,
        showline=False,
        tickangle=0,
    )
    figure.update_yaxes(visible=False)
    labels = [_labels(p) for p in parameters.values()] + [
        [(0.0, f"{reach[0]:.2g}"), (1.0, f"{reach[1]:.2g}")]
    ]
    for i, marks in enumerate(labels):
        figure.add_shape(
            type="line", x0=i, x1=i, y0=0, y1=1, line={"color": "rgba(128,138,150,.55)", "width": 1}
        )
        for height, text in marks:
            figure.add_annotation(x=i, y=height, text=text, showarrow=False, xanchor="left", xshift=7)
    return figure.update_layout(margin={"l": 8, "r": 40, "t": 64, "b": 10}, showlegend=False)


def _folded(name: str) -> str:
    """A parameter's name on short lines, broken after dots and underscores."""
    lines = [""]
    for part in re.findall(r"[^._]*[._]?", name):
        if lines[-1].endswith(".") or len(lines[-1] + part) > _LINE:
            lines.append("")
        lines[-1] += part
    return "<br>".join(html.escape(line, quote=False) for line in lines if line)


def _labels(parameter: Parameter) -> list[tuple[float, str]]:
    if isinstance(parameter, Choice):
        return [(_place(choice, parameter), safe(value(choice))) for choice in parameter.choices]
    return [(0.0, value(parameter.low)), (1.0, value(parameter.high))]


def _place(chosen: Chosen, parameter: Parameter) -> float:
    """How far up its post a value lies, from 0 to 1."""
    if isinstance(parameter, Choice):
        return parameter.choices.index(chosen) / (len(parameter.choices) - 1)
    scale = math.log if parameter.log else float
    low, high = scale(parameter.low), scale(parameter.high)
    return (scale(float(chosen)) - low) / (high - low) if high > low else 0.5


def _cut(reached: Sequence[float]) -> tuple[float, float]:
    """The range of the objective without what is far worse than the base model."""
    high = max(reached)
    low = max(min(reached), -0.75 * abs(high)) if high > 0 else min(reached)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _group(trial: Trial, winner: int) -> str:
    if trial.number == winner:
        return "winner"
    return "pruned" if trial.state == "pruned" else "others"


def _axis(figure: Figure, parameter: Parameter) -> Figure:
    match parameter:
        case Choice(choices=choices):
            order = [safe(value(choice)) for choice in choices]
            return figure.update_xaxes(type="category", categoryorder="array", categoryarray=order)
        case Real(log=True):
            return figure.update_xaxes(type="log", exponentformat="e", dtick=1)
        case _:
            return figure.update_xaxes(type="log" if parameter.log else "linear")


def _on_axis(chosen: Any, parameter: Parameter) -> Any:
    return safe(value(chosen)) if isinstance(parameter, Choice) else chosen
