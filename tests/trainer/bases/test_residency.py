"""Tests of which networks are on the device, by the moves that are made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from evaluation.encoders import ClipEncoder
from evaluation.rendering import RenderSettings, render
from evaluation.subject import Subject
from tests.trainer.driving import pack, relative_difference, state, steps
from trainer.bases import base_model, residency
from trainer.bases.base_model import BaseModel
from trainer.bases.residency import REST, ROOMY, Residency, leave
from trainer.data.caches import TensorCache
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.plan import TrainingPlan

Plans = Callable[..., TrainingPlan]
SETTINGS = RenderSettings(steps=2, guidance=4.0, width=64, height=64)


class Network(nn.Module):
    """Notes where it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.device = "cpu"

    def to(self, device: Any, *rest: Any, **named: Any) -> Any:
        self.device = str(device)
        return self


def stage(*names: str) -> dict[str, Network]:
    return {name: Network() for name in names}


def here(networks: dict[str, Network]) -> set[str]:
    return {name for name, network in networks.items() if network.device == "meta"}


def test_a_part_that_works_puts_the_others_off_but_those_that_are_kept() -> None:
    networks, device = stage("unet", "text", "vae"), Residency(torch.device("meta"), moves=True)
    seen = []
    for part in ("vae", "text", "unet"):
        device.use(part, [networks[part]])
        seen.append(here(networks))
    device.keep("unet")
    for part in ("text", "vae"):
        device.use(part, [networks[part]])
        seen.append(here(networks))
    device.release("unet")
    device.use("text", [networks["text"]])
    seen.append(here(networks))
    assert seen == [{"vae"}, {"text"}, {"unet"}, {"unet", "text"}, {"unet", "vae"}, {"text"}]


def test_who_wants_to_be_alone_puts_the_unet_off_too_unless_both_are_kept() -> None:
    networks, device = stage("unet", "text"), Residency(torch.device("meta"), moves=True)
    device.use("unet", [networks["unet"]])
    device.keep("unet")
    device.use("text", [networks["text"]], alone=True)
    assert here(networks) == {"text"}
    device.use("unet", [networks["unet"]])
    device.keep("text")
    device.use("text", [networks["text"]], alone=True)
    assert here(networks) == {"unet", "text"}


def test_other_networks_under_the_same_name_come_in_place_of_those_before() -> None:
    networks, device = stage("one", "other"), Residency(torch.device("meta"), moves=True)
    for name in networks:
        device.use("eyes", [networks[name]])
        assert here(networks) == {name}


def test_nothing_moves_unless_asked() -> None:
    networks, device = stage("unet", "vae"), Residency(torch.device("meta"))
    device.use("vae", [networks["vae"]])
    assert not here(networks)


def test_auto_asks_how_much_room_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    card, held = torch.device("cuda"), 1000
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (ROOMY * held - 1, 10**12))
    assert leave("auto", card, held)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (ROOMY * held, 10**12))
    assert not leave("auto", card, held)
    assert (leave("all", card, held), leave("off", card, 10**15)) == (True, False)
    assert (leave("auto", REST, 10**15), leave("all", REST, held)) == (False, True)


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What comes to the device and what leaves it, in order; networks of a CPU only seem to move."""
    seen: list[tuple[str, str]] = []
    use = Residency.use

    def noted(self: Residency, part: str, networks: Any, alone: bool = False) -> None:
        before = set(self._here)
        use(self, part, networks, alone)
        seen.extend(("off", gone) for gone in sorted(before - set(self._here)))
        seen.extend(("on", come) for come in sorted(set(self._here) - before))

    monkeypatch.setattr(residency.Residency, "use", noted)
    return seen


def opened(assets: Path, offload: base_model.Offload, few: Dataset, cache: Path) -> Encoded:
    base: BaseModel = base_model.load(assets / "micro-sd", device=torch.device("cpu"), offload=offload)
    return Encoded(few, base, TensorCache(cache))


def test_each_stage_has_its_networks_alone_and_results_are_those_of_all_resident(
    assets: Path,
    few_dataset: Dataset,
    make_plan: Plans,
    moves: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    plan, found = make_plan(rank=2, epochs=9), []
    for offload in ("off", "all"):
        data = opened(assets, offload, few_dataset, tmp_path / offload)  # type: ignore[arg-type]
        training = pack(data, 2)
        if offload == "all":
            data.prepare(1, flip=False)
        training.admit(0, plan)
        steps(training, 3)
        clip = ClipEncoder(str(assets / "micro-clip"), data.base.device, data.base.residency)
        slots = [Subject(0), Subject(None)]
        drawn = render(data, training.bank, slots, ["a frog"], [5], SETTINGS, 8)
        found.append((state(training, 0), drawn, clip.images(drawn.flatten(0, 1))))
    assert moves == [
        ("on", "unet"),
        ("off", "unet"),
        ("on", "vae"),
        ("off", "vae"),
        ("on", "text"),
        ("off", "text"),
        ("on", "unet"),
        ("off", "unet"),
        ("on", "text"),  # the prompt
        ("off", "text"),
        ("on", "unet"),
        ("on", "vae"),
        ("off", "unet"),
        ("off", "vae"),
        ("on", f"eyes: ClipEncoder, {assets / 'micro-clip'}"),
    ]
    assert relative_difference(found[1][0], found[0][0]) < 1e-6
    torch.testing.assert_close(found[1][1:], found[0][1:], rtol=0, atol=1e-5)


def test_text_encoders_stay_while_a_trial_reads_text(
    assets: Path, few_dataset: Dataset, make_plan: Plans, moves: list[tuple[str, str]], tmp_path: Path
) -> None:
    data = opened(assets, "all", few_dataset, tmp_path)
    training = pack(data, 2)
    data.prepare(1, flip=False)
    training.admit(0, make_plan(rank=2, epochs=9, text_encoder=True))
    moves.clear()
    steps(training, 3)
    assert moves == [("on", "unet")]
    training.evict(0)
    training.admit(1, make_plan(rank=2, epochs=9))
    steps(training, 1)
    assert moves == [("on", "unet"), ("off", "text")]
