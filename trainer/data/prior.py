"""How much regularisation images count (pure)."""

from __future__ import annotations

from trainer.plans.data import DataPlan


def prior_weight(plan: DataPlan, epoch: int) -> float:
    """The factor on a regularisation image's loss: (1 - s) weight + s minimum, s = epoch / epochs of the fall.

    Args:
        plan: the weight, where its fall ends, and after how many epochs.
        epoch: completed epochs; the whole epoch has one weight.
    """
    if plan.prior_loss_epochs is None:
        return plan.prior_loss_weight
    share = min(1.0, epoch / plan.prior_loss_epochs)
    return (1 - share) * plan.prior_loss_weight + share * plan.prior_loss_min_weight
