"""Tests of choosing settings that fit."""

from __future__ import annotations

from dataclasses import replace

from tests.trainer.footprint.test_forecast import NEEDS
from trainer.footprint.fitting import GOOD_PACK, Setting, fit
from trainer.footprint.forecast import Needs

OWN, SMALL = Setting(512, "auto", False), Setting(256, "auto", False)
THRIFTY = {"vae": 50, "encoded": 50, "decoded": 50}
PACKED = Setting(512, "nf4", False)
FIXED = 1600 + 230 + 50


def needs(setting: Setting) -> Needs:
    """Checkpointing quarters a row, fewer bits quarter the U-Net, half the side quarters all that grows with it."""
    row = NEEDS.row // (4 if setting.checkpointing else 1) // (4 if setting.resolution == 256 else 1)
    return replace(NEEDS, unet=400 if setting.base_format == "nf4" else 1600, row=row, eyes=0, **THRIFTY)


def test_a_roomy_device_gives_nothing_up_and_holds_all_that_is_wanted() -> None:
    found = fit(needs, [OWN, PACKED], batch=1, room=4 * FIXED, most=8)
    assert found is not None
    assert (found.setting, found.offload, found.trials) == (OWN, False, 8)


def test_a_device_that_must_keep_everything_holds_less() -> None:
    room = 4 * FIXED - 1
    free, kept = (
        fit(needs, [replace(OWN, offload=offload)], batch=1, room=room, most=99)
        for offload in ("auto", "off")
    )
    assert free is not None
    assert kept is not None
    assert (free.offload, kept.offload) == (True, False)
    assert kept.trials < free.trials


def test_activations_are_computed_again_where_that_holds_more_trials() -> None:
    found = fit(needs, [OWN, PACKED], batch=1, room=2100, most=8)
    assert found is not None
    assert (found.setting, found.offload) == (replace(OWN, checkpointing=True), True)
    assert found.trials > 1
    assert found.peak <= 2100


def test_a_good_pack_is_not_made_larger_at_the_price_of_time() -> None:
    room = 1600 + GOOD_PACK * (50 + 200) + 49
    found = fit(needs, [OWN], batch=1, room=room, most=32)
    assert found is not None
    assert (found.setting.checkpointing, found.trials) == (False, GOOD_PACK)


def test_the_first_compromise_that_fits_is_taken() -> None:
    cramped = 1500
    assert fit(needs, [OWN], batch=1, room=cramped, most=8) is None
    found = fit(needs, [OWN, PACKED, SMALL], batch=1, room=cramped, most=8)
    assert found is not None
    assert found.setting.base_format == "nf4"


def test_what_asks_for_checkpointing_is_not_tried_without() -> None:
    asked: list[Setting] = []

    def noted(setting: Setting) -> Needs:
        asked.append(setting)
        return needs(setting)

    fit(noted, [replace(OWN, checkpointing=True)], batch=1, room=10**6, most=8)
    assert asked == [replace(OWN, checkpointing=True)]
