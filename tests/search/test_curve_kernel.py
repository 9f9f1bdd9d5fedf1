from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, DotProduct

from search.curve_kernel import Columns, curves


def test_columns_are_computed_as_the_inner_kernel_on_them_alone() -> None:
    rows = np.random.default_rng(0).standard_normal((5, 4))
    inner, kernel = RBF([0.5, 2.0]), Columns(RBF([0.5, 2.0]), [1, 3])
    assert kernel(rows) == pytest.approx(inner(rows[:, [1, 3]]))
    assert kernel(rows, rows[:2]) == pytest.approx(inner(rows[:, [1, 3]], rows[:2, [1, 3]]))
    assert kernel.diag(rows) == pytest.approx(np.diag(kernel(rows)))


def test_a_sum_with_columns_is_cloned_and_takes_other_parameters() -> None:
    kernel = Columns(RBF(1.0), [0]) + Columns(DotProduct(2.0), [1])
    copied = clone(kernel)
    copied.theta = copied.theta + 1
    assert np.exp(copied.theta).tolist() == pytest.approx([np.e, 2 * np.e])
    assert np.exp(kernel.theta).tolist() == pytest.approx([1, 2])


def test_the_gradient_of_the_curves_is_that_of_small_differences() -> None:
    rows = np.random.default_rng(1).uniform(-1, 1, (6, 5))
    kernel = curves(5)
    _, gradient = kernel(rows, eval_gradient=True)
    for place in range(len(kernel.theta)):
        step = np.zeros(len(kernel.theta))
        step[place] = 1e-6
        up, down = (kernel.clone_with_theta(kernel.theta + sign * step)(rows) for sign in (1, -1))
        assert gradient[..., place] == pytest.approx((up - down) / 2e-6, abs=1e-6)
