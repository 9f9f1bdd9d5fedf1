"""What a LoRA file says of itself: network, recipe, data (`ss_*`, `modelspec.*`)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from trainer.bases.family import Identity
from trainer.data.dataset import Dataset
from trainer.data.order import steps_per_epoch
from trainer.lora_files import short_hash
from trainer.outcome import EpochEnd
from trainer.plan import TrainingPlan
from trainer.plan_paths import KEY, without_folders
from trainer.plans.data import DataPlan
from trainer.plans.network import LoraPlan
from trainer.seeds import derive
from trainer.training import optimisers, schedules


def data_facts(plan: DataPlan, dataset: Dataset) -> dict[str, object]:
    """The ``ss_*`` entries about images, captions and regularisation."""
    return {
        "ss_num_reg_images": len(dataset.regularisation),
        "ss_dataset_dirs": _folders(dataset, dataset.split.train),
        "ss_reg_dataset_dirs": _folders(dataset, dataset.regularisation),
        "ss_prior_loss_weight": plan.prior_loss_weight,
        "ss_bucket_no_upscale": plan.bucket_no_upscale,
        "ss_min_bucket_reso": plan.min_bucket_reso if plan.enable_bucket else None,
        "ss_max_bucket_reso": plan.max_bucket_reso if plan.enable_bucket else None,
        "ss_bucket_info": _bucket_info(dataset) if plan.enable_bucket else None,
        "ss_flip_aug": plan.flip,
        "ss_random_crop": plan.random_crop,
        "ss_color_aug": plan.colour_jitter > 0,
        "ss_caption_dropout_rate": plan.caption_dropout,
        "ss_caption_tag_dropout_rate": plan.tag_dropout,
        "ss_max_token_length": plan.max_token_length if plan.max_token_length > 75 else None,
        "ss_cache_latents": plan.cache_latents != "off",
    }


def datasets(plan: DataPlan, dataset: Dataset) -> str:
    """``ss_datasets``: the one data set and its folders, by names alone, as readers of training data expect it."""
    switches = {
        "shuffle_caption": plan.shuffle_caption,
        "keep_tokens": plan.keep_tokens,
        "color_aug": plan.colour_jitter > 0,
        "flip_aug": plan.flip,
        "random_crop": plan.random_crop,
    }
    sides = (False, dataset.split.train), (True, dataset.regularisation)
    subsets = [
        {
            "image_dir": name,
            "img_count": entry["img_count"],
            "num_repeats": entry["n_repeats"],
            "is_reg": is_reg,
            **switches,
        }
        for is_reg, which in sides
        for name, entry in _counted(dataset, which).items()
    ]
    whole = {
        "is_dreambooth": True,
        "batch_size_per_device": plan.batch_size,
        "num_train_images": len(dataset.deck.cards) * dataset.deck.repeats,
        "num_reg_images": len(dataset.regularisation),
        "resolution": [plan.resolution, plan.resolution],
        "enable_bucket": plan.enable_bucket,
        "tag_frequency": _tag_frequency(dataset),
        "subsets": subsets,
    }
    return json.dumps([whole])


def _folders(dataset: Dataset, which: Sequence[int]) -> str:
    return json.dumps(_counted(dataset, which))


def _counted(dataset: Dataset, which: Sequence[int]) -> dict[str, dict[str, int]]:
    """Images and repeats by the name of their folder."""
    found: dict[str, dict[str, int]] = {}
    for i in which:
        example = dataset.examples[i]
        entry = found.setdefault(example.path.parent.name, {"n_repeats": example.repeats, "img_count": 0})
        entry["img_count"] += 1
    return found


def _bucket_info(dataset: Dataset) -> str:
    """Training images of each bucket, repeats counted, and by how much their width over height differs from it."""
    cards = dataset.deck.cards
    counts = Counter(dataset.sizes[i] for i in cards)
    buckets = {
        str(place): {"resolution": list(size), "count": count * dataset.deck.repeats}
        for place, (size, count) in enumerate(sorted(counts.items()))
    }
    errors = [abs(_aspect(dataset.sizes[i]) - _aspect(dataset.examples[i].size)) for i in cards]
    return json.dumps({"buckets": buckets, "mean_img_ar_error": sum(errors) / len(errors)})


def _aspect(size: tuple[int, int]) -> float:
    return size[0] / size[1]


def metadata(
    plan: TrainingPlan, dataset: Dataset, base: Identity, name: str, end: EpochEnd
) -> dict[str, str]:
    """The ``ss_*`` and ``modelspec.*`` metadata that the ecosystem's tools show.

    Args:
        plan: what was trained.
        dataset: on which images.
        base: the base model.
        name: ``ss_output_name``.
        end: where training stood.
    """
    dataset, kept = dataset.fold(plan.data.fold), without_folders(plan).model_dump_json()
    total_steps = plan.data.epochs * steps_per_epoch(
        dataset.deck,
        dataset.sizes,
        plan.data.repeats,
        plan.data.batch_size,
        plan.optimiser.gradient_accumulation,
    )
    facts: dict[str, object] = {
        "ss_output_name": name,
        "ss_network_dim": plan.lora.rank,
        "ss_network_alpha": plan.lora.file_alpha,
        **network_facts(plan.lora),
        "ss_base_model_version": base.family.lora.version[base.prediction_type],
        "ss_v2": base.family.lora.v2,
        "ss_zero_terminal_snr": base.zero_terminal_snr,
        "ss_sd_model_name": (plan.base.transformer or plan.base.path).name,
        "ss_new_sd_model_hash": base.model_hash,
        "ss_vae_name": plan.base.vae.name if plan.base.vae else None,
        "ss_new_vae_hash": base.vae_hash,
        "ss_unet_lr": plan.optimiser.unet_lr if plan.lora.unet else None,
        "ss_text_encoder_lr": _text_rates(plan, base),
        **short_hash.of_models(plan.base),
        **recipe_facts(plan, total_steps),
        "ss_num_train_images": len(dataset.split.train),
        "ss_num_epochs": plan.data.epochs,
        "ss_epoch": end.epoch,
        "ss_steps": end.steps,
        "ss_total_batch_size": plan.data.batch_size,
        "ss_resolution": f"({plan.data.resolution}, {plan.data.resolution})",
        "ss_enable_bucket": plan.data.enable_bucket,
        "ss_clip_skip": plan.base.clip_skip,
        "ss_shuffle_caption": plan.data.shuffle_caption,
        "ss_keep_tokens": plan.data.keep_tokens,
        "ss_mixed_precision": plan.compute.mixed_precision,
        "ss_gradient_checkpointing": plan.compute.recomputes,
        "ss_seed": plan.seed,
        "ss_session_id": derive("session", kept) % 2**32,
        "ss_tag_frequency": json.dumps(_tag_frequency(dataset)),
        "ss_datasets": datasets(plan.data, dataset),
        **data_facts(plan.data, dataset),
        KEY: kept,
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{base.family.lora.architecture[base.prediction_type]}/lora",
        "modelspec.implementation": base.family.lora.implementation,
        "modelspec.title": name,
        "modelspec.resolution": f"{plan.data.resolution}x{plan.data.resolution}",
        **(flow_facts(plan) if base.family.flows else _prediction(base)),
    }
    return {key: str(value) for key, value in facts.items()}


def _prediction(base: Identity) -> dict[str, object]:
    """What the denoiser predicts, as the standard says it; it has no word for a flow."""
    v = base.prediction_type == "v_prediction"
    return {"modelspec.prediction_type": "v" if v else "epsilon"}


def flow_facts(plan: TrainingPlan) -> dict[str, object]:
    """``ss_*`` of noise levels on a flow, as sd-scripts' flux_train_network and sd3_train_network name them.

    A field that is left to the family is "None" here.
    """
    noise = plan.noise
    weighted = noise.loss_weighting not in ("none", "sigma_squared")
    return {
        "ss_weighting_scheme": noise.loss_weighting if weighted else noise.timestep_density,
        "ss_logit_mean": noise.logit_mean,
        "ss_logit_std": noise.logit_std,
        "ss_mode_scale": noise.mode_scale,
        "ss_discrete_flow_shift": noise.timestep_shift,
        "ss_guidance_scale": noise.guidance,
        "ss_model_prediction_type": "raw",
    }


def times(started: datetime | None, ended: datetime | None) -> dict[str, str]:
    """When a LoRA was trained, as sd-scripts writes it; empty where that is not known.

    Args:
        started: local time.
        ended: local time.
    """
    if started is None or ended is None:
        return {}
    return {
        "ss_training_started_at": str(started.timestamp()),
        "ss_training_finished_at": str(ended.timestamp()),
        "modelspec.date": ended.replace(microsecond=0, tzinfo=None).isoformat(),
    }


def _text_rates(plan: TrainingPlan, base: Identity) -> object:
    """The text encoder's learning rate, or those of both."""
    if not plan.lora.text_encoder:
        return None
    shares = [plan.optimiser.text_lr_over_unet_lr, plan.optimiser.text2_share]
    rates = [plan.optimiser.unet_lr * share for share in shares[: len(base.family.trained_encoders)]]
    return rates[0] if len(rates) == 1 else rates


def _tag_frequency(dataset: Dataset) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for i in dataset.split.train:
        example = dataset.examples[i]
        folder = counts.setdefault(example.path.parent.name, {})
        for tag in (tag.strip() for tag in example.caption.split(",")):
            folder[tag] = folder.get(tag, 0) + 1
    return counts


def network_facts(plan: LoraPlan) -> dict[str, object]:
    """``ss_network_module``, ``ss_network_args`` and ``ss_network_dropout``."""
    arguments: dict[str, object] = {}
    lycoris = plan.algorithm != "lora" or plan.dora
    if lycoris:
        arguments = {"algo": plan.algorithm, **plan.algorithm_args.get(plan.algorithm, {})}
    if plan.dora:
        arguments |= {"dora_wd": True, "wd_on_output": True}
    if plan.conv_rank is not None:
        arguments |= {"conv_dim": plan.conv_rank, "conv_alpha": plan.conv_scale * plan.conv_rank}
    for name, rate in (("rank_dropout", plan.rank_dropout), ("module_dropout", plan.module_dropout)):
        if rate:
            arguments[name] = rate
    return {
        "ss_network_module": "lycoris.kohya" if lycoris else "networks.lora",
        "ss_network_args": json.dumps({key: str(value) for key, value in arguments.items()}),
        "ss_network_dropout": plan.dropout or None,
    }


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
