"""The curve on a judgement's page."""

from __future__ import annotations

from typing import Any

import pytest

from studies.report import judged_page


def test_the_curve_is_drawn_to_scale() -> None:
    def entry(epoch: int, mean: float) -> dict[str, Any]:
        estimate = {"mean": mean, "standard_error": 0.0}
        return {
            "epoch": epoch, "label": str(epoch), "run": "a", "verdict": "behind",
            "scores": {"validation": estimate},
        }  # fmt: skip

    drawn = judged_page.curve([entry(1, -0.1), entry(2, -0.3), entry(5, -0.2)])
    xs, ys = [p["x"] for p in drawn["points"]], [p["y"] for p in drawn["points"]]
    assert (xs[1] - xs[0]) * 3 == pytest.approx(xs[2] - xs[1])
    assert drawn["zero"] == min(drawn["zero"], *ys), "0, the base model, is on top: lower is better"
    assert ys[1] - ys[2] == pytest.approx(ys[2] - ys[0])
