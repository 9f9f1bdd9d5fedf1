"""Which images a render is compared with."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from evaluation.image_scores import Gallery
from trainer.data.dataset import Dataset


class Bytes:
    """Every picture is its own direction."""

    def images(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :, ::8, ::8].flatten(1) - 0.5


def test_the_held_out_image_that_a_prompt_describes_is_no_reference_for_it(few_dataset: Dataset) -> None:
    split, examples, eye = few_dataset.split, few_dataset.examples, Bytes()
    first, second = split.validation
    third = split.test[0]
    renders = torch.randn(1, 1, 192, generator=torch.Generator().manual_seed(0))

    def figure(held_out: tuple[int, ...], prompt: str) -> float:
        gallery = Gallery(few_dataset, eye, held_out, split.train, [prompt], (64, 64))
        return float(gallery.look(renders).figures["memorisation"])

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
        Gallery(dataset, eye, split.validation, (one, others[0]), ["a", "b", "c"], (64, 64)).look(renders)
        for dataset in (joined, few_dataset)
    )
    assert not torch.equal(found.figures["memorisation"], apart.figures["memorisation"])
    assert found.nearest is not None
    assert found.nearest.shape == (1, 3)
    assert set(found.nearest.flatten().tolist()) <= {one, others[0]}


def test_diversity_is_measured_where_a_prompt_has_seeds(few_dataset: Dataset) -> None:
    held_out = few_dataset.split.validation
    gallery = Gallery(few_dataset, Bytes(), held_out, (), ["a", "b", "a"], (64, 64))
    renders = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]]).repeat(1, 1, 96)
    found = gallery.look(renders).figures
    assert found["diversity"].tolist() == [[100.0]]
    assert "memorisation" not in found
