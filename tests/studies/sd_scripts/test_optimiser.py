"""What sd-scripts leaves to the libraries, compared with the libraries themselves."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest

from studies.sd_scripts.optimiser import DECAY, UNTOLD, literal
from trainer.plans.optimiser_kinds import OPTIMISERS

SET_BY_SD_SCRIPTS = {"momentum", "nesterov", "relative_step", "fused"}
"""Arguments that sd-scripts itself sets, or that change the speed alone."""


@pytest.mark.parametrize("name", OPTIMISERS)
def test_untold_arguments_are_the_librarys_defaults(name: str) -> None:
    kind = OPTIMISERS[name]
    made = getattr(import_module(kind.module), kind.name)
    known = inspect.signature(made).parameters
    assert known["weight_decay"].default == DECAY.get(name, 0.0)
    ours = {key for key, value in kind.preset.items() if known[key].default != value} - SET_BY_SD_SCRIPTS
    assert UNTOLD.get(name, {}) == {key: known[key].default for key in ours}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.9,0.99", [0.9, 0.99]),
        ("True", True),
        ("false", False),
        ("1e-4", 1e-4),
        ("None", None),
        ("word", "word"),
    ],
)
def test_arguments_are_read_as_pythons_literals(text: str, value: object) -> None:
    assert literal(text) == value
