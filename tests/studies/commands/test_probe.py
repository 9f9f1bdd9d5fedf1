"""A range of learning rates put into the text of a study file."""

from __future__ import annotations

import pytest

from search.trial import Reason
from studies.commands.probe import chart, line, spark, with_range
from studies.study.probe import ProbeCourse

NEW = (2e-4, 5e-3)
BEFORE = """\
# my study
[search]
sampler = "tpe"  # the usual
[search.space]
"lora.rank" = { choices = [2, 4] }
"""
INLINE = '"optimiser.unet_lr" = { low = 1e-5, high=1e-2 , log = true }  # low = guides'

EDITED = [
    (BEFORE + INLINE, BEFORE + '"optimiser.unet_lr" = { low = 0.0002, high=0.005 , log = true }  # low = guides'),
    (
        BEFORE + '[search.space."optimiser.unet_lr"]\nhigh = 0.1 # top\nlow = 0.01\nlog = true\n',
        BEFORE + '[search.space."optimiser.unet_lr"]\nhigh = 0.005 # top\nlow = 0.0002\nlog = true\n',
    ),
    (
        BEFORE + "'optimiser.unet_lr' = { when = { 'lora.rank' = [2] }, low = 1, high = 1 }\r\n",
        BEFORE + "'optimiser.unet_lr' = { when = { 'lora.rank' = [2] }, low = 0.0002, high = 0.005 }\r\n",
    ),
    (
        BEFORE,
        BEFORE.replace("[search.space]\n", f"[search.space]\n{line(NEW)}\n"),
    ),
    (
        BEFORE.replace("\n", "\r\n"),
        BEFORE.replace("[search.space]\n", f"[search.space]\n{line(NEW)}\n").replace("\n", "\r\n"),
    ),
    (
        "[search.space]",
        f"[search.space]\n{line(NEW)}\n",
    ),
    (
        '[search]\nspace = { "optimiser.unet_lr" = { low = 1e-5, high = 1e-2 } }\n',
        '[search]\nspace = { "optimiser.unet_lr" = { low = 0.0002, high = 0.005 } }\n',
    ),
    (
        '[search]\nspace."optimiser.unet_lr".low = 1e-5 # a\nspace."optimiser.unet_lr".high = 1e-2\n',
        '[search]\nspace."optimiser.unet_lr".low = 0.0002 # a\nspace."optimiser.unet_lr".high = 0.005\n',
    ),
    (
        '[search.space."optimiser.unet_lr"]\nlow = 1\nhigh = 2\n[plan]\n[search]\nsampler = "tpe"\n',
        '[search.space."optimiser.unet_lr"]\nlow = 0.0002\nhigh = 0.005\n[plan]\n[search]\nsampler = "tpe"\n',
    ),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), EDITED)
def test_the_range_changes_and_comments_stay(before: str, after: str) -> None:
    assert with_range(before, NEW) == after


@pytest.mark.parametrize(
    "text",
    [
        BEFORE + '"optimiser.unet_lr" = { choices = [1e-4, 1e-3] }\n',
        '[search]\nspace = "all"\n',
        "search = 1\n",
        'note = """\n[search.space]\n"""\n[plan]\n',
        "[search",
    ],
)
def test_what_cannot_be_edited_safely_is_left_alone(text: str) -> None:
    assert with_range(text, NEW) is None


def test_the_line_to_paste_is_toml() -> None:
    assert line(NEW) == '"optimiser.unet_lr" = { low = 0.0002, high = 0.005, log = true }'


def test_the_chart_rises_on_a_log_scale_and_ends_at_the_last_rate() -> None:
    assert spark([1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1], 1e-8, 1e-1) == "▁▂▃▄▅▆▇█"
    assert spark([1.0] * 3, 1.0, 1.0) == "▁▁▁"
    assert spark([1e-4] * 99 + [1.0], 1e-4, 1.0, width=10) == "▁▁▁▁▁▁▁▁▁█"


def test_every_repetition_has_its_line() -> None:
    flat = ProbeCourse(rate=4e-4, step=4, flat=True, rates=(1e-6, 1e-5, 4e-4, 4e-4))
    rising = flat.model_copy(update={"flat": False, "rates": (1e-6, 1e-5)})
    broken = ProbeCourse(step=0, flat=False, trouble=Reason("memory_ran_out"), rates=())
    lines = chart([flat, rising, broken])
    assert lines[0] == "d * lr over 4 optimiser steps, on a log scale from 1e-06 to 0.0004:"
    assert lines[1].endswith("0.0004, flat at step 4")
    assert "not flat after" in lines[2]
    assert lines[3].endswith("ended early: memory ran out")
    assert chart([broken]) == ["  no step was taken"]
