"""The page of a judgement: one HTML file that needs no network, no script and no study."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from evaluation.scorecard import ScoreCard
from studies import images
from studies.engines.judging import Case
from studies.images import strip
from studies.report import findings, image_grids, provenance
from studies.report.explanation import sentence
from studies.report.page import environment
from studies.selection.judgement import Judgement
from studies.text import format
from studies.text.format import signed
from studies.text.i18n import ENGLISH, Translator, marked
from trainer.files import write_whole

_WIDTH, _HEIGHT = 720, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 14, 34
"""Of the curve's drawing, in its own units."""
_COLUMNS = (
    ("clip_image", marked("CLIP image")),
    ("clip_text", marked("CLIP text")),
    ("memorisation", marked("memorisation")),
)


def write(path: Path, judgement: Judgement, case: Case, say: Translator = ENGLISH) -> None:
    """Writes the page, whole or not at all."""
    write_whole(path, render(content(judgement, case, say), say).encode())


def render(found: Mapping[str, Any], say: Translator = ENGLISH) -> str:
    """The page from its content, everything escaped."""
    return environment(say).get_template("judged.html.j2").render(**found)


def content(judgement: Judgement, case: Case, say: Translator = ENGLISH) -> dict[str, Any]:
    """What the page says."""
    document = judgement.document
    held_out = case.images.dataset.split.validation[: len(judgement.prompts)]
    place, won = next((i, f) for i, f in enumerate(document["files"]) if f["verdict"] == "best")
    tiles = list(map(_tiles, judgement.renders))
    side: findings.Side = "test" if document["test"] else "validation"
    said = judgement.said(say)
    return {
        "document": document,
        "said": said,
        "warnings": [sentence(warning, say) for warning in case.images.warnings],
        "files": list(zip(document["files"], said.verdicts, strict=True)),
        "diagnoses": [
            (run["run"], told) for run, told in zip(document["runs"], said.diagnoses, strict=True) if told
        ],
        "findings": findings.findings(document["test"] or won["scores"], document["images"][side], side, say),
        "columns": [(key, say(name)) for key, name in _COLUMNS if document["files"][0]["scores"].get(key)],
        "curves": [c for members in _by_run(document["files"]) if len(members) > 1 and (c := curve(members))],
        "pairs": image_grids.pairs(
            ScoreCard.model_validate(won["scores"]), tiles[place], judgement.prompts, case.images.dataset
        ),
        "levels": levels(won["confirmed"]["scores"]["validation_by_timestep"]),
        "prompts": judgement.prompts,
        "originals": [image_grids.original(case.images.dataset, i) for i in held_out],
        "base": _tiles(judgement.base_renders),
        "rows": list(zip(document["files"], tiles, strict=True)),
        "measured": _measured(case, say),
    }


def curve(files: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The points of a run's validation curve in the drawing's units, with bars of one standard error; empty if none.

    Args:
        files: entries of judgement.json, in the order of training.
    """
    points = [
        (entry["epoch"], estimate["mean"], estimate["standard_error"] or 0.0, entry)
        for entry in files
        if math.isfinite((estimate := entry["scores"]["validation"])["mean"] or 0.0)
    ]
    if not points:
        return {}
    low: float = min(0.0, *(mean - error for _, mean, error, _ in points))
    high: float = max(0.0, *(mean + error for _, mean, error, _ in points))
    first, last = int(points[0][0]), int(points[-1][0])
    down = _downwards(low, high)

    def across(epoch: float) -> float:
        return _LEFT + (epoch - first) / max(last - first, 1) * (_WIDTH - _LEFT - _RIGHT)

    return {
        "run": files[0]["run"],
        "width": _WIDTH,
        "height": _HEIGHT,
        "left": _LEFT,
        "right": _WIDTH - _RIGHT,
        "zero": down(0.0),
        "ticks": [(down(value), signed(value, 3)) for value in (low, high) if value],
        "points": [
            {
                "x": across(epoch),
                "y": down(mean),
                "top": down(mean + error),
                "bottom": down(mean - error),
                "label": entry["label"],
                "best": entry["verdict"] == "best",
                "said": format.estimate(entry["scores"]["validation"], 4),
            }
            for epoch, mean, error, entry in points
        ],
    }


def _downwards(low: float, high: float) -> Callable[[float], float]:
    """Where a value lies in the drawing, whose heights grow downwards."""
    return lambda value: _TOP + (high - value) / max(high - low, 1e-9) * (_HEIGHT - _TOP - _BOTTOM)


def levels(values: Sequence[float]) -> dict[str, Any]:
    """Bars of log(loss / base loss) by noise level, from clean to noisy, in the drawing's units."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return {}
    low, high = min(0.0, *finite), max(0.0, *finite)
    down = _downwards(low, high)
    width = (_WIDTH - _LEFT - _RIGHT) / len(values)

    bars = [
        {
            "x": _LEFT + (i + 0.06) * width,
            "width": 0.88 * width,
            "y": min(down(value), down(0.0)),
            "height": abs(down(value) - down(0.0)),
            "better": value <= 0,
            "said": signed(value, 4),
        }
        for i, value in enumerate(values)
        if math.isfinite(value)
    ]
    ticks = [(down(value), signed(value, 3)) for value in (low, high) if value]
    frame = {"width": _WIDTH, "height": _HEIGHT, "left": _LEFT, "right": _WIDTH - _RIGHT}
    return {"bars": bars, "zero": down(0.0), "ticks": ticks, **frame}


def _by_run(files: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for entry in files:
        found.setdefault(entry["run"], []).append(entry)
    return list(found.values())


def _tiles(renders: Tensor) -> list[str]:
    return [images.data_uri(strip(picture[None])) for picture in renders]


def _measured(case: Case, say: Translator) -> list[tuple[str, str]]:
    confirm, split = case.confirm, case.images.dataset.split
    return [
        (say("Base model"), str(case.base.path)),
        (
            say("Images"),
            say(
                "{choose} to choose by, {test} to test the choice on, {train} that pictures are compared with for "
                "memorisation; near-duplicates are on one side",
                choose=len(split.validation),
                test=len(split.test),
                train=len(split.train),
            ),
        ),
        (say("Resolution"), say("{size} pixels", size=case.resolution)),
        *provenance.judging(case.judge, say),
        (
            say("Judged again"),
            say(
                "{files} files at a time, up to {rounds} rounds of {timesteps} timesteps an image and {seeds} fresh "
                "seeds a prompt",
                rounds=confirm.rounds,
                files=confirm.finalists,
                timesteps=confirm.timesteps,
                seeds=confirm.seeds_per_prompt,
            ),
        ),
    ]
