"""What a study on a flow-matching base searches at first, and which recipes it has to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from studies.commands.init_choices import Ground, Line, alpha, batches, optimisers, ranks
from studies.commands.survey import Survey

DISTILLED = ("turbo", "schnell", "lightning", "klein", "distilled")
"""Parts of names, in small letters, of bases that are made to be rendered in few steps and without guidance."""


def space(found: Survey, ground: Ground) -> list[Line]:
    """[search.space]"""
    low, high = ground.rates
    lines = [
        Line("optimiser.name", {"choices": optimisers(ground)}, "the guides' first two"),
        Line(
            "optimiser.unet_lr",
            {"low": low, "high": high, "log": True},
            f"of the transformer, around {ground.usual_rate:g}, which {ground.family.title}'s guides give",
        ),
        Line("lora.rank", {"choices": ranks(ground)}, ground.rank_reason),
        alpha(),
        Line(
            "lora.layers",
            {"choices": ["default", "all"]},
            "what diffusers' example adapts, or all of a block",
        ),
        Line(
            "noise.timestep_density",
            {"choices": ["uniform", "logit_normal"]},
            "every noise level as often, or the middle more often (Esser et al. 2024)",
        ),
        Line(
            "noise.timestep_shift",
            {"low": 1.0, "high": 6.0, "log": True},
            "1 is none, 3 is usual at 1024 pixels: above 1 trains noisier pictures more",
        ),
    ]
    if len(batches(found)) > 1:
        lines.append(
            Line(
                "data.batch_size",
                {"choices": list(batches(found))},
                f"as {found.train} training images allow",
            )
        )
    return lines


def first(found: Survey, ground: Ground) -> list[dict[str, Any]]:
    """diffusers' and sd-scripts' recipes, which the search must beat."""
    batch = {"data.batch_size": 1} if len(batches(found)) > 1 else {}
    shared: dict[str, Any] = {
        "optimiser.name": optimisers(ground)[0],
        "optimiser.unet_lr": ground.usual_rate,
        **batch,
    }
    return [
        shared
        | {
            "lora.rank": min(16, ranks(ground)[-1]),
            "lora.alpha": 16.0,
            "lora.layers": "default",
            "noise.timestep_density": "logit_normal",
            "noise.timestep_shift": 1.0,
        },
        shared
        | {
            "lora.rank": ranks(ground)[-1],
            "lora.alpha": ranks(ground)[-1] / 2,
            "lora.layers": "all",
            "noise.timestep_density": "uniform",
            "noise.timestep_shift": 3.0,
        },
    ]


def rendering(ground: Ground) -> Sequence[Line]:
    """What of [judge] depends on the base."""
    name, told = ground.path.lower(), ground.told_distilled
    if told or (told is None and any(word in name for word in DISTILLED) and "base" not in name):
        who = "the base" if told else "the base's name"
        return [
            Line("steps", 8, f"{who} says that it is made for few steps"),
            Line("guidance", 1.0, "and for none of it"),
        ]
    settings: Mapping[str, Any] = {"steps": 12 if ground.tiny else 20}
    lines = [Line("steps", settings["steps"], "sampling steps of a render")]
    if ground.family.rendering.embedded:
        lines.append(
            Line("guidance", 3.5, f"a number that {ground.family.title} dev reads, its makers' choice")
        )
    return lines
