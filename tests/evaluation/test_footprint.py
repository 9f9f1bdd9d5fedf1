"""Tests of what the judge's encoders need, beside the loaded ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from evaluation import encoders
from evaluation.encoders import ClipEncoder
from evaluation.footprint import eyes
from trainer.footprint.tracker import Tracker

GIB = 2**30


def test_an_encoder_needs_what_the_loaded_one_needs_on_a_gpu(
    assets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoders, "HALF_ON", "cpu")
    clip = str(assets / "micro-clip")
    found, loaded = eyes([clip]), ClipEncoder(clip, torch.device("cpu"))
    assert found.resident == sum(t.nbytes for t in [*loaded._model.parameters(), *loaded._model.buffers()])
    side = loaded._model.config.vision_config.image_size
    with Tracker() as tracker:
        tracker.adopt_network(loaded._model)
        before = tracker.live
        loaded.see(torch.zeros(1, 3, side, side))
    on_the_host = torch.zeros(1, 3, side, side).nbytes
    assert found.picture == pytest.approx(tracker.peak - before - on_the_host, rel=0.1)


def test_what_is_not_on_this_disk_counts_as_clip_of_large_size() -> None:
    found = eyes(["nobody/knows-this"])
    assert found.resident == pytest.approx(427_616_513 * 2, rel=0.001)
    assert 0 < found.picture < GIB / 4


def test_no_encoders_need_nothing() -> None:
    assert (eyes([]).resident, eyes([]).picture) == (0, 0)
