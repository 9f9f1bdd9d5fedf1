"""Validation loss: plain squared error on held-out images at fixed timesteps and noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from evaluation.metrics.log_ratio import log_ratio
from evaluation.subject import Subject, embed
from trainer.adapters.bank import AdapterBank
from trainer.bases.conditioning import Conditioning, Framing
from trainer.data.encoded import Encoded
from trainer.seeds import generator
from trainer.training import losses

GUIDANCE = 1.0
"""What a denoiser that reads a guidance is told, as in training."""


@dataclass(frozen=True, slots=True)
class Cells:
    """The grid of one image: its latents at T timesteps, each with its own noise."""

    caption: str
    latents: Tensor
    """Shape (T, channels, h, w)."""
    noise: Tensor
    timesteps: Tensor
    """Shape (T,), one in each of T equal strata of the schedule."""
    framing: Framing


def cells(data: Encoded, example: int, count: int, seed: int) -> Cells:
    """The cells of an image, drawn from its content and ``seed`` alone.

    Args:
        data: the encoded data set.
        example: index of the image.
        count: T, timesteps per image.
        seed: another seed measures again with other timesteps and noise.
    """
    content = data.dataset.examples[example].content
    latents = data.latents(example).to(data.base.device)
    source = generator(seed, "validation", content)
    strata = (torch.arange(count) + torch.rand(count, generator=source)) / count
    timesteps = data.base.process.strata(strata, data.base.patches(*latents.shape[-2:]))
    drawn = torch.randn(count, *latents.shape, generator=source).to(latents)
    repeated = latents.expand(count, *latents.shape)
    return Cells(data.dataset.examples[example].caption, repeated, drawn, timesteps, data.framing(example))


@torch.no_grad()
def measure(
    data: Encoded, bank: AdapterBank, subjects: Sequence[Subject], grid: Sequence[Cells], max_rows: int
) -> Tensor:
    """Squared errors of every subject on every cell: shape (subjects, images, T), float64, on the CPU.

    Args:
        data: the encoded data set and its base model.
        bank: where the subjects' slots are.
        subjects: who is measured.
        grid: the cells of each image.
        max_rows: most rows in one forward pass.
    """
    text = embed(data, bank, subjects, [image.caption for image in grid])
    errors = torch.zeros(len(subjects), len(grid), len(grid[0].timesteps), dtype=torch.float64)
    for images in _alike(grid):
        found = _errors(data, bank, subjects, _join(grid, images), text, max_rows)
        errors[:, images] = found.view(len(subjects), len(images), -1).double().cpu()
    return errors


@dataclass(frozen=True, slots=True)
class _Joined:
    """The cells of images of one size, cell after cell."""

    image: Tensor
    """Index into the grid of each cell, shape (cells,)."""
    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    framings: tuple[Framing, ...]


def _alike(grid: Sequence[Cells]) -> list[list[int]]:
    """Indices of the images whose latents share a shape."""
    found: dict[tuple[int, ...], list[int]] = {}
    for i, image in enumerate(grid):
        found.setdefault(tuple(image.latents.shape), []).append(i)
    return list(found.values())


def _join(grid: Sequence[Cells], images: Sequence[int]) -> _Joined:
    members = [grid[i] for i in images]
    return _Joined(
        torch.tensor(images).repeat_interleave(len(members[0].timesteps)),
        torch.cat([image.latents for image in members]),
        torch.cat([image.noise for image in members]),
        torch.cat([image.timesteps for image in members]),
        tuple(image.framing for image in members for _ in image.timesteps),
    )


def _errors(
    data: Encoded,
    bank: AdapterBank,
    subjects: Sequence[Subject],
    row: _Joined,
    text: Conditioning,
    max_rows: int,
) -> Tensor:
    """Shape (subjects, cells): a row for each subject and cell, subject after subject, some rows at a time."""
    base, count, process = data.base, len(row.timesteps), data.base.process
    slots = [subject.slot for subject in subjects for _ in range(count)]

    def error(take: slice) -> Tensor:
        places = [place % count for place in range(take.start, take.stop)]
        who = torch.tensor([place // count for place in range(take.start, take.stop)])
        when = row.timesteps[places]
        level = process.level(when).to(base.device)
        clean, added = row.latents[places].to(bank.dtype), row.noise[places].to(bank.dtype)
        wanted = process.target(clean, added, level)
        with bank.rows(slots[take]):
            said = base.predict(
                process.noised(clean, added, level).to(base.dtype),
                when.to(base.device),
                text[who.to(base.device), row.image[places].to(base.device)],
                base.numbers([row.framings[place] for place in places], [GUIDANCE] * len(places)),
            )
        return losses.squared_error(said, wanted)

    return base.residency.limits.run("validation", len(slots), max_rows, error).view(len(subjects), count)


def caption_gain(
    data: Encoded, bank: AdapterBank, grid: Sequence[Cells], losses_of_base: Tensor, max_rows: int
) -> Tensor:
    """log(L without caption / L with it) of the base model: shape (images, T).

    Args:
        data: the encoded data set and its base model.
        bank: which no slot of is looked at.
        grid: the cells of each image.
        losses_of_base: the base model's on the same cells, shape (images, T).
        max_rows: most rows in one forward pass.
    """
    blank = [replace(cell, caption="") for cell in grid]
    return log_ratio(measure(data, bank, [Subject(None)], blank, max_rows)[0], losses_of_base)
