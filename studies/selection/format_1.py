"""Reads the documents of version 0.1, which had sentences and no format number (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def upgraded(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A document of the format before in today's terms.

    Raises:
        ValueError: something is missing that version 0.1 always wrote.
    """
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
                "rule": {"weights": weights, "guards": guards, "confirm": confirm, "spreads": spreads},
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
