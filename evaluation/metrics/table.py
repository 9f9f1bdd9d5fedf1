"""The metrics, a row each: how it is measured, whether more is better, and what people call it.

A new metric is a function, a row here and a test: judging, pooling, objective, table, page and terminal go by the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from evaluation.image_scores import Renders

Tone = Literal["good", "bad", "neutral"]
Need = Literal["losses", "training", "text", "pictures", "seeds", "outside"]
"""Losses; those of training images; a CLIP; a CLIP or an image encoder; several seeds a prompt; prompts outside the
data set."""


def marked(text: str) -> str:
    """The same text; marks words that a translator is given, so that they can be collected."""
    return text


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure by which checkpoints are compared with the base model."""

    name: str
    direction: Literal[-1, 1]
    """Whether more is better (+1) or worse (-1)."""
    digits: int
    """Decimals that people are shown."""
    label: str
    short: str
    """For narrow columns."""
    long: str
    """For a line of its own."""
    title: str
    meanings: Mapping[Tone, str]
    """What it means where it is better than the base model, worse, or neither."""
    measure: Callable[[Renders], Tensor | None] | None = None
    """Of some subjects' renders, shape (subjects, renders or prompts); None where something is missing for it.
    A metric without a function is measured by losses."""
    needs: frozenset[Need] = frozenset()
    outside: bool = False
    """Whether it is measured on renders of prompts outside the data set."""
    ideal: Callable[[Tensor], float] | None = None
    """What real images would score, of the held-out ones' embeddings (images, width); None where nobody can say."""
    level: bool = False
    """Whether the value itself has its error told, not only its difference to the base model."""


def _clip_image(of: Renders) -> Tensor | None:
    if of.seen is None or of.references is None:
        return None
    from evaluation.metrics import similarity

    alike = similarity.image_image(of.seen.flatten(0, 1), of.references)
    return alike.view(of.seen.shape[:2])


def _alike(references: Tensor) -> float:
    """How like each other the held-out images are: each beside all others."""
    from evaluation.metrics import similarity

    count = len(references)
    whole = float(similarity.image_image(references, references).mean())
    return (count * whole - 100) / (count - 1) if count > 1 else whole


def _clip_text(of: Renders) -> Tensor | None:
    if of.read is None or of.texts is None:
        return None
    from evaluation.metrics import similarity

    subjects, count = of.read.shape[:2]
    alike = similarity.text_image(of.read.flatten(0, 1), of.texts.repeat(subjects, 1))
    return alike.view(subjects, count)


def _diversity(of: Renders) -> Tensor | None:
    several = [where for where in of.places if len(where) > 1]
    if of.seen is None or not several:
        return None
    import torch

    from evaluation.metrics.diversity import diversity

    return torch.stack([diversity(of.seen[:, where]) for where in several], dim=1)


def _style(of: Renders) -> Tensor | None:
    if of.drawn is None or of.drawn_really is None:
        return None
    import torch

    from evaluation.metrics.style import style_distance

    real = of.drawn_really
    return torch.stack([style_distance(each, real) for each in of.drawn])


def _memorisation(of: Renders) -> Tensor | None:
    return None if of.copies is None else of.copies.leaning


_ROWS = (
    Metric(
        name="validation",
        direction=-1,
        digits=4,
        label=marked("validation loss"),
        short="validation",
        long="validation loss, mean log ratio",
        title=marked("Loss"),
        meanings={
            "good": marked("The loss on {where} is this much lower than without the LoRA."),
            "bad": marked(
                "The loss on {where} is higher than without the LoRA: the training images may be learnt by heart."
            ),
            "neutral": marked("The loss on {where} cannot be told from that without the LoRA."),
        },
        needs=frozenset({"losses"}),
    ),
    Metric(
        name="clip_image",
        direction=+1,
        digits=2,
        label=marked("CLIP image similarity"),
        short="CLIP image",
        long="CLIP image-image similarity",
        title=marked("Likeness (CLIP)"),
        meanings={
            "good": marked(
                "Its pictures are closer to your held-out images than the base model's, in points of 100."
            ),
            "bad": marked(
                "Its pictures are further from your held-out images than the base model's, in points of 100."
            ),
            "neutral": marked(
                "Its pictures are as close to your held-out images as the base model's, within the error."
            ),
        },
        measure=_clip_image,
        ideal=_alike,
        needs=frozenset({"pictures"}),
    ),
    Metric(
        name="clip_text",
        direction=+1,
        digits=2,
        label=marked("CLIP text similarity"),
        short="CLIP text",
        long="CLIP text-image similarity",
        title=marked("Prompt following (CLIP)"),
        meanings={
            "good": marked("It follows the prompts better than the base model, in points of 100."),
            "bad": marked("It follows the prompts less well than the base model, in points of 100."),
            "neutral": marked("It follows the prompts as well as the base model, within the error."),
        },
        measure=_clip_text,
        needs=frozenset({"text"}),
    ),
    Metric(
        name="style",
        direction=-1,
        digits=1,
        label=marked("style distance"),
        short="style",
        long="style distance to your images",
        title=marked("Style"),
        meanings={
            "good": marked("Its pictures are drawn more like your images than the base model's, in points."),
            "bad": marked("Its pictures are drawn less like your images than the base model's, in points."),
            "neutral": marked("Its pictures are drawn as unlike your images as the base model's."),
        },
        measure=_style,
        ideal=lambda references: 0.0,
        needs=frozenset({"pictures"}),
    ),
    Metric(
        name="diversity",
        direction=+1,
        digits=2,
        label=marked("diversity between seeds"),
        short="diversity",
        long="diversity between seeds",
        title=marked("Diversity"),
        meanings={
            "good": marked("Its pictures of one prompt differ more from seed to seed than the base model's."),
            "bad": marked("Its pictures of one prompt differ less from seed to seed than the base model's."),
            "neutral": marked("Its pictures of one prompt differ from seed to seed as the base model's do."),
        },
        measure=_diversity,
        needs=frozenset({"pictures", "seeds"}),
    ),
    Metric(
        name="memorisation",
        direction=-1,
        digits=2,
        label=marked("memorisation"),
        short="memorisation",
        long="memorisation",
        title=marked("Memorisation"),
        meanings={
            "good": marked(
                "Its pictures lean less to the training images than the base model's, in points of 100."
            ),
            "bad": marked(
                "Its pictures copy the training images more than the base model's, in points of 100."
            ),
            "neutral": marked("Its pictures lean to the training images no more than the base model's."),
        },
        measure=_memorisation,
        needs=frozenset({"pictures"}),
        level=True,
    ),
    Metric(
        name="flexibility",
        direction=+1,
        digits=2,
        label=marked("following of prompts outside the data set"),
        short="flexibility",
        long="prompts outside the data set",
        title=marked("Flexibility"),
        meanings={
            "good": marked(
                "It follows prompts outside the data set better than the base model, in points of 100."
            ),
            "bad": marked(
                "It follows prompts outside the data set less well than the base model, in points of 100."
            ),
            "neutral": marked(
                "It follows prompts outside the data set as well as the base model, within the error."
            ),
        },
        measure=_clip_text,
        needs=frozenset({"text", "outside"}),
        outside=True,
    ),
)

METRICS: dict[str, Metric] = {row.name: row for row in _ROWS}
"""By name, in the order in which people are shown them."""


def directions() -> dict[str, int]:
    """Of each metric whether more is better (+1) or worse (-1)."""
    return {name: metric.direction for name, metric in METRICS.items()}
