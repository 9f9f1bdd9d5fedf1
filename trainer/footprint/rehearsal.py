"""The steps of a study on tensors without bytes, in a base model's real architecture: what each holds as it works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from trainer.adapters.bank import AdapterBank, Shape
from trainer.adapters.wrapping import bank_for
from trainer.bases.base_model import BaseModel
from trainer.bases.conditioning import Conditioning, Framing
from trainer.bases.find import Source
from trainer.bases.text import recomputed
from trainer.data.buckets import Size
from trainer.footprint import fakes
from trainer.footprint.tracker import Tracker
from trainer.plans.compute import BaseFormat, Precision
from trainer.training import losses


class Rehearsal:
    """A pack of one slot whose tensors are fake; every figure is in bytes beyond what stays resident.

    Args:
        source: the base model; its configurations alone are read.
        precision: number format of U-Net and text encoders.
        shape: of the slot.
        form: how the frozen weights are stored.
    """

    def __init__(self, source: Source, precision: Precision, shape: Shape, form: BaseFormat = "auto") -> None:
        self._tracker = Tracker()
        with self._tracker:
            self.base: BaseModel = fakes.base_model(source, precision, form)
            self.bank: AdapterBank = bank_for(self.base, 1)
            self.bank.open(0, shape, 0)
        self._parts = shape.prefixes

    @property
    def network_bytes(self) -> dict[str, int]:
        """Of each network, by part name, in its own number format."""
        networks: dict[str, nn.Module] = {
            "unet": self.base.unet,
            "vae": self.base.vae,
            **self.base.encoders,
        }
        return {part: _bytes(network) for part, network in networks.items()}

    def training(self, size: Size, rows: int = 1, windows: int = 1, checkpointing: bool = False) -> int:
        """One training step, forward and backward.

        Args:
            size: of the images, in pixels.
            rows: images in the batch.
            windows: of 75 tokens that a caption has.
            checkpointing: whether activations are computed again in the backward pass.
        """
        unet = self.base.unet
        unet.enable_gradient_checkpointing() if checkpointing else unet.disable_gradient_checkpointing()
        with self._counted() as peak:
            clean = self._latents(size, rows, self.bank.dtype)
            draw, level = torch.zeros_like(clean), torch.ones(rows, dtype=torch.float64)
            inputs = self.base.process.noised(clean, draw, level).to(self.base.dtype)
            with self.bank.rows([0] * rows, None):
                text = self._trained_text(rows, windows, checkpointing)
                said = self._predict(inputs, text)
                wanted = self.base.process.target(clean, draw, level)
                torch.autograd.backward(losses.squared_error(said, wanted).sum())
        return peak[0]

    @torch.no_grad()
    def predicting(self, size: Size, rows: int = 1, windows: int = 1) -> int:
        """One forward pass of the judge."""
        with self._counted() as peak, self.bank.rows([0] * rows, None):
            self._predict(self._latents(size, rows, self.base.dtype), self._text(rows, windows, False))
        return peak[0]

    @torch.no_grad()
    def reading(self, windows: int = 1) -> int:
        """Encoding one caption."""
        with self._counted() as peak, self.bank.rows([0], None):
            self._text(1, windows, True)
        return peak[0]

    def encoding(self, size: Size, pictures: int = 1) -> int:
        """Encoding so many pictures into latents at a time."""
        with self._counted() as peak:
            self.base.encode_image(torch.zeros(pictures, 3, size[1], size[0]))
        return peak[0]

    def decoding(self, size: Size, pictures: int = 1) -> int:
        """Decoding so many pictures from latents at a time."""
        with self._counted() as peak:
            self.base.decode(self._latents(size, pictures, torch.float32))
        return peak[0]

    @contextmanager
    def _counted(self) -> Iterator[list[int]]:
        """The peak inside the block beyond what lived before, in bytes, once it is left."""
        found: list[int] = []
        with fakes.blockwise_attention(), fakes.META, self._tracker:
            before = self._tracker.live
            self._tracker.rewind()
            yield found
            found.append(self._tracker.peak - before)

    def _latents(self, size: Size, rows: int, dtype: torch.dtype) -> Tensor:
        width, height = (side // self.base.latent_scale for side in size)
        return torch.zeros(rows, self.base.latent_channels, height, width, dtype=dtype)

    def _text(self, rows: int, windows: int, read: bool) -> Conditioning:
        """What the U-Net is told of captions, read by the text encoders or there already."""
        base, functions = self.base, self.base.family.functions
        if read:
            reading = fakes.reading(base, rows, windows)
            return functions.read(reading)
        (length, width), pooled = functions.text(base.unet.config, windows)
        states = torch.zeros(rows, length, width, dtype=base.dtype)
        return Conditioning(states, torch.zeros(rows, pooled, dtype=base.dtype) if pooled else None)

    def _trained_text(self, rows: int, windows: int, checkpointing: bool) -> Conditioning:
        trained = "text_encoder" in self._parts
        read = partial(self._text, rows, windows, trained)
        within = partial(self.bank.rows, [0] * rows, None)
        return recomputed(read, within) if checkpointing and trained else read()

    def _predict(self, inputs: Tensor, text: Conditioning) -> Tensor:
        rows, base = len(inputs), self.base
        numbers = base.numbers([Framing.whole((1, 1))] * rows, [1.0] * rows)
        kind = torch.float64 if base.process.continuous else torch.int64
        return base.predict(inputs, torch.zeros(rows, dtype=kind), text, numbers)


def _bytes(network: nn.Module) -> int:
    tensors = (*network.parameters(), *network.buffers())
    return sum({t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}.values())
