"""From images and a base model to a study: every choice with its reason in a line (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from studies.commands import rules_of_thumb
from studies.commands.survey import Survey
from studies.spec.image_folders import BUCKETS_FROM, buckets
from trainer.bases.family import Family
from trainer.footprint.fitting import Fit

_TINY = 128
"""A base that draws at most so many pixels is an experiment, with learning rates and ranks of its own."""
_SMALLER = 0.8
"""Images of less than this share of the base's size ask for a smaller training size."""
_LEAST = 0.5
"""Least share of the base's own size that is proposed."""
_PROMPTS, _SEEDS = 8, 4
_GUIDE_TRIALS = 40


@dataclass(frozen=True, slots=True)
class Ground:
    """The base model and the machine."""

    path: str
    """As it stands in the study file."""
    family: Family
    side: int
    """Of the pictures that it was made for, in pixels."""
    step: int
    """Image sides must be multiples of this many pixels."""
    cuda: bool
    half: str = "bf16"
    """The half precision of the GPU."""
    fit: Fit | None = None
    """What of the study fits into the GPU's memory; None where that is not known, or nothing fits."""
    gib: float = 0.0
    """Of the GPU's memory, where that was asked."""
    told_distilled: bool | None = None
    """What the base says of itself; None: nothing."""

    @property
    def usual_rate(self) -> float:
        """The guides' learning rate, on AdamW's scale."""
        return 1e-3 if self.tiny else 1e-4

    @property
    def rates(self) -> tuple[float, float]:
        """Learning rates worth a try: ten times around the usual one."""
        return (1e-4, 1e-2) if self.tiny else (1e-5, 1e-3)

    @property
    def rank_reason(self) -> str:
        """Why its ranks."""
        return "a small base model has small layers" if self.tiny else self.family.rank_reason

    @property
    def tiny(self) -> bool:
        """Whether it is no full-size model."""
        return self.side <= _TINY


@dataclass(frozen=True, slots=True)
class Line:
    """``key = value`` and why."""

    key: str
    value: Any
    why: str


def resolution(found: Survey, ground: Ground) -> Line:
    """The base's own size; less where the images are smaller than that, or no more fits into the GPU."""
    side, median = ground.side, found.median_side
    if ground.fit is not None and ground.fit.setting.resolution < min(side, median):
        fits = ground.fit.setting.resolution
        return Line(
            "resolution", fits, f"what fits into {ground.gib:.3g} GiB; the base model was made for {side}"
        )
    if median >= _SMALLER * side:
        return Line(
            "resolution", side, f"what the base model was made for; the median image has {median} x {median}"
        )
    lower = max(int(_LEAST * side), median) // ground.step * ground.step or ground.step
    why = f"the median image has {median} x {median} pixels only; the base model was made for {side}"
    return Line("resolution", min(side, lower), why)


def data(found: Survey, ground: Ground, place: Line) -> list[Line]:
    """[plan.data]"""
    size = resolution(found, ground)
    lines = [place, size]
    low, high = found.ratios
    shapes = f"width over height is {low:.2f} to {high:.2f}"
    if found.square:
        lines.append(Line("enable_bucket", False, f"all images are about square ({shapes})"))
    elif size.value < BUCKETS_FROM:
        lines.append(
            Line("enable_bucket", False, f"too small for buckets of 64 pixels ({shapes}): images are cropped")
        )
    else:
        bounds = buckets(size.value)
        lines.append(Line("enable_bucket", True, f"{shapes}: nothing is cropped to a square"))
        lines.append(Line("min_bucket_reso", bounds["min_bucket_reso"], "shortest bucket side, pixels"))
        lines.append(Line("max_bucket_reso", bounds["max_bucket_reso"], "longest bucket side, pixels"))
    proposed = rules_of_thumb.propose(found.cards, 1)
    arithmetic = f"{found.cards} training images x {proposed.repeats} repeats x {proposed.epochs} epochs"
    lines.append(
        Line(
            "repeats",
            proposed.repeats,
            f"{arithmetic} = {images_per_trial(found):,} images seen: see [budget]",
        )
    )
    if len(batches(found)) == 1:
        lines.append(Line("batch_size", 1, f"the guides' choice up to {rules_of_thumb.SMALL} images"))
    if found.tagged:
        lines.append(Line("shuffle_caption", True, "captions are lists of tags, whose order means nothing"))
        if found.trigger and found.trigger.place == "first":
            lines.append(Line("keep_tokens", 1, "the first tag, the trigger, stays in front"))
    return lines


def images_per_trial(found: Survey) -> int:
    """The horizon by the guides' rules of thumb, at batch size 1."""
    proposed = rules_of_thumb.propose(found.cards, 1)
    return proposed.images_per_epoch * proposed.epochs


def batches(found: Survey) -> tuple[int, ...]:
    """Batch sizes worth a try."""
    if found.train <= rules_of_thumb.SMALL:
        return (1,)
    return (1, 2) if found.train < 40 else (1, 2, 4)


def budget(found: Survey, gpu_minutes: float | None) -> list[Line]:
    """[budget]"""
    wanted = rules_of_thumb.steps_wanted(found.cards)
    horizon = Line(
        "images_per_trial",
        images_per_trial(found),
        f"at batch 1 the guides' {wanted:,} steps: {rules_of_thumb.STEPS_PER_IMAGE} an image and "
        f"{rules_of_thumb.STEPS:,} at least; bad trials end long before",
    )
    stop = Line("checkpoints_without_gain", 2, "a trial past its best is not trained to the end")
    if gpu_minutes is None:
        return [
            Line("trials", _GUIDE_TRIALS, "most trials; `lorasearch plan --measure` tells the time"),
            horizon,
            stop,
        ]
    seconds = round(gpu_minutes * 60, 3)
    return [
        Line("gpu_seconds", seconds, f"--gpu-minutes {gpu_minutes:g}: training and judging together"),
        horizon,
        stop,
    ]


def compute(ground: Ground) -> list[Line]:
    """[plan.compute]"""
    if not ground.cuda:
        return [Line("mixed_precision", "no", 'no CUDA device here; on a GPU choose "bf16"')]
    lines = [
        Line("mixed_precision", ground.half, "halves the base model's memory; the LoRA stays in float32")
    ]
    if ground.fit is not None:
        return lines + _fitting(ground.fit, f"{ground.gib:.3g} GiB")
    if not ground.tiny:
        lines.append(
            Line("gradient_checkpointing", "auto", "less memory for a fifth more time, where that is needed")
        )
    return lines


def _fitting(fit: Fit, card: str) -> list[Line]:
    trials = f"{fit.trials} of the heaviest trials fit into {card} at a time"
    why = f"{trials} so" if fit.setting.checkpointing else f"{trials} without"
    lines = [Line("gradient_checkpointing", fit.setting.checkpointing, why)]
    if fit.setting.base_format != "auto":
        lines.append(
            Line("base_format", fit.setting.base_format, f"the whole base would not fit into {card}")
        )
    return lines


def space(found: Survey, ground: Ground) -> list[Line]:
    """[search.space]"""
    low, high = ground.rates
    lines = [
        Line("optimiser.name", {"choices": optimisers(ground)}, "the guides' first two"),
        Line(
            "optimiser.unet_lr",
            {"low": low, "high": high, "log": True},
            "ten times around the guides' rate, on AdamW's scale; the probe narrows it",
        ),
        Line("lora.rank", {"choices": ranks(ground)}, ground.rank_reason),
        alpha(),
        Line("lora.text_encoder", {"choices": [True, False]}, "with and without the text encoder"),
        Line(
            "optimiser.text_lr_over_unet_lr",
            {"low": 0.1, "high": 0.5, "when": {"lora.text_encoder": True}},
            "a tenth to a half of the U-Net's rate",
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
    return [
        *lines,
        Line("noise.offset", {"low": 0.0, "high": 0.1}, "the guides' range"),
        Line("noise.min_snr_gamma", {"low": 1.0, "high": 20.0, "log": True}, "5 is usual; 20 is almost off"),
    ]


def optimisers(ground: Ground) -> list[str]:
    """Those that are tried; of 8 bits where that saves memory."""
    return ["adamw8bit" if ground.cuda and not ground.tiny else "adamw", "lion"]


def alpha() -> Line:
    """Alpha itself: beside a fixed share of the rank, the best learning rate would fall as ranks rise."""
    return Line(
        "lora.alpha", {"choices": [8.0, 16.0]}, "whatever the rank, so that one learning rate fits all ranks"
    )


def ranks(ground: Ground) -> list[int]:
    """Ranks worth a try."""
    if ground.tiny:
        return [4, 8, 16]
    return list(ground.family.ranks)


def first(found: Survey, ground: Ground) -> list[dict[str, Any]]:
    """The guides' recipes, which the search must beat."""
    names = {line.key: line.value for line in space(found, ground)}
    optimiser = names["optimiser.name"]["choices"][0]
    batch = {"data.batch_size": 1} if "data.batch_size" in names else {}
    high = ranks(ground)[-1]
    rate = ground.usual_rate
    shared: dict[str, Any] = {"optimiser.name": optimiser, "noise.offset": 0.0, **batch}
    return [
        shared
        | {
            "optimiser.unet_lr": rate,
            "lora.rank": min(32, high),
            "lora.alpha": min(32, high) / 2,
            "lora.text_encoder": True,
            "optimiser.text_lr_over_unet_lr": 0.5,
        },
        shared
        | {
            "optimiser.unet_lr": 2 * rate,
            "lora.rank": 16,
            "lora.alpha": 16.0,
            "lora.text_encoder": False,
            "noise.min_snr_gamma": 5.0,
        },
    ]


def judge(found: Survey, ground: Ground, clip: str, rendering: Sequence[Line] = ()) -> list[Line]:
    """[judge]; with ``rendering`` in place of a U-Net's steps."""
    lines = [
        Line("subject", found.subject.kind, found.subject.reason),
        *(
            [Line("trigger", found.subject.called, "what prompts outside the data set call it")]
            if found.subject.called and not ground.tiny
            else []
        ),
        Line("clip", clip, "compares renders with held-out images and with prompts"),
        Line("prompt_count", _PROMPTS, _prompt_reason(found)),
        Line("seeds_per_prompt", _SEEDS, "pictures of each; fewer where judging would exceed its share"),
        *(rendering or [Line("steps", 12 if ground.tiny else 16, "sampling steps of a render")]),
        Line("max_rows", _rows(ground), "rows in one forward pass; lower it if memory runs out"),
    ]
    if ground.tiny:
        lines.append(Line("outside_prompts", "objects", "the list that a small model can draw"))
    return lines


def _prompt_reason(found: Survey) -> str:
    some = "; ".join(caption[:60] for caption in found.held_out[:2])
    return f"renders a checkpoint, of held-out captions ({some}); prompts = [...] sets your own"


def _rows(ground: Ground) -> int:
    return 64 if ground.tiny else 16 if ground.side <= 512 else 8 if ground.side <= 768 else 4
