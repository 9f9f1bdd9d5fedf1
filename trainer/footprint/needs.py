"""What a plan's networks, trials and steps need, by rehearsing each on tensors that hold no bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.bases import find
from trainer.bases.find import Source
from trainer.footprint.fitting import Setting
from trainer.footprint.forecast import Eyes, Needs
from trainer.footprint.rehearsal import Rehearsal
from trainer.footprint.resident import footprint
from trainer.plan import TrainingPlan
from trainer.plans.compute import BaseFormat
from trainer.plans.optimiser import OptimiserPlan
from trainer.training.run import shape_of

BLIND = Eyes(0, 0)
"""Of a judge that looks at no pictures."""


class Forecaster:
    """What a plan needs in any setting; what settings have in common is rehearsed once.

    Args:
        plan: what is trained.
        others: optimisers that other trials use; the hungriest of all counts.
        eyes: the models that look at renders.
        source: in place of the plan's base model.

    Raises:
        BaseModelError: there is no base model.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        others: Sequence[OptimiserPlan] = (),
        eyes: Eyes = BLIND,
        source: Source | None = None,
    ) -> None:
        self._plan, self._eyes = plan, eyes
        self._source = source or find.find(plan.base)
        self._kept = footprint(plan, others, self._source)
        self._rehearsals: dict[BaseFormat, Rehearsal] = {}
        self._judged: dict[tuple[BaseFormat, int], _Rest] = {}

    def needs(self, setting: Setting | None = None) -> Needs:
        """What the plan needs in a setting; None takes its own."""
        setting = setting or setting_of(self._plan)
        plan, eyes, form = self._plan, self._eyes, setting.base_format
        if form not in self._rehearsals:
            self._rehearsals[form] = Rehearsal(
                self._source, plan.compute.mixed_precision, shape_of(plan), form
            )
        rehearsal, step = self._rehearsals[form], find.side_step(self._source)
        side = max(1, setting.resolution // step) * step
        windows = plan.data.max_token_length // 75
        if (form, side) not in self._judged:
            self._judged[form, side] = _judged(rehearsal, side, windows)
        judged, networks = self._judged[form, side], rehearsal.network_bytes
        trained = rehearsal.base.text_encoders
        return Needs(
            unet=networks["unet"],
            text=sum(networks[part] for part in trained),
            readers=sum(networks[part] for part in rehearsal.base.encoders if part not in trained),
            vae=networks["vae"],
            eyes=eyes.resident,
            trial=self._kept.trial_bytes,
            update=self._kept.weight_bytes,
            row=rehearsal.training((side, side), windows=windows, checkpointing=setting.checkpointing),
            encoded=judged.encoded,
            caption=judged.caption,
            judged=judged.row,
            decoded=judged.decoded,
            looked=eyes.picture,
            text_stays=plan.reads_text,
            views_vary=plan.data.varies_views,
        )


@dataclass(frozen=True, slots=True)
class _Rest:
    """Bytes of the stages that do not train."""

    encoded: int
    caption: int
    row: int
    decoded: int


def _judged(rehearsal: Rehearsal, side: int, windows: int) -> _Rest:
    size = (side, side)
    return _Rest(
        rehearsal.encoding(size),
        rehearsal.reading(windows),
        rehearsal.predicting(size, windows=windows),
        rehearsal.decoding(size),
    )


def setting_of(plan: TrainingPlan) -> Setting:
    """What the plan itself says; "auto" computes nothing again."""
    compute = plan.compute
    checkpointing = compute.gradient_checkpointing is True
    return Setting(plan.data.resolution, compute.base_format, checkpointing, compute.offload)
