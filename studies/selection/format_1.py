"""Reads the documents of version 0.1, which had sentences and no format number (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def upgraded(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A document of the format before in today's terms.

    Raises:
        KeyError: something is missing that version 0.1 always wrote.
    """
    asked, winner, finalists = stored["asked"], stored["winner"], stored["confirmation"]["finalists"]
    best = max(finalists, key=lambda one: float(one["objective"]["mean"]))
    files = {(winner["trial"], winner["epoch"]): winner["file"]}
    return {
        "name": stored["study"],
        "seed": stored["seed"],
        "trials": stored["trials"],
        "rule": {
            "weights": asked["objective"],
            "guards": asked["guards"],
            "confirm": asked["confirm"],
            "spreads": stored["spreads"],
        },
        "winner": {"rank": 0, **winner},
        "confirmation": {**stored["confirmation"], "best": _key(best)},
        "test": stored["test"],
        "tested_before": [{"trial": trial, "epoch": epoch} for trial, epoch in stored["tested_before"]],
        "shares_of_variance": stored["shares_of_variance"],
        "pareto": stored["pareto"],
        "candidates": [
            {"rank": 0, "file": files.get((one["trial"], one["epoch"]), ""), **one}
            for one in stored["candidates"]
        ],
    }


def _key(one: Mapping[str, Any]) -> dict[str, int]:
    return {"trial": one["trial"], "epoch": one["epoch"]}
