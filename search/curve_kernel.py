"""Covariances of learning curves, for scikit-learn's Gaussian process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    Hyperparameter,
    Kernel,
    WhiteKernel,
)

Floats = NDArray[np.float64]

TRIAL, TIME, DOSE = 0, 1, 2
"""Columns of a row: which trial, decades of images seen, and those plus the decades of the learning rate."""
NOISE = (0.05, 1.0)
"""Bounds of the noise's share in the variance: measured objectives are never exact."""


class Columns(Kernel):  # type: ignore[misc]
    """Another kernel that sees some columns only.

    Args:
        kernel: what is computed.
        columns: their places in a row.
    """

    def __init__(self, kernel: Kernel, columns: Sequence[int]) -> None:
        self.kernel, self.columns = kernel, columns

    def __call__(self, X: Floats, Y: Floats | None = None, eval_gradient: bool = False) -> Any:
        """The inner kernel's values, with their gradient if it is asked for."""
        other = None if Y is None else Y[:, list(self.columns)]
        return self.kernel(X[:, list(self.columns)], other, eval_gradient)

    def diag(self, X: Floats) -> Any:
        """The inner kernel's diagonal."""
        return self.kernel.diag(X[:, list(self.columns)])

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """As scikit-learn clones it."""
        own = {"kernel": self.kernel, "columns": self.columns}
        inner = self.kernel.get_params() if deep else {}
        return own | {f"kernel__{name}": value for name, value in inner.items()}

    @property
    def hyperparameters(self) -> list[Hyperparameter]:
        """The inner kernel's."""
        return [
            Hyperparameter(f"kernel__{h.name}", h.value_type, h.bounds, h.n_elements)
            for h in self.kernel.hyperparameters
        ]

    @property
    def theta(self) -> Floats:
        """Logarithms of what is fitted."""
        found: Floats = self.kernel.theta
        return found

    @theta.setter
    def theta(self, theta: Floats) -> None:
        self.kernel.theta = theta

    @property
    def bounds(self) -> Floats:
        """Of `theta`."""
        found: Floats = self.kernel.bounds
        return found

    def is_stationary(self) -> bool:
        """Whether the inner one is."""
        return bool(self.kernel.is_stationary())


def curves(width: int) -> Kernel:
    """How alike two checkpoints' objectives are, where objectives have mean 0 and variance 1.

    The sum of four: a smooth function of time, dose and parameters, which all trials share; a parabola over the dose
    (validation is U-shaped over learning rate times images seen); what a trial's curve has of its own; noise. Lengths
    are fixed, in decades and in ranges: a study has few curves; only the four variances are fitted.

    Args:
        width: of a row, `DOSE` and the parameters after it included.
    """
    lengths = [0.7, 0.7, *[1.5] * (width - DOSE - 1)]
    shared = ConstantKernel(1.0, (0.01, 10)) * Columns(RBF(lengths, "fixed"), range(TIME, width))
    parabola = ConstantKernel(0.1, (0.001, 5)) * Columns(DotProduct(1.0, "fixed") ** 2, [DOSE])
    same = Columns(RBF(1e-3, "fixed"), [TRIAL]) * Columns(RBF(0.5, "fixed"), [TIME])
    return shared + parabola + ConstantKernel(0.1, (0.003, 2)) * same + WhiteKernel(0.1, NOISE)
