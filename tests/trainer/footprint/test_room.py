"""Tests of what "auto" stands for on a device."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.trainer.footprint.test_fitting import needs
from trainer.footprint import room
from trainer.footprint.room import SHARE, free_bytes, resolved
from trainer.plan import TrainingPlan

Plans = Callable[..., TrainingPlan]
CARD, CPU = torch.device("cuda"), torch.device("cpu")


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """``free(bytes)``: so much room for tensors on a pretended card."""
    return lambda count: monkeypatch.setattr(room, "free_bytes", lambda device: round(count / SHARE) + 1)


@pytest.mark.parametrize(("room_for", "recomputes"), [(10**6, False), (2100, True), (10, True)])
def test_activations_are_computed_again_where_there_is_little_room(
    make_plan: Plans, free: Callable[[int], None], room_for: int, recomputes: bool
) -> None:
    free(room_for)
    found = resolved(make_plan(gradient_checkpointing="auto"), CARD, 8, lambda: needs)
    assert found.gradient_checkpointing is recomputes


def test_on_a_cpu_they_never_are(make_plan: Plans) -> None:
    assert (
        resolved(make_plan(gradient_checkpointing="auto"), CPU, 8, lambda: needs).gradient_checkpointing
        is False
    )


@pytest.mark.parametrize("own", [True, False])
def test_a_plain_wish_is_kept(make_plan: Plans, free: Callable[[int], None], own: bool) -> None:
    free(10)
    assert (
        resolved(make_plan(gradient_checkpointing=own), CARD, 8, lambda: needs).gradient_checkpointing is own
    )


def test_what_the_allocator_holds_idle_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    held = {"idle": 300}
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: held.update(idle=0))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000 - held["idle"], 2000))
    assert free_bytes(CARD) == 1000
