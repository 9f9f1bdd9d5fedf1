import math
import random

import pytest

from search.objective import SPREAD_FLOOR, Measurement, combine, shares, spread

DIRECTIONS = {
    "validation": -1,
    "clip_image": 1,
    "clip_text": 1,
    "diversity": 1,
    "memorisation": -1,
    "flexibility": 1,
}
DIFFERENCES = {
    "validation": Measurement(-0.03, 0.01),
    "clip_image": Measurement(0.05, 0.01),
    "clip_text": Measurement(-0.01, 0.02),
}
UNITS = {"validation": 0.005, "clip_image": 0.01, "clip_text": 0.02}


def test_the_objective_agrees_with_a_sum_by_hand() -> None:
    found = combine(DIFFERENCES, UNITS, {"validation": 2, "clip_image": 1, "clip_text": 1}, DIRECTIONS)
    assert found.mean == pytest.approx((2 * 6 + 1 * 5 - 1 * 0.5) / 4)
    assert found.standard_error == pytest.approx(math.sqrt((2 * 2) ** 2 + 1**2 + 1**2) / 4)


def test_a_lower_validation_loss_is_better() -> None:
    assert (
        combine(
            {"validation": Measurement(-0.1, 0.01)}, {"validation": 0.1}, {"validation": 1}, DIRECTIONS
        ).mean
        == 1.0
    )


def test_the_base_model_itself_has_objective_zero() -> None:
    nothing = dict.fromkeys(UNITS, Measurement(0.0, 0.0))
    assert combine(nothing, UNITS, dict.fromkeys(UNITS, 1.0), DIRECTIONS) == Measurement(0.0, 0.0)


def test_a_metric_without_weight_is_not_read() -> None:
    only = {"validation": Measurement(-0.1, 0.0)}
    assert combine(
        only, {"validation": 0.1}, {"validation": 3, "clip_text": 0}, DIRECTIONS
    ).mean == pytest.approx(1.0)


def test_scaling_all_weights_changes_nothing() -> None:
    one = combine(DIFFERENCES, UNITS, {"validation": 1, "clip_image": 2}, DIRECTIONS)
    ten = combine(DIFFERENCES, UNITS, {"validation": 10, "clip_image": 20}, DIRECTIONS)
    assert one.mean == pytest.approx(ten.mean)
    assert one.standard_error == pytest.approx(ten.standard_error)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ValueError) as raised:
        combine(DIFFERENCES, {"validation": 0.0}, {"validation": 1, "clip": 1, "clip_text": -1}, DIRECTIONS)
    text = str(raised.value)
    assert (
        "Unknown metric 'clip'; choose among: clip_image, clip_text, diversity, flexibility, memorisation, "
        "validation." in text
    )
    assert "weights.clip_text must be a number of at least 0, but got -1." in text
    assert "The unit of 'validation' must be positive, but got 0.0." in text
    assert "Metric 'clip' has a weight but was not measured." in text


def test_weights_that_are_all_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="At least one metric needs a weight above 0"):
        combine(DIFFERENCES, UNITS, {"validation": 0}, DIRECTIONS)


def test_more_metrics_can_be_given() -> None:
    found = combine({"fid": Measurement(-3.0, 0.0)}, {"fid": 1.5}, {"fid": 1}, directions={"fid": -1})
    assert found.mean == 2.0


def test_the_spread_agrees_with_many_repeated_measurements() -> None:
    rng = random.Random(0)
    cells = [rng.uniform(0, 1) for _ in range(400)]

    def measure() -> list[float]:
        return [cell + rng.gauss(0, 0.5) for cell in cells]

    means = [sum(measure()) / len(cells) for _ in range(300)]
    centre = sum(means) / len(means)
    expected = math.sqrt(sum((mean - centre) ** 2 for mean in means) / (len(means) - 1))
    assert spread(measure(), measure()) == pytest.approx(expected, rel=0.15)


def test_a_metric_that_repeats_exactly_gets_the_floor() -> None:
    assert spread([1.0, 2.0], [1.0, 2.0]) == SPREAD_FLOOR
    assert spread([1.0, 2.0], [3.0, 2.0]) == pytest.approx(math.sqrt(2) / 2)


@pytest.mark.parametrize(("first", "second"), [([], []), ([1.0], [1.0, 2.0]), ([math.nan], [1.0])])
def test_a_spread_needs_two_finite_measurements_of_the_same_cells(
    first: list[float], second: list[float]
) -> None:
    with pytest.raises(ValueError):
        spread(first, second)


def test_shares_add_up_and_name_the_metric_that_ruled() -> None:
    rows = [
        {"validation": Measurement(v, 0.0), "clip_image": Measurement(c, 0.0)}
        for v, c in [(-0.1, 0.01), (0.1, -0.01), (-0.1, -0.01), (0.1, 0.01)]
    ]
    rows.append({"validation": Measurement(math.nan, 0.0), "clip_image": Measurement(0.0, 0.0)})
    found = shares(
        rows, {"validation": 0.1, "clip_image": 0.02}, {"validation": 1, "clip_image": 1}, DIRECTIONS
    )
    # the parts are uncorrelated with variances 1 and 1/4, so the shares are 4/5 and 1/5
    assert found == {"validation": pytest.approx(0.8), "clip_image": pytest.approx(0.2)}


def test_shares_of_an_objective_that_does_not_vary_are_zero() -> None:
    row = {"validation": Measurement(-0.1, 0.0)}
    assert shares([row, row], {"validation": 1.0}, {"validation": 1}, DIRECTIONS) == {"validation": 0.0}


def test_diversity_and_flexibility_shall_rise_and_memorisation_shall_fall() -> None:
    ones = dict.fromkeys(("diversity", "memorisation", "flexibility"), 1.0)
    rises = {name: Measurement(2.0, 0.0) for name in ones}
    assert combine(rises, ones, {"diversity": 1.0}, DIRECTIONS).mean == 2.0
    assert combine(rises, ones, {"flexibility": 1.0}, DIRECTIONS).mean == 2.0
    assert combine(rises, ones, {"memorisation": 1.0}, DIRECTIONS).mean == -2.0
