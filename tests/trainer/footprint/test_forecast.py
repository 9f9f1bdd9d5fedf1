"""Tests of adding up what a study needs."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from trainer.footprint.forecast import CONTEXT_BYTES, Needs, Use, largest_pack, peak, room_of, stages

NEEDS = Needs(
    unet=1600,
    text=230,
    vae=310,
    eyes=1000,
    trial=50,
    update=10,
    row=200,
    encoded=600,
    caption=3,
    judged=60,
    decoded=750,
    looked=20,
    text_stays=False,
)


def test_resident_networks_count_at_every_stage() -> None:
    found = stages(NEEDS, Use(trials=2, batch=3, offload=False, judged_rows=4, looked_at=5))
    everything = 1600 + 230 + 310 + 1000
    assert found == {
        "latents": everything + 600,
        "captions": everything + 2 * 50 + 3,
        "training": everything + 2 * 50 + 6 * 200,
        "update": everything + 2 * 50 + 10,
        "rendering": everything + 2 * 50 + 4 * 60,
        "decoding": everything + 2 * 50 + 750,
        "looking": everything + 2 * 50 + 5 * 20,
    }


def test_offloaded_networks_count_where_they_work() -> None:
    found = stages(NEEDS, Use(trials=1, batch=1, offload=True))
    assert found == {
        "latents": 310 + 600,
        "captions": 230 + 50 + 3,
        "training": 1600 + 50 + 200,
        "update": 1600 + 50 + 10,
        "rendering": 1600 + 50 + 2 * 60,
        "decoding": 1600 + 310 + 50 + 750,
        "looking": 1000 + 50 + 20,
    }


def test_text_encoders_that_train_stay() -> None:
    use = Use(trials=1, batch=1, offload=True)
    away, here = stages(NEEDS, use), stages(replace(NEEDS, text_stays=True), use)
    grown = {stage for stage in here if here[stage] - away[stage] == NEEDS.text}
    assert grown == {"training", "update", "rendering", "decoding", "looking"}
    assert here["captions"] - away["captions"] == NEEDS.unet


def test_pictures_that_vary_are_encoded_beside_the_unet() -> None:
    found = stages(replace(NEEDS, views_vary=True), Use(trials=1, batch=1, offload=True))
    assert found["latents"] == 1600 + 310 + 50 + 600


@given(room=st.integers(0, 20_000), batch=st.integers(1, 4), offload=st.booleans())
def test_the_largest_pack_fits_and_one_more_does_not(room: int, batch: int, offload: bool) -> None:
    most = 16
    found = largest_pack(NEEDS, batch, offload, room, most)
    assert 0 <= found <= most
    if found:
        assert peak(NEEDS, Use(found, batch, offload)) <= room
    if found < most:
        assert peak(NEEDS, Use(found + 1, batch, offload)) > room


def test_a_card_is_not_for_tensors_alone() -> None:
    assert room_of(8 * 2**30) == 8 * 2**30 - CONTEXT_BYTES
