"""What a plan's networks, trials and steps need, by rehearsing each on tensors that hold no bytes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from trainer.adapters.shape import Shape
from trainer.bases import find
from trainer.bases.find import Source
from trainer.footprint.forecast import Eyes, Needs
from trainer.footprint.rehearsal import Rehearsal
from trainer.footprint.resident import footprint
from trainer.plan import TrainingPlan
from trainer.plans.compute import Precision
from trainer.plans.optimiser import OptimiserPlan
from trainer.training.run import shape_of

BLIND = Eyes(0, 0)
"""Of a judge that looks at no pictures."""


def needs(
    plan: TrainingPlan,
    others: Sequence[OptimiserPlan] = (),
    eyes: Eyes = BLIND,
    resolution: int | None = None,
    checkpointing: bool | None = None,
    source: Source | None = None,
) -> Needs:
    """What ``plan`` needs of a device.

    Args:
        plan: what is trained.
        others: optimisers that other trials use; the hungriest of all counts.
        eyes: the models that look at renders.
        resolution: in place of the plan's, in pixels.
        checkpointing: in place of the plan's.
        source: in place of the plan's base model.

    Raises:
        BaseModelError: there is no base model.
    """
    source, data, compute = source or find.find(plan.base), plan.data, plan.compute
    kept = footprint(plan, others, source)
    rehearsal = _rehearsal(source, compute.mixed_precision, shape_of(plan))
    side = resolution or data.resolution
    side = max(1, side // find.side_step(source)) * find.side_step(source)
    size, windows = (side, side), data.max_token_length // 75
    networks = rehearsal.network_bytes
    recomputes = compute.gradient_checkpointing if checkpointing is None else checkpointing
    return Needs(
        unet=networks["unet"],
        text=sum(held for part, held in networks.items() if part.startswith("text")),
        vae=networks["vae"],
        eyes=eyes.resident,
        trial=kept.trial_bytes,
        update=kept.weight_bytes,
        row=rehearsal.training(size, windows=windows, checkpointing=recomputes),
        encoded=rehearsal.encoding(size),
        caption=rehearsal.reading(windows),
        judged=rehearsal.predicting(size, windows=windows),
        decoded=rehearsal.decoding(size),
        looked=eyes.picture,
        text_stays=plan.reads_text,
        views_vary=data.varies_views,
    )


@lru_cache(maxsize=4)
def _rehearsal(source: Source, precision: Precision, shape: Shape) -> Rehearsal:
    return Rehearsal(source, precision, shape)
