"""Which settings let a study fit into a device, the least compromise first (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from trainer.bases.residency import leave_room
from trainer.footprint.forecast import Needs, Use, largest_pack, stages
from trainer.plans.compute import BaseFormat, Offload

GOOD_PACK = 4
"""Trials at a time from which gradient checkpointing is not worth its time to hold more."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What memory depends on, beside the number of trials."""

    resolution: int
    """Pixels."""
    base_format: BaseFormat
    checkpointing: bool
    offload: Offload = "auto"


@dataclass(frozen=True, slots=True)
class Fit:
    """How a study fits."""

    setting: Setting
    offload: bool
    trials: int
    """The largest pack."""
    stage: str
    """The hungriest; a key of ``forecast.stages``."""
    peak: int
    """Bytes of tensors in that stage."""


def fit(
    needs: Callable[[Setting], Needs], compromises: Sequence[Setting], batch: int, room: int, most: int
) -> Fit | None:
    """The first compromise that lets at least one trial fit, with the largest pack; None where none does.

    Args:
        needs: of a setting; asked only as far as it has to be.
        compromises: the best first; each is tried without gradient checkpointing too, unless it asks for it.
        batch: images of each trial in a step.
        room: bytes that tensors may take.
        most: trials of the largest pack that is wanted.
    """
    for setting in compromises:
        best: Fit | None = None
        for found in _packs(needs, setting, batch, room, most):
            if best is None or found.trials > best.trials:
                best = found
            if best.trials >= min(most, GOOD_PACK):
                break
        if best is not None:
            return best
    return None


def _packs(
    needs: Callable[[Setting], Needs], setting: Setting, batch: int, room: int, most: int
) -> Iterator[Fit]:
    """What fits without gradient checkpointing, then with it; nothing where not one trial does."""
    for checkpointing in (True,) if setting.checkpointing else (False, True):
        tried = replace(setting, checkpointing=checkpointing)
        found = needs(tried)
        offload = leave_room(setting.offload, room, found.unet + found.text + found.readers + found.vae)
        if trials := largest_pack(found, batch, offload, room, most):
            at = stages(found, Use(trials, batch, offload))
            stage = max(at, key=lambda name: at[name])
            yield Fit(tried, offload, trials, stage, at[stage])
