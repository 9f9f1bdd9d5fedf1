"""Judges pictures that a trainer rendered: which checkpoint's are most like your images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from evaluation.encoders import ClipEncoder
from evaluation.image_scores import ImageScores, picture
from evaluation.intervals import Estimate
from evaluation.metrics.table import METRICS, directions
from search.objective import Measurement, weighted
from search.selection import Candidate, decide, lead
from search.small_samples import standard_error
from studies.selection.document import estimated
from studies.selection.sample_names import Samples
from studies.spec.subjects import STYLE
from studies.workspace import Document
from trainer.data.dataset import Dataset

FORMAT = 1
SHORTEST_WAY = 1e-6
"""Where the first checkpoint scores as real images do."""
TOLD = ("style", "clip_image", "memorisation")
"""Metrics that need nothing but pictures."""


class SampledCheckpoint(Document):
    """One checkpoint's pictures."""

    number: int
    objective: Estimate
    """0 is the first checkpoint, 1 your own images."""
    behind: Estimate | None
    """How far behind the best; None of the best itself."""
    close: bool
    """Whether it cannot be told from the best: at most one standard error behind."""
    metrics: dict[str, Estimate]


class SampleVerdict(Document):
    """``samples.json``."""

    format: int = FORMAT
    unit: str
    prompts: tuple[str, ...]
    best: int
    """Number of the best checkpoint."""
    checkpoints: tuple[SampledCheckpoint, ...]
    left_out: tuple[str, ...]
    images: int
    """Held-out images that the pictures are compared with."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Measured:
    """One metric of all pictures."""

    values: Tensor
    """Shape (checkpoints, prompts)."""
    ideal: float
    """What real images score."""


def judge(
    samples: Samples, dataset: Dataset, clip: str, side: int, warnings: Sequence[str] = ()
) -> SampleVerdict:
    """Compares all pictures with held-out images.

    Args:
        samples: at least two checkpoints and one prompt.
        dataset: its validation side is what pictures are compared with.
        clip: folder or hub name.
        side: to which pictures are brought, in pixels.
        warnings: what a reader should know besides.

    Raises:
        EncoderError: the CLIP cannot be loaded.
        DataError: a picture cannot be read.
    """
    measured = _measure(samples, dataset, ClipEncoder(clip, torch.device("cpu")), side)
    ways = _ways(measured)
    candidates = [_candidate(i, number, measured, ways) for i, number in enumerate(samples.numbers)]
    decision = decide(candidates)
    return SampleVerdict(
        unit=samples.unit,
        prompts=samples.prompts,
        best=decision.best.epoch,
        checkpoints=tuple(
            SampledCheckpoint(
                number=one.epoch,
                objective=estimated(one.objective),
                behind=None if one is decision.best else estimated(lead(decision.best, one)),
                close=one in decision.close,
                metrics={name: _told(of.values[one.trial]) for name, of in measured.items()},
            )
            for one in candidates
        ),
        left_out=samples.left_out,
        images=len(dataset.split.validation),
        warnings=tuple(warnings),
    )


def _measure(samples: Samples, dataset: Dataset, encoder: ClipEncoder, side: int) -> dict[str, _Measured]:
    held_out, training = dataset.split.validation, dataset.split.train
    scores = ImageScores(dataset, encoder, held_out, training, samples.prompts, (side, side))
    pictures = torch.stack([picture(path, (side, side)) for row in samples.pictures for path in row])
    shape = len(samples.numbers), len(samples.prompts)
    renders = scores.beside(pictures.view(*shape, *pictures.shape[1:]), encoder.see(pictures))
    found = {}
    for name in TOLD:
        metric = METRICS[name]
        values = metric.measure(renders) if metric.measure else None
        if values is not None:
            ideal = metric.ideal(scores.references) if metric.ideal else math.nan
            found[name] = _Measured(values, ideal)
    return found


def _ways(measured: Mapping[str, _Measured]) -> dict[str, float]:
    """How far it is from the first checkpoint's pictures to real images, by weighted metric."""
    found = {name: of for name, of in measured.items() if name in STYLE}
    return {name: max(abs(of.ideal - float(of.values[0].mean())), SHORTEST_WAY) for name, of in found.items()}


def _candidate(
    place: int, number: int, measured: Mapping[str, _Measured], ways: Mapping[str, float]
) -> Candidate:
    """A checkpoint by how far its pictures went from the first checkpoint's to real images."""
    gained = {name: (measured[name].values[place] - measured[name].values[0]).tolist() for name in ways}
    cells = weighted(gained, ways, {name: STYLE[name] for name in ways}, directions())
    mean = sum(sum(of) / len(of) for of in cells.values())
    error = math.hypot(*(standard_error(of) if len(of) > 1 else math.inf for of in cells.values()))
    return Candidate(place, number, place, 0, Measurement(mean, error if place else 0.0), {}, cells)


def _told(values: Tensor) -> Estimate:
    several = values.tolist()
    error = standard_error(several) if len(several) > 1 else math.inf
    return Estimate(mean=float(values.mean()), standard_error=error)
