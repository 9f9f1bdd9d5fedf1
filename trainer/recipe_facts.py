"""The recipe of a training in the words of sd-scripts' file metadata (pure)."""

from __future__ import annotations

from trainer import optimisers, schedules
from trainer.plan import TrainingPlan


def recipe_facts(plan: TrainingPlan, total_steps: int) -> dict[str, object]:
    """``ss_*`` of optimiser, schedule, noise and loss; None where sd-scripts writes None.

    Args:
        plan: what was trained.
        total_steps: optimiser steps of the whole trial.
    """
    optimiser, noise = plan.optimiser, plan.noise
    pyramid = noise.multires_iterations > 0
    return {
        "ss_learning_rate": optimiser.unet_lr,
        "ss_optimizer": optimisers.description(optimiser),
        "ss_lr_scheduler": plan.schedule.name,
        "ss_lr_warmup_steps": schedules.warmup_steps(plan.schedule, total_steps),
        "ss_max_train_steps": total_steps,
        "ss_gradient_accumulation_steps": optimiser.gradient_accumulation,
        "ss_max_grad_norm": optimiser.max_grad_norm,
        "ss_scale_weight_norms": optimiser.max_weight_norm,
        "ss_noise_offset": noise.offset or None,
        "ss_adaptive_noise_scale": noise.adaptive_scale or None,
        "ss_multires_noise_iterations": noise.multires_iterations or None,
        "ss_multires_noise_discount": noise.multires_discount if pyramid else None,
        "ss_ip_noise_gamma": noise.ip_gamma or None,
        "ss_min_snr_gamma": noise.min_snr_gamma,
        "ss_debiased_estimation": noise.debiased,
        "ss_loss_type": noise.loss,
        "ss_huber_schedule": "constant",
        "ss_huber_c": noise.huber_c,
    }
