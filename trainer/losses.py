"""The training loss of each row (pure)."""

from __future__ import annotations

from torch import Tensor


def squared_error(prediction: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error of each row in float32 (float64 stays): (n, c, h, w) twice -> (n,)."""
    wide = wanted if wanted.element_size() >= 4 else wanted.float()
    return (prediction.to(wide.dtype) - wide).square().mean(dim=(1, 2, 3))


def min_snr_weight(alphas_cumprod: Tensor, gamma: float, prediction_type: str) -> Tensor:
    """Min-SNR weights (Hang et al. 2023): min(snr, g) / snr for epsilon, / (snr + 1) for v.

    Args:
        alphas_cumprod: a at each row's timestep, shape (n,); snr = a / (1 - a).
        gamma: g, usually 5.
        prediction_type: "epsilon" or "v_prediction".
    """
    snr = alphas_cumprod / (1 - alphas_cumprod)
    return snr.clamp(max=gamma) / (snr if prediction_type == "epsilon" else snr + 1)
