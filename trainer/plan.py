"""The training plan: everything that decides what a trial's LoRA will be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from pydantic import model_validator

from trainer.plans import network
from trainer.plans.base import BasePlan
from trainer.plans.compute import ComputePlan
from trainer.plans.data import DataPlan
from trainer.plans.fields import Frozen, means, shared
from trainer.plans.network import LoraPlan
from trainer.plans.noise import NoisePlan
from trainer.plans.optimiser import EmaPlan, OptimiserPlan
from trainer.plans.optimiser_kinds import OPTIMISERS
from trainer.plans.schedule import SchedulePlan


class TrainingPlan(Frozen):
    """One trial, complete: the same plan gives the same LoRA, to rounding, wherever it is trained."""

    base: BasePlan
    data: DataPlan
    lora: LoraPlan = LoraPlan()
    optimiser: OptimiserPlan = OptimiserPlan()
    schedule: SchedulePlan = SchedulePlan()
    noise: NoisePlan = NoisePlan()
    ema: EmaPlan = EmaPlan()
    compute: ComputePlan = ComputePlan()
    seed: int = shared(0, means("seed", row="seed"), ge=0, lt=2**63)
    """Everything random derives from it; a study sets it by ``study.seed``."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        rates = network.rate_problems(self.lora, self.optimiser)
        if problems := [*rates, *self._rate_problems(), *self._device_problems(), *self._format_problems()]:
            raise ValueError("; ".join(problems))
        return self

    @property
    def reads_text(self) -> bool:
        """Whether steps need text encoders: they are trained, or captions change from presentation to presentation."""
        return self.lora.text_encoder or self.data.varies_captions

    def _rate_problems(self) -> Iterator[str]:
        optimiser, lora = self.optimiser, self.lora
        ratio = optimiser.text_lr_over_unet_lr
        if OPTIMISERS[optimiser.name].one_rate and lora.unet and lora.text_encoder and ratio != 1:
            yield (
                f"optimiser.name '{optimiser.name}' has one learning rate for all parts, but "
                f"optimiser.text_lr_over_unet_lr = {ratio}; set it to 1, set lora.text_encoder = false, or choose "
                "another optimiser"
            )
        if optimiser.text_stop_share < 1 and not lora.unet:
            yield (
                f"optimiser.text_stop_share = {optimiser.text_stop_share} with lora.unet = false would train "
                "nothing afterwards; set it to 1"
            )

    def _format_problems(self) -> Iterator[str]:
        form, lora = self.compute.base_format, self.lora
        if form != "auto" and (lora.dora or lora.algorithm != "lora"):
            asked = "lora.dora = true" if lora.dora else f"lora.algorithm = '{lora.algorithm}'"
            yield (
                f"{asked} reads the base model's weights whole, which compute.base_format = '{form}' does not keep; "
                "set it to 'auto', or train plain LoRAs"
            )

    def _device_problems(self) -> Iterator[str]:
        eight_bit = OPTIMISERS[self.optimiser.name].eight_bit
        on_cpu = self.compute.device == "cpu"
        if eight_bit and self.compute.mixed_precision == "no" and not on_cpu:
            import torch

            if torch.cuda.is_available():
                yield (
                    f"optimiser.name '{self.optimiser.name}' needs compute.mixed_precision fp16 or bf16 on CUDA"
                )
