"""Pruners by name: each a factory of an Optuna pruner that compares trials at equal images seen."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, model_validator

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

STARTUP_TRIALS = 5
"""Finished trials that the median and percentile pruners wait for before they stop any."""


class PrunerSettings(BaseModel):
    """Which pruner, and at which image counts it compares trials.

    Attributes:
        name: one of `PRUNERS`.
        min_images: images seen at the first comparison; where there are no rungs also the distance between two.
        reduction_factor: successive halving keeps one trial in this many at each rung, and each rung lies
            this many times further than the one before.
        percentile: the percentile pruner lets go on what is among the best so many per cent of finished trials.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "asha"
    min_images: int = 0
    reduction_factor: int = 3
    percentile: float = 50.0

    @model_validator(mode="after")
    def _check(self) -> PrunerSettings:
        problems = []
        if self.name not in PRUNERS:
            problems.append(f"Unknown pruner {self.name!r}; choose one of: {', '.join(sorted(PRUNERS))}.")
        if self.name != "none" and self.min_images < 1:
            problems.append(f"pruner.min_images must be at least 1, but got {self.min_images}.")
        if self.reduction_factor < 2:
            problems.append(f"pruner.reduction_factor must be at least 2, but got {self.reduction_factor}.")
        if not 0 < self.percentile < 100:
            problems.append(f"pruner.percentile must lie between 0 and 100, but got {self.percentile:g}.")
        if problems:
            raise ValueError("\n".join(problems))
        return self


def forecast_problem() -> str | None:
    """A sentence if the library behind the curve model is not installed, else None."""
    if find_spec("sklearn") is None:
        return "Forecasts of learning curves need scikit-learn: pip install scikit-learn."
    return None


def first_look(name: str, horizon_images: int) -> int:
    """Images seen at the first comparison where a study names none: a sixth of the horizon; pace, forecast: a tenth."""
    return max(1, horizon_images // (10 if name in ("forecast", "pace") else 6))


def make_pruner(settings: PrunerSettings, horizon_images: int) -> BasePruner:
    """The pruner that the settings name.

    Args:
        settings: already checked.
        horizon_images: the most images that one trial sees.
    """
    return PRUNERS[settings.name](settings, horizon_images)


def grid(settings: PrunerSettings, horizon_images: int) -> tuple[int, ...]:
    """The image counts at which trials are compared, rising, all below the horizon.

    They are the rungs `min_images * reduction_factor**k` for asha and hyperband, multiples of `min_images`
    for forecast, median, pace, percentile and wilcoxon, nothing for none. At the horizon there is nothing left to save.
    """
    match settings.name:
        case "none":
            return ()
        case "forecast" | "median" | "pace" | "percentile" | "wilcoxon":
            return tuple(range(settings.min_images, horizon_images, settings.min_images))
    rungs = []
    images = settings.min_images
    while images < horizon_images:
        rungs.append(images)
        images *= settings.reduction_factor
    return tuple(rungs)


def _asha(settings: PrunerSettings, horizon_images: int) -> BasePruner:
    """Asynchronous successive halving: at each rung one trial in `reduction_factor` goes on (1810.05934)."""
    from optuna.pruners import SuccessiveHalvingPruner

    return SuccessiveHalvingPruner(
        min_resource=settings.min_images, reduction_factor=settings.reduction_factor
    )


def _hyperband(settings: PrunerSettings, horizon_images: int) -> BasePruner:
    """Successive halving in several brackets that begin at different rungs (1603.06560)."""
    from optuna.pruners import HyperbandPruner

    return HyperbandPruner(
        min_resource=settings.min_images,
        max_resource=max(horizon_images, settings.min_images),
        reduction_factor=settings.reduction_factor,
    )


def _median(settings: PrunerSettings, horizon_images: int) -> BasePruner:
    """Stops a trial whose best lies below the median of the finished trials at the same image count."""
    from optuna.pruners import MedianPruner

    return MedianPruner(n_startup_trials=STARTUP_TRIALS)


def _percentile(settings: PrunerSettings, horizon_images: int) -> BasePruner:
    """Stops a trial that is not among the best per cent of the finished ones at the same image count."""
    from optuna.pruners import PercentilePruner

    return PercentilePruner(settings.percentile, n_startup_trials=STARTUP_TRIALS)


def _wilcoxon(settings: PrunerSettings, horizon_images: int) -> BasePruner:
    """Stops a trial whose whole curve lies below the best trial's by a signed-rank test (p < 0.1)."""
    from optuna.pruners import WilcoxonPruner

    return WilcoxonPruner()


def _pace(settings: PrunerSettings, horizon_images: int) -> BasePruner:
    """Stops a trial that would not reach the best even if it went on improving as fast as now."""
    from search.pace_pruner import PacePruner

    return PacePruner(horizon_images)


def _forecast(settings: PrunerSettings, horizon_images: int) -> BasePruner:
    """Stops a trial to which the curves of all trials give hardly a chance of holding the best checkpoint."""
    from search.forecast_pruner import ForecastPruner

    return ForecastPruner(horizon_images)


def _none(settings: PrunerSettings, horizon_images: int) -> BasePruner:
    """Stops nothing."""
    from optuna.pruners import NopPruner

    return NopPruner()


PRUNERS: dict[str, Callable[[PrunerSettings, int], BasePruner]] = {
    "asha": _asha,
    "forecast": _forecast,
    "hyperband": _hyperband,
    "median": _median,
    "none": _none,
    "pace": _pace,
    "percentile": _percentile,
    "wilcoxon": _wilcoxon,
}
