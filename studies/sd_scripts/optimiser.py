"""Optimiser, learning rates and schedule of a configuration, in the plan's units."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, get_args

from studies.sd_scripts.names import OPTIMISERS, OTHER_OPTIMISERS
from studies.sd_scripts.settings import Settings
from trainer.plans.optimiser_kinds import OPTIMISERS as KINDS
from trainer.plans.optimiser_kinds import Kind
from trainer.plans.schedule import ScheduleName

DECAY: Mapping[str, float] = {
    "adamw": 0.01,
    "adamw8bit": 0.01,
    "paged_adamw8bit": 0.01,
    "dadapt_adan": 0.02,
    "dadapt_adan_ip": 0.02,
}
"""Weight decay of an optimiser that is told none; 0 for all others."""
UNTOLD: Mapping[str, Mapping[str, Any]] = {
    "dadaptation": {"decouple": False},
    "dadapt_adam": {"decouple": False},
    "adafactor": {"scale_parameter": True},
    "prodigy": {"use_bias_correction": False, "safeguard_warmup": False},
}
"""Arguments that sd-scripts leaves at the library's default, where ours is another."""
_LEGACY = {"use_8bit_adam": "adamw8bit", "use_lion_optimizer": "lion"}
_NAMES = {name.lower(): ours for ours, name in OPTIMISERS.items()} | dict(OTHER_OPTIMISERS)
_NEAREST = {"cosine_with_min_lr": "cosine", "cosine_warmup_with_min_lr": "cosine"}
"""Schedules that end elsewhere than ours of the same shape."""
_MOST = 10
"""Largest ``text_lr_over_unet_lr``."""
_DEFAULT_RATE = 2e-6
"""``learning_rate`` of sd-scripts where nothing is said."""


def tidy(value: float) -> float:
    """A converted value without the last digits' rounding."""
    return float(f"{value:.12g}")


def optimiser(s: Settings) -> str:
    """Sets name, weight decay and arguments.

    Returns:
        Our name of it.
    """
    name = _name(s)
    arguments = {key: literal(text) for key, text in s.pairs("optimizer_args").items()}
    s.put("optimiser.name", name, "optimizer_type")
    decay = arguments.pop("weight_decay", DECAY.get(name, 0.0))
    s.put("optimiser.weight_decay", decay, "optimizer_args: weight_decay")
    if name == "adafactor" and arguments.pop("relative_step", True):
        s.refuse("optimizer_args: relative_step", "not supported; the learning rate is optimiser.unet_lr")
    full = {**UNTOLD.get(name, {}), **arguments}
    preset = KINDS[name].preset
    own = {key: value for key, value in full.items() if value is not None and preset.get(key, ...) != value}
    if own:
        s.put("optimiser.args", own, "optimizer_args")
    return name


def literal(text: str) -> Any:
    """``0.9,0.99`` as a list, ``True`` as a switch, numbers as numbers, anything else as text."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False}.get(text.lower(), text)
    return list(found) if isinstance(found, tuple) else found


def rates(s: Settings, name: str) -> None:
    """Sets which parts are trained, and their learning rates."""
    overall = s.number("learning_rate")
    unet = s.number("unet_lr", _DEFAULT_RATE if overall is None else overall)
    text = _text_rates(s, _DEFAULT_RATE if overall is None else overall)
    only_unet, only_text = s.flag("network_train_unet_only"), s.flag("network_train_text_encoder_only")
    trains_unet, trains_text = not only_text and unet != 0, not only_unet and text[0] != 0
    if not (trains_unet or trains_text):
        s.problems.append(
            "network_train_unet_only, network_train_text_encoder_only and the learning rates together "
            "leave nothing to train; keep one part."
        )
        return
    s.put("lora.unet", trains_unet, "network_train_text_encoder_only" if only_text else "unet_lr")
    s.put("lora.text_encoder", trains_text, "network_train_unet_only" if only_unet else "text_encoder_lr")
    if not trains_text and s.has("text_encoder_lr") and text[0]:
        s.refuse("text_encoder_lr", "no effect here (network_train_unet_only = true)")
    lead = unet if unet and (trains_unet or 0 < text[0] / unet <= _MOST) else text[0]
    _check_signs(s, lead, text)
    if KINDS[name].adaptive:
        _adaptive(s, KINDS[name], lead, text[0] if trains_text and trains_unet else lead, trains_text)
    else:
        _plain(s, KINDS[name], lead, text if trains_text else [])


def _check_signs(s: Settings, lead: float, text: list[float]) -> None:
    for key, value in (("unet_lr", lead), *(("text_encoder_lr", rate) for rate in text)):
        if value < 0:
            s.problems.append(f"{key} must be at least 0, but got {value}.")


def _plain(s: Settings, kind: Kind, lead: float, text: list[float]) -> None:
    key = "unet_lr" if s.has("unet_lr") else "learning_rate"
    s.put("optimiser.unet_lr", lead if kind.share == 1 else tidy(lead / kind.share), key)
    if text and lead > 0:
        s.put("optimiser.text_lr_over_unet_lr", tidy(text[0] / lead), "text_encoder_lr")
        if len(text) > 1 and text[1] != text[0]:
            if text[1]:
                s.put("optimiser.text2_lr_over_unet_lr", tidy(text[1] / lead), "text_encoder_lr")
            else:
                s.refuse("text_encoder_lr", "0 for the second text encoder alone is not supported")


def _adaptive(s: Settings, kind: Kind, lead: float, text: float, trains_text: bool) -> None:
    """Optimisers that find their own rate are given 1, for all parts."""
    if text != lead and kind.one_rate:
        s.problems.append(
            f"optimizer_type = {s.values.get('optimizer_type')!r} has one learning rate for all parts, but "
            f"unet_lr is {lead} and text_encoder_lr is {text}; make them equal (1 is usual)."
        )
    elif text != lead:
        s.refuse("text_encoder_lr", f"not supported: {kind.name} has one rate for all parts")
    if lead != 1:
        key = "unet_lr" if s.has("unet_lr") else "learning_rate"
        s.refuse(key, f"not supported: {kind.name} finds its own rate and is always given 1")
    if trains_text:
        s.put("optimiser.text_lr_over_unet_lr", 1.0, "text_encoder_lr")


def _text_rates(s: Settings, default: float) -> list[float]:
    value = s.take("text_encoder_lr")
    if not isinstance(value, list):
        return [s.number("text_encoder_lr", default) or 0.0]
    numbers = [float(v) for v in value if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numbers) != len(value) or not 1 <= len(value) <= 2:
        s.problems.append(f"text_encoder_lr must be one or two numbers, but got {value!r}.")
        return [default]
    return numbers


def schedule(s: Settings) -> None:
    """Sets the schedule and its warm-up."""
    name = s.text("lr_scheduler", "constant").lower()
    choices = [choice for choice in get_args(ScheduleName) if choice != "staged"]
    if name not in choices:
        near = _NEAREST.get(name, "constant")
        if near == "constant" and s.number("lr_warmup_steps"):
            near = "constant_with_warmup"
        s.refuse(
            "lr_scheduler", f"{name!r} is not supported, {near!r} is taken; we have {', '.join(choices)}"
        )
        name = near
    s.put("schedule.name", name, "lr_scheduler")
    _warmup(s, name)
    cycles, power = s.whole("lr_scheduler_num_cycles"), s.number("lr_scheduler_power")
    if cycles is None:
        cycles = s.whole("lr_restart_cycles")
    s.used.add("lr_restart_cycles")
    _only_with(s, name, "cosine_with_restarts", "cycles", cycles)
    _only_with(s, name, "polynomial", "power", power)


def _only_with(s: Settings, name: str, needed: str, leaf: str, value: float | None) -> None:
    key = f"lr_scheduler_num_{leaf}" if leaf == "cycles" else f"lr_scheduler_{leaf}"
    if leaf == "cycles" and not s.has(key):
        key = "lr_restart_cycles"
    if value is not None and name == needed:
        s.put(f"schedule.{leaf}", value, key)
    elif value not in (None, 1):
        s.refuse(key, f"no effect here (lr_scheduler is {name!r}, not {needed!r})")


def _warmup(s: Settings, name: str) -> None:
    warmup = s.number("lr_warmup_steps", 0.0) or 0.0
    if not warmup:
        return
    if name == "constant":
        s.problems.append(
            f"lr_warmup_steps = {warmup:g} cannot act with lr_scheduler = 'constant'; "
            "choose 'constant_with_warmup', or set lr_warmup_steps = 0."
        )
    elif 0 < warmup < 1:
        s.put("schedule.warmup_share", warmup, "lr_warmup_steps")
    else:
        s.put("schedule.warmup_steps", s.whole("lr_warmup_steps"), "lr_warmup_steps")


def _name(s: Settings) -> str:
    legacy = [ours for key, ours in _LEGACY.items() if s.flag(key)]
    asked = s.text("optimizer_type")
    if not asked:
        return legacy[0] if legacy else "adamw"
    if asked.lower() in _NAMES:
        return _NAMES[asked.lower()]
    s.problems.append(
        f"optimizer_type = {asked!r} is not supported; choose among: {', '.join(OPTIMISERS.values())}."
    )
    return "adamw"
