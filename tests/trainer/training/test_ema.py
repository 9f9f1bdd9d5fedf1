"""The moving average against diffusers' own."""

from __future__ import annotations

import pytest
import torch
from diffusers.training_utils import EMAModel

from trainer.training.ema import Average, decay_at


def leaves() -> dict[str, torch.nn.Parameter]:
    source = torch.Generator().manual_seed(0)
    return {name: torch.nn.Parameter(torch.randn(3, 5, generator=source)) for name in ("a", "b")}


def move(parameters: dict[str, torch.nn.Parameter], seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    for parameter in parameters.values():
        parameter.data.add_(torch.randn(3, 5, generator=source))


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_the_average_is_that_of_diffusers(decay: float) -> None:
    parameters = leaves()
    average, reference = Average(decay, parameters), EMAModel(parameters.values(), decay=decay)
    for step in range(30):
        move(parameters, step)
        average.update()
        reference.step(parameters.values())
    with average.shown():
        for parameter, wanted in zip(parameters.values(), reference.shadow_params, strict=True):
            torch.testing.assert_close(parameter.detach(), wanted)


def test_the_decay_warms_up() -> None:
    assert [decay_at(n, 0.5) for n in (1, 2, 3, 9, 10, 99)] == pytest.approx(
        [0, 2 / 11, 3 / 12, 9 / 18, 0.5, 0.5]
    )


def test_the_weights_are_exactly_as_before_afterwards() -> None:
    parameters = leaves()
    average = Average(0.9, parameters)
    for step in range(3):
        move(parameters, step)
        average.update()
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    places = {name: parameter.data_ptr() for name, parameter in parameters.items()}
    with average.shown():
        assert not torch.equal(parameters["a"], before["a"])
    for name, parameter in parameters.items():
        assert torch.equal(parameter, before[name])
        assert parameter.data_ptr() == places[name]
