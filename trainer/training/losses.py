"""The training loss of each row (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from trainer.plans.noise import NoisePlan, Weighting
from trainer.sending import send


def squared_error(prediction: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error of each row in float32 (float64 stays): (n, c, h, w) twice -> (n,)."""
    wide = wanted if wanted.element_size() >= 4 else wanted.float()
    return (prediction.to(wide.dtype) - wide).square().mean(dim=(1, 2, 3))


def minimised(squared: Tensor, prediction: Tensor, wanted: Tensor, plans: Sequence[NoisePlan]) -> Tensor:
    """What each row minimises, by its own plan's ``loss``: shape (n,).

    Args:
        squared: the rows' mean squared errors, shape (n,).
        prediction: shape (n, c, h, w).
        wanted: same shape.
        plans: one a row.
    """
    robust = [row for row, plan in enumerate(plans) if plan.loss != "l2"]
    if not robust:
        return squared
    curves = [(c, 2 * c if loss == "huber" else 2.0) for c, loss in ((p.huber_c, p.loss) for p in plans)]
    turns, slopes = (
        send(torch.tensor(column, dtype=squared.dtype), squared.device).view(-1, 1, 1, 1)
        for column in zip(*(curves[row] for row in robust), strict=True)
    )
    rows = send(torch.tensor(robust), squared.device)
    error = prediction[rows].to(squared.dtype) - wanted[rows].to(squared.dtype)
    values = pseudo_huber(error, turns, slopes).mean(dim=(1, 2, 3))
    return squared.index_copy(0, rows, values)


def pseudo_huber(error: Tensor, turn: Tensor | float, slope: Tensor | float) -> Tensor:
    """slope (sqrt(d^2 + c^2) - c), as diffusers' examples and sd-scripts define their robust losses.

    ``huber`` has slope 2c and is about d^2 for small errors; ``smooth_l1`` has slope 2 and is about 2|d| for large
    ones.

    Args:
        error: d, any shape.
        turn: c, where square turns to straight.
        slope: of the straight part.
    """
    return slope * ((error.square() + turn**2).sqrt() - turn)


def weight(alphas_cumprod: Tensor, plan: NoisePlan, prediction_type: str) -> Tensor:
    """The loss weight of a row at its timestep, by its own plan.

    Args:
        alphas_cumprod: at the row's timestep; on a flow its sigma.
        plan: of the row.
        prediction_type: what the denoiser says.
    """
    if plan.min_snr_gamma is not None:
        return min_snr_weight(alphas_cumprod, plan.min_snr_gamma, prediction_type)
    if plan.debiased:
        return debiased_weight(alphas_cumprod, prediction_type)
    if plan.loss_weighting != "none":
        return flow_weight(alphas_cumprod, plan.loss_weighting)
    return torch.ones_like(alphas_cumprod)


def min_snr_weight(alphas_cumprod: Tensor, gamma: float, prediction_type: str) -> Tensor:
    """Min-SNR weights (Hang et al. 2023): min(snr, g) / snr for epsilon, / (snr + 1) for v.

    Args:
        alphas_cumprod: a at each row's timestep, shape (n,); snr = a / (1 - a).
        gamma: g, usually 5.
        prediction_type: "epsilon" or "v_prediction".
    """
    snr = alphas_cumprod / (1 - alphas_cumprod)
    return snr.clamp(max=gamma) / (snr if prediction_type == "epsilon" else snr + 1)


def flow_weight(sigma: Tensor, name: Weighting) -> Tensor:
    """``sigma_sqrt``: 1 / sigma^2; ``cosmap``: 2 / (pi (1 - 2 sigma + 2 sigma^2)) (Esser et al. 2024, eq. 21).

    ``sigma_squared``: sigma^2, which makes of the direction's squared error that of the picture, x_t - sigma v.

    Args:
        sigma: at each row's timestep, shape (n,); below 0.001, where 1 / sigma^2 would be all that counts, as there.
        name: of the weighting.
    """
    if name == "sigma_sqrt":
        return sigma.clamp(min=1e-3) ** -2.0
    if name == "sigma_squared":
        return sigma**2
    return 2 / (math.pi * (1 - 2 * sigma + 2 * sigma**2))


def debiased_weight(alphas_cumprod: Tensor, prediction_type: str) -> Tensor:
    """Debiased estimation (Yu et al. 2023): 1 / sqrt(min(snr, 1000)) for epsilon, 1 / (min(snr, 1000) + 1) for v.

    Args:
        alphas_cumprod: a at each row's timestep, shape (n,); snr = a / (1 - a).
        prediction_type: "epsilon" or "v_prediction".
    """
    snr = (alphas_cumprod / (1 - alphas_cumprod)).clamp(max=1000)
    return snr.rsqrt() if prediction_type == "epsilon" else 1 / (snr + 1)
