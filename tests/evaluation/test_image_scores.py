"""Which images a render is compared with."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from evaluation.encoders import Seen
from evaluation.image_scores import ImageScores
from evaluation.metrics.table import METRICS
from trainer.data.dataset import Dataset


class Bytes:
    """Every picture is its own direction."""

    def see(self, images: torch.Tensor) -> Seen:
        return seen(images[:, :, ::8, ::8].flatten(1) - 0.5)


def seen(embedded: torch.Tensor) -> Seen:
    """Content and style alike."""
    return Seen(embedded, embedded[:, None])


def measured(scores: ImageScores, embedded: torch.Tensor) -> dict[str, torch.Tensor]:
    """What the metrics of pictures say of embedded renders."""
    beside = scores.beside(torch.zeros(*embedded.shape[:2], 3, 64, 64), seen(embedded.flatten(0, 1)))
    rows = {name: metric.measure(beside) for name, metric in METRICS.items() if metric.measure}
    return {name: values for name, values in rows.items() if values is not None}


def test_the_held_out_image_that_a_prompt_describes_is_no_reference_for_it(few_dataset: Dataset) -> None:
    split, examples, eye = few_dataset.split, few_dataset.examples, Bytes()
    first, second = split.validation
    third = split.test[0]
    renders = torch.randn(1, 1, 192, generator=torch.Generator().manual_seed(0))

    def figure(held_out: tuple[int, ...], prompt: str) -> float:
        scores = ImageScores(few_dataset, eye, held_out, split.train, [prompt], (64, 64))
        return float(measured(scores, renders)["memorisation"])

    described = examples[first].caption
    assert figure((first, second, third), described) == pytest.approx(figure((second, third), "anything"))
    assert figure((first, second, third), "anything") != figure((second, third), "anything")
    assert figure((first, second), described) == figure((first, second), "anything")


def test_near_duplicates_on_the_training_side_count_once(few_dataset: Dataset) -> None:
    split, eye = few_dataset.split, Bytes()
    one, *others = split.train
    joined = replace(few_dataset, together=((one, others[0]),))
    renders = torch.randn(1, 3, 192, generator=torch.Generator().manual_seed(1))
    found, apart = (
        ImageScores(dataset, eye, split.validation, (one, others[0]), ["a", "b", "c"], (64, 64))
        .beside(torch.zeros(1, 3, 3, 64, 64), seen(renders[0]))
        .copies
        for dataset in (joined, few_dataset)
    )
    assert found is not None and apart is not None
    assert not torch.equal(found.leaning, apart.leaning)
    assert found.nearest.shape == (1, 3)
    assert set(found.nearest.flatten().tolist()) <= {one, others[0]}


def test_diversity_is_measured_where_a_prompt_has_seeds(few_dataset: Dataset) -> None:
    held_out = few_dataset.split.validation
    scores = ImageScores(few_dataset, Bytes(), held_out, (), ["a", "b", "a"], (64, 64))
    renders = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]]).repeat(1, 1, 96)
    found = measured(scores, renders)
    assert found["diversity"].tolist() == [[100.0]]
    assert "memorisation" not in found


def test_the_style_of_training_images_counts_with_that_of_held_out_ones(few_dataset: Dataset) -> None:
    split, eye = few_dataset.split, Bytes()
    renders = torch.randn(1, 2, 192, generator=torch.Generator().manual_seed(2))
    alone, both = (
        measured(ImageScores(few_dataset, eye, split.validation, side, ["a", "b"], (64, 64)), renders)[
            "style"
        ]
        for side in ((), split.train)
    )
    assert alone.shape == both.shape == (1, 2) and not torch.equal(alone, both)
    single = ImageScores(few_dataset, eye, split.validation[:1], (), ["a", "b"], (64, 64))
    assert "style" not in measured(single, renders)
