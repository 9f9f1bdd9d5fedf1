"""A study around a recipe: its values fixed, sensible ranges around those that matter, itself tried first (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studies.sd_scripts.importing import Recipe
from studies.sd_scripts.settings import FIELDS
from studies.spec.paths import study_name
from studies.spec.sections import BLIND_WEIGHTS
from studies.spec.subjects import STYLE
from studies.spec.toml import comment, key, section, value
from trainer.plan import TrainingPlan
from trainer.plans.network import MOST_DIMENSIONS
from trainer.plans.optimiser_kinds import OPTIMISERS

_SECTIONS = ("base", "data", "lora", "optimiser", "schedule", "noise", "ema", "compute")
_TRIALS = 40
_ONE_RANK = ("full", "ia3", "dylora")
"""Algorithms without a rank, or whose ranks go by blocks."""


def space(plan: TrainingPlan) -> dict[str, dict[str, Any]]:
    """The search space around a recipe."""
    lora, rates = plan.lora, plan.optimiser
    adaptive = OPTIMISERS[rates.name].adaptive
    found: dict[str, dict[str, Any]] = {}
    if not adaptive:
        found["optimiser.unet_lr"] = _around(rates.unet_lr, 5, 1.0)
    if lora.unet and lora.text_encoder and not adaptive:
        ratio = rates.text_lr_over_unet_lr
        found["optimiser.text_lr_over_unet_lr"] = {"low": min(0.1, ratio), "high": max(0.5, ratio)}
    if not lora.start and lora.algorithm not in _ONE_RANK and not lora.whole_matrix:
        choices = {max(1, lora.rank // 2), lora.rank, min(MOST_DIMENSIONS, 2 * lora.rank)}
        found["lora.rank"] = {"choices": sorted(choices)}
    if not lora.whole_matrix and lora.alpha is not None:
        found["lora.alpha"] = {"choices": sorted({lora.alpha / 2, lora.alpha})}
    elif not lora.whole_matrix:
        found["lora.alpha_over_rank"] = {"choices": sorted({0.5, 1.0, lora.alpha_over_rank})}
    found["noise.offset"] = {"low": 0.0, "high": max(0.1, plan.noise.offset)}
    return found


def text(recipe: Recipe, source: str, concepts: str | None = None) -> str:
    """The study file.

    Args:
        recipe: what was imported.
        source: what it was imported from.
        concepts: name of the concepts list beside the study file, if one is needed.
    """
    searched = space(recipe.plan)
    fixed: dict[str, dict[str, Any]] = {}
    for name, item in recipe.values.items():
        if name not in searched:
            part, _, leaf = name.partition(".")
            fixed.setdefault(part, {})[leaf] = concepts if name == "data.concepts" else item
    parts = [
        comment(_head(recipe, source)) + "\n",
        section("[study]", {"name": study_name(recipe.name), "seed": recipe.seed}),
        *(section(f"[plan.{part}]", _ordered(part, fixed.get(part, {}))) for part in _SECTIONS),
        comment(_amount(recipe)),
        section("[budget]", {"trials": _TRIALS, "images_per_trial": recipe.images_per_trial}),
        _space_text(searched),
        comment(["The imported recipe: the search must beat it, and shows whether it did."]),
        section("[[first]]", {name: {**FIELDS, **recipe.values}[name] for name in searched}),
        section("[judge]", recipe.judge),
        comment([f"With a CLIP (judge.clip = a folder or a hub name) weigh pictures too: {_weights()}."]),
        section("[objective]", dict(BLIND_WEIGHTS)),
        section("[save]", recipe.save),
    ]
    return "".join(parts).rstrip() + "\n"


def _weights() -> str:
    return ", ".join(f"{name} = {weight:g}" for name, weight in STYLE.items())


def _around(middle: float, factor: float, most: float) -> dict[str, Any]:
    low, high = _rounded(middle / factor), min(most, _rounded(middle * factor))
    return {"low": min(low, middle), "high": max(high, middle), "log": True}


def _rounded(number: float) -> float:
    return float(f"{number:.3g}")


def _ordered(part: str, entries: Mapping[str, Any]) -> dict[str, Any]:
    """In the order of the plan's fields."""
    order = [name for name in FIELDS if name.startswith(f"{part}.")]
    return {leaf: entries[leaf] for name in order if (leaf := name.partition(".")[2]) in entries}


def _space_text(searched: Mapping[str, Mapping[str, Any]]) -> str:
    lines = "".join(f"{key(name)} = {value(table)}\n" for name, table in searched.items())
    return f"[search.space]\n{lines}\n"


def _amount(recipe: Recipe) -> list[str]:
    epochs = recipe.values.get("data.epochs", FIELDS["data.epochs"])
    return [
        f"{recipe.images.shown} images x repeats, {epochs} epochs; what [split] holds out is not trained on."
    ]


def _head(recipe: Recipe, source: str) -> list[str]:
    lines = [f"Imported from {source}."]
    if recipe.converted:
        lines += ["Converted:", *(f"  {line}" for line in recipe.converted)]
    if recipe.unmet:
        lines += ["Not honoured:", *(f"  {unmet}" for unmet in recipe.unmet)]
    return lines
