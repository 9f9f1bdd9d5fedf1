"""Tests of choosing how many trials to train at a time."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from tests.trainer.driving import pack, relative_difference, state, steps, train
from trainer.bases.base_model import BaseModel
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.footprint.forecast import Eyes, Use, peak
from trainer.footprint.needs import BLIND, Forecaster
from trainer.plan import TrainingPlan
from trainer.training import pack_size
from trainer.training.pack_size import MEMORY_SHARE, Reading, choose, fitting, measure

Bases = Callable[..., BaseModel]
Encode = Callable[[Dataset, BaseModel], Encoded]
Plans = Callable[..., TrainingPlan]


def readings(*rates: float) -> list[Reading]:
    return [Reading(2**i, rate, 0) for i, rate in enumerate(rates)]


@pytest.mark.parametrize(
    ("rates", "size"),
    [((10.0,), 1), ((10.0, 19.0, 35.0), 4), ((10.0, 19.0, 20.0, 40.0), 2), ((10.0, 9.0), 1)],
)
def test_a_pack_stops_growing_when_doubling_gains_less_than_a_tenth(
    rates: tuple[float, ...], size: int
) -> None:
    assert choose(readings(*rates)) == size


@pytest.fixture
def always_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_size, "WORTHWHILE", 0.0)


def test_measuring_doubles_up_to_the_largest_size_and_leaves_no_trace(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, always_pays: None
) -> None:
    training = pack(encode(few_dataset, tiny_base(torch.float64)), 8)
    found = measure(training, make_plan(rank=8, batch_size=2), most=5)
    assert [reading.size for reading in found] == [1, 2, 4]
    assert all(reading.images_per_second > 0 and reading.peak_bytes > 0 for reading in found)
    assert not training.runs
    assert training.limit == 8
    plan = make_plan(rank=2, epochs=9)
    training.admit(0, plan)
    steps(training, 3)
    alone = train(encode(few_dataset, tiny_base(torch.float64)), plan, 3)
    assert relative_difference(state(training, 0), alone) < 1e-8


def test_measuring_stops_where_memory_ran_out(
    tiny_base: Bases,
    few_dataset: Dataset,
    encode: Encode,
    make_plan: Plans,
    always_pays: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = tiny_base()
    training, forward = pack(encode(few_dataset, base), 8), base.unet.forward

    def cramped(inputs: torch.Tensor, *rest: Any, **named: Any) -> Any:
        if len(inputs) > 2:
            raise torch.OutOfMemoryError("pretended")
        return forward(inputs, *rest, **named)

    monkeypatch.setattr(base.unet, "forward", cramped)
    assert [reading.size for reading in measure(training, make_plan(), most=8)] == [1, 2]
    assert not training.runs
    assert training.limit == 8


def test_a_size_that_would_not_fit_is_not_tried(
    tiny_base: Bases,
    few_dataset: Dataset,
    encode: Encode,
    make_plan: Plans,
    always_pays: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training = pack(encode(few_dataset, tiny_base()), 8)
    peaks = iter([400, 600, 0])
    monkeypatch.setattr(pack_size, "_peak_bytes", lambda device: next(peaks))
    monkeypatch.setattr(pack_size, "_all_bytes", lambda device: 1000)
    assert [reading.size for reading in measure(training, make_plan(), most=8)] == [1, 2]


def test_on_a_card_no_more_trials_are_tried_than_the_forecast_lets_fit(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, plan = pack(encode(few_dataset, tiny_base()), 8), make_plan(rank=4)
    assert fitting(training, plan, 8, BLIND) == 8
    needs = Forecaster(plan).needs()
    monkeypatch.setattr(training.base, "device", torch.device("cuda"))
    room = peak(needs, Use(3, 1, offload=False)) / MEMORY_SHARE
    monkeypatch.setattr(pack_size, "_all_bytes", lambda device: int(room) + 2)
    assert fitting(training, plan, 8, BLIND) == 3
    assert fitting(training, plan, 2, BLIND) == 2
    assert fitting(training, plan, 8, Eyes(int(room), 0)) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_of_a_process_is_what_the_kernel_calls_so_even_after_memory_was_freed() -> None:
    held = bytearray(200 * 2**20)
    del held
    kernel = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert kernel is not None
    peak = pack_size._peak_bytes(torch.device("cpu"))
    assert peak == pytest.approx(1024 * int(kernel[1]), rel=0.02)
    assert peak >= psutil.Process().memory_info().rss


def test_on_windows_the_peak_is_that_of_the_working_set(monkeypatch: pytest.MonkeyPatch) -> None:
    told = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=5, peak_wset=7))
    monkeypatch.setattr(pack_size.psutil, "Process", lambda: told)
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setitem(sys.modules, "resource", None)
    assert pack_size._peak_bytes(torch.device("cpu")) == 7


def test_on_macos_the_peak_is_told_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    kibibytes = pack_size._peak_bytes(torch.device("cpu")) // 1024
    monkeypatch.setattr("sys.platform", "darwin")
    assert pack_size._peak_bytes(torch.device("cpu")) == pytest.approx(kibibytes, rel=0.02)
