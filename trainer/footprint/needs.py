"""What a plan's networks, trials and steps need, by rehearsing each on tensors that hold no bytes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from trainer.adapters.shape import Shape
from trainer.bases import find
from trainer.bases.find import Source
from trainer.footprint.fitting import Setting
from trainer.footprint.forecast import Eyes, Needs
from trainer.footprint.rehearsal import Rehearsal
from trainer.footprint.resident import footprint
from trainer.plan import TrainingPlan
from trainer.plans.compute import BaseFormat, Precision
from trainer.plans.optimiser import OptimiserPlan
from trainer.training.run import shape_of

BLIND = Eyes(0, 0)
"""Of a judge that looks at no pictures."""


def needs(
    plan: TrainingPlan,
    others: Sequence[OptimiserPlan] = (),
    eyes: Eyes = BLIND,
    setting: Setting | None = None,
    source: Source | None = None,
) -> Needs:
    """What ``plan`` needs of a device.

    Args:
        plan: what is trained.
        others: optimisers that other trials use; the hungriest of all counts.
        eyes: the models that look at renders.
        setting: in place of the plan's own.
        source: in place of the plan's base model.

    Raises:
        BaseModelError: there is no base model.
    """
    source, setting = source or find.find(plan.base), setting or setting_of(plan)
    kept = footprint(plan, others, source)
    rehearsal = _rehearsal(source, plan.compute.mixed_precision, shape_of(plan), setting.base_format)
    step = find.side_step(source)
    side = max(1, setting.resolution // step) * step
    size, windows = (side, side), plan.data.max_token_length // 75
    networks = rehearsal.network_bytes
    return Needs(
        unet=networks["unet"],
        text=sum(held for part, held in networks.items() if part.startswith("text")),
        vae=networks["vae"],
        eyes=eyes.resident,
        trial=kept.trial_bytes,
        update=kept.weight_bytes,
        row=rehearsal.training(size, windows=windows, checkpointing=setting.checkpointing),
        encoded=rehearsal.encoding(size),
        caption=rehearsal.reading(windows),
        judged=rehearsal.predicting(size, windows=windows),
        decoded=rehearsal.decoding(size),
        looked=eyes.picture,
        text_stays=plan.reads_text,
        views_vary=plan.data.varies_views,
    )


def setting_of(plan: TrainingPlan) -> Setting:
    """What the plan itself says; "auto" computes nothing again."""
    compute = plan.compute
    return Setting(plan.data.resolution, compute.base_format, compute.gradient_checkpointing is True)


@lru_cache(maxsize=4)
def _rehearsal(source: Source, precision: Precision, shape: Shape, form: BaseFormat) -> Rehearsal:
    return Rehearsal(source, precision, shape, form)
