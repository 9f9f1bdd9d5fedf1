"""What all plots share: colours, margins, ranges (pure)."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

Figure = Any
"""A ``plotly.graph_objects.Figure``; plotly has no types."""

ACCENT, QUIET, BAD, SECOND = "#2f80ed", "#98a1ae", "#d9534f", "#e39a2d"
"""Colours that can be read on white and on near-black."""
_LONGEST = 28
_REACH = 0.75
"""How far a plot shows what is worse than the base model, in units of the best."""


def marker(symbol: str, colour: str, size: float) -> dict[str, Any]:
    """A marker; thin crosses have an edge only."""
    edge = {"color": colour, "width": 1.8} if symbol == "x-thin" else {"width": 0}
    return {"symbol": symbol, "size": size, "color": colour, "line": edge}


def window_of(
    heights: Sequence[float], lower_is_better: bool, kept: Sequence[tuple[int, float, float, int]] = ()
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


def laid_out(figure: Figure, x: str, y: str, window: list[float] | None) -> Figure:
    """The figure with its axes' titles and our looks, on no ground of its own."""
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


def safe(text: str) -> str:
    """Plotly reads a few HTML tags in its texts; a study's own words are only words."""
    return html.escape(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…", quote=False)
