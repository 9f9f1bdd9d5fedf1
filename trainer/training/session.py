"""The beginning of every training: a base model, encoded images and a pack of slots on one device."""

from __future__ import annotations

from pathlib import Path

from trainer.bases.base_model import device_for
from trainer.data.caches import TensorCache
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.footprint.needs import Forecaster
from trainer.footprint.room import resolved
from trainer.lora_files import merging
from trainer.plan import TrainingPlan
from trainer.training import compiling
from trainer.training.pack import Pack


def open(plan: TrainingPlan, dataset: Dataset, cache: Path, slots: int) -> Pack:
    """An empty pack, with its base model and its data.

    Args:
        plan: any of the trials': their base and compute sections are the same.
        dataset: whose images are trained on.
        cache: folder of encoded images, kept between runs.
        slots: trials that it can hold at a time.

    Raises:
        BaseModelError: with what is wrong with the base model and what to do.
    """
    if plan.compute.compile:
        compiling.check()
    compute = resolved(plan, device_for(plan.compute.device), slots, lambda: Forecaster(plan).needs)
    base = merging.loaded(plan)
    data = Encoded(dataset, base, TensorCache(cache))
    pack = Pack(base, data, slots, compute)
    if base.residency.moves:
        data.prepare(plan.base.clip_skip, plan.data.flip)
    return pack
