"""Reads documents of older formats (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def upgraded(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A document of any format before this one in today's terms; one of this one as it is.

    Raises:
        ValueError: something is missing that its version always wrote.
    """
    if "format" not in stored:
        return _of_format_1(stored)
    match stored:
        case {"format": 2, "rule": {"spreads": spreads, **rule}, **rest}:
            return {**rest, "rule": {**rule, "units": spreads}}
    return dict(stored)


def _of_format_1(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Format 1 had sentences, and no number."""
    match stored:
        case {
            "study": name,
            "asked": {"objective": weights, "guards": guards, "confirm": confirm},
            "spreads": spreads,
            "winner": {"trial": trial, "epoch": epoch, "file": file} as winner,
            "confirmation": {"finalists": [_, *_] as finalists} as confirmation,
            "candidates": candidates,
            "tested_before": before,
            **rest,
        }:
            key = {"trial": trial, "epoch": epoch}
            best = max(finalists, key=lambda one: float(one["objective"]["mean"]))
            return {
                **{field: rest.get(field) for field in _AS_THEY_WERE},
                "name": name,
                "rule": {"weights": weights, "guards": guards, "confirm": confirm, "units": spreads},
                "winner": {"rank": 0, **winner},
                "confirmation": {**confirmation, "best": {field: best[field] for field in key}},
                "tested_before": [dict(zip(key, other, strict=True)) for other in before],
                "candidates": [
                    {"rank": 0, "file": file if key.items() <= one.items() else "", **one}
                    for one in candidates
                ],
            }
    raise ValueError("this is no document of version 0.1")


_AS_THEY_WERE = ("seed", "trials", "test", "shares_of_variance", "pareto")
