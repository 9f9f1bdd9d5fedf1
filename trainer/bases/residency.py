"""Which networks are on the device: those that work, where memory asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from trainer.limits import Limits
from trainer.plans.compute import Offload

ROOMY = 4
"""A device with so many times the networks' bytes free keeps them all: training and judging have room beside them."""
REST = torch.device("cpu")
"""Where networks are that do not work."""


@dataclass(slots=True)
class Residency:
    """Brings networks to the device as their stage begins, and lets others leave; does nothing unless ``moves``."""

    device: torch.device = REST
    moves: bool = False
    limits: Limits = field(default_factory=Limits)
    """How many rows the device takes at a time, where memory ran out."""
    _here: dict[str, tuple[nn.Module, ...]] = field(default_factory=dict)
    _kept: set[str] = field(default_factory=set)

    def use(self, part: str, networks: Sequence[nn.Module], alone: bool = False) -> None:
        """Puts a part's networks on the device, and all others off it but those that are kept.

        Args:
            part: "unet", "text", "vae", or an encoder of the judge.
            networks: of that part.
            alone: whether the U-Net leaves too though it is kept, unless this part is.
        """
        if not self.moves:
            return
        kept = self._kept - {"unet"} if alone and part not in self._kept else self._kept
        for other in [name for name in self._here if name != part and name not in kept]:
            for network in self._here.pop(other):
                network.to(REST)
        if self._here.get(part) != tuple(networks):
            for network in self._here.pop(part, ()):
                network.to(REST)
            for network in networks:
                network.to(self.device)
            self._here[part] = tuple(networks)

    def forget(self, part: str) -> None:
        """Lets go of a part's networks, which leave memory."""
        self._here.pop(part, None)

    def keep(self, part: str) -> None:
        """Lets a part stay when others are used: what every step needs."""
        self._kept.add(part)

    def release(self, part: str) -> None:
        """Lets a part leave when another is used."""
        self._kept.discard(part)


def leave(offload: Offload, device: torch.device, held: int) -> bool:
    """Whether networks that idle leave the device.

    Args:
        offload: the plan's wish; "auto" asks how roomy the device is.
        device: where the networks work.
        held: bytes of all networks.
    """
    if offload != "auto" or device.type != "cuda":
        return offload == "all"
    free, _ = torch.cuda.mem_get_info(device)
    return leave_room(offload, free, held)


def leave_room(offload: Offload, room: int, held: int) -> bool:
    """Whether networks that idle leave a device with so many bytes free; "auto" keeps all where there is ample room."""
    return offload == "all" or (offload == "auto" and room < ROOMY * held)
