"""ai-toolkit: the YAML of its jobs (ostris/ai-toolkit 27a03a9)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from studies.dialects.translation import (
    OWN_SHIFT,
    Foreign,
    Translation,
    Word,
    asks,
    named,
    nonzero,
    number,
    switch,
)
from studies.errors import shown

_PRECISIONS = {
    "bf16": "bf16",
    "bfloat16": "bf16",
    "fp16": "fp16",
    "float16": "fp16",
    "fp32": "no",
    "float32": "no",
    "float": "no",
}
_SAVED = {**_PRECISIONS, "fp32": "float", "float32": "float", "float": "float"}
_OPTIMISERS = {
    "adamw": "AdamW",
    "adamw8bit": "AdamW8bit",
    "adamw8": "AdamW8bit",
    "lion": "Lion",
    "lion8bit": "Lion8bit",
    "prodigy": "Prodigy",
    "adafactor": "AdaFactor",
    "dadaptation": "DAdaptAdam",
    "dadaptationlion": "DAdaptLion",
    "dadaptationadam": "DAdaptLion",
}
_SMALL = ("AdamW", "AdamW8bit", "Prodigy")
"""Optimisers that it gives an eps of 1e-6."""
_ROWS: Mapping[str, Word] = {
    "model.name_or_path": Word("pretrained_model_name_or_path"),
    "model.vae_path": Word("vae"),
    "model.is_v2": Word("v2", switch),
    "model.is_v_pred": Word("v_parameterization", switch),
    "network.pretrained_lora_path": Word("network_weights"),
    "network.dropout": Word("network_dropout", nonzero),
    "train.batch_size": Word("train_batch_size"),
    "train.lr": Word("learning_rate", default=1e-6),
    "train.unet_lr": Word("unet_lr"),
    "train.dtype": Word("mixed_precision", named(_PRECISIONS)),
    "train.max_grad_norm": Word("max_grad_norm"),
    "train.noise_offset": Word("noise_offset"),
    "train.min_snr_gamma": Word("min_snr_gamma", nonzero),
    "train.xformers": Word("xformers", switch),
    "train.min_denoising_steps": Word("min_timestep"),
    "train.max_denoising_steps": Word(
        "max_timestep", lambda value: int(number(value)) + 1, "is the last timestep, ours the one after it"
    ),
    "train.reg_weight": Word("prior_loss_weight"),
    "save.dtype": Word("save_precision", named(_SAVED)),
    "sample.guidance_scale": Word("sample_cfg"),
    "sample.sample_steps": Word("sample_steps"),
    "sample.neg": Word("negative_prompts"),
}
_IDLE = {
    **dict.fromkeys(
        ("type", "training_folder", "device", "performance_log_every", "save.*", "logging.*", "meta.*"),
        "files have their own places in the study's workspace",
    ),
    **dict.fromkeys(
        ("sample.*", "train.skip_first_sample", "train.force_first_sample", "train.disable_sampling"),
        "every epoch's end is saved and judged, each with the same pictures",
    ),
    **dict.fromkeys(
        ("train.gradient_checkpointing", "model.*quantize*", "model.low_vram", "model.*dtype", "train.sdp",
         "train.attention_backend", "model.qtype*", "train.unload_text_encoder", "train.cache_text_embeddings",
         "*layer_offloading*"),
        "memory and speed are a matter of the machine, plan.compute",
    ),
    **dict.fromkeys(("model.is_*", "model.arch", "model.extras_name_or_path"), "the base model's files say what it is"),
    "network.transformer_only": "it is for other models",
    "network.lokr_full_rank": "it is for LoKr",
    "network.lokr_factor": "it is for LoKr",
    "network.old_lokr_format": "it says how a file is written",
    "train.timestep_type": "it is for flow matching, train.noise_scheduler: flowmatch",
}  # fmt: skip
_SPREADS: Mapping[str, tuple[str, float | str]] = {
    "sigmoid": ("logit_normal", 1.0),
    "linear": ("uniform", 1.0),
    "weighted": ("uniform", 1.0),
    "shift": ("uniform", OWN_SHIFT),
    "flux_shift": ("uniform", OWN_SHIFT),
    "lumina2_shift": ("uniform", OWN_SHIFT),
}
"""timestep_type -> density and shift."""
_DEFAULTS = {
    "train.noise_scheduler": "ddpm",
    "train.loss_type": "mse",
    "train.content_or_style": "balanced",
    "train.num_train_timesteps": 1000,
    "train.ema_config.param_multiplier": 1.0,
}
_SUBSET = {
    "folder_path": "image_dir",
    "dataset_path": "image_dir",
    "num_repeats": "num_repeats",
    "shuffle_tokens": "shuffle_caption",
    "keep_tokens": "keep_tokens",
    "caption_dropout_rate": "caption_dropout_rate",
    "token_dropout_rate": "caption_tag_dropout_rate",
    "is_reg": "is_reg",
    "flip_x": "flip_aug",
    "random_crop": "random_crop",
    "default_caption": "class_tokens",
    "mask_path": "conditioning_data_dir",
}
_SUBSET_IDLE = (
    "cache_latents",
    "cache_latents_to_disk",
    "type",
    "num_workers",
    "prefetch_factor",
    "caption_ext",
)
_SUBSET_DEFAULTS = {"scale": 1.0, "loss_multiplier": 1.0, "network_weight": 1.0, "num_frames": 1}


def fits(table: Mapping[str, Any]) -> bool:
    """Whether it is a job: a configuration with processes."""
    match table:
        case {"job": _, "config": {"process": _}}:
            return True
        case _:
            return False


def translated(table: Mapping[str, Any]) -> Translation:
    """What the first process of a job says."""
    out, job = Translation("ai-toolkit"), Foreign(table)
    match job.take("config.process"):
        case [dict(process), *others]:
            source = Foreign(process)
        case other:
            out.problems.append(f"config.process must be a list of tables, but got {shown(other)}.")
            return out
    if others:
        out.refuse("config.process", f"{len(others) + 1} stand there, the first one is taken")
    out.put("output_name", job.text("config.name"), "config.name")
    out.apply(_ROWS, source)
    _network(source, out)
    _parts(source, out)
    _optimiser(source, out)
    _schedule(source, out)
    _average(source, out)
    _samples(source, out)
    if trigger := source.take("trigger_word"):
        out.refuse("trigger_word", f"{trigger!r} is not put into captions here; write it into them")
    if _flows(source):
        _noise_levels(source, out)
    source.used |= {key for key, value in _DEFAULTS.items() if source.values.get(key) == value}
    source.used.add("train.noise_scheduler")
    _datasets(source.take("datasets"), out)
    out.remainder(source, _IDLE)
    return out


def _flows(source: Foreign) -> bool:
    return bool(source.peek("train.noise_scheduler") == "flowmatch")


def _noise_levels(source: Foreign, out: Translation) -> None:
    """How often each is trained on a flow-matching base."""
    kind = source.text("train.timestep_type", "sigmoid")
    key = "train.timestep_type" if "train.timestep_type" in source.values else "train.noise_scheduler"
    density, shift = _SPREADS.get(kind, ("uniform", 1.0))
    out.put("noise.timestep_density", density, key)
    out.put("noise.timestep_shift", shift, key)
    out.imply("lora.layers", "all")
    if kind == "weighted":
        out.refuse(key, "'weighted' weighs noise levels by a table of its own, all count alike here")
    elif kind not in _SPREADS:
        out.refuse(key, f"{kind!r} is not supported, 'linear' is taken")


def _network(source: Foreign, out: Translation) -> None:
    kind = source.text("network.type", "lora").lower()
    rank = source.take("network.rank", source.take("network.linear", 4))
    alpha = source.take("network.linear_alpha", source.take("network.alpha", 1.0))
    out.put("network_dim", rank, "network.linear")
    out.put("network_alpha", alpha, "network.linear_alpha")
    if kind == "lokr":
        out.put("network_module", "lycoris.kohya", "network.type")
        out.argument("network_args", "algo", "lokr", "network.type")
        out.argument("network_args", "preset", "attn-mlp")
        out.argument("network_args", "factor", source.take("network.lokr_factor", -1), "network.lokr_factor")
        if source.on("network.lokr_full_rank", default=True):
            out.argument("network_args", "full_matrix", True, "network.lokr_full_rank")
            out.put("network_dim", 16, "network.linear")
            out.put("network_alpha", 16)
    elif kind not in ("lora", "locon"):
        out.refuse("network.type", f"{kind!r} is not supported, a plain LoRA is taken")
    convolutions = source.take("network.conv")
    if asks(convolutions) and kind != "lokr":
        out.argument("network_args", "conv_dim", convolutions, "network.conv")
        conv_alpha = source.take("network.conv_alpha", convolutions)
        out.argument("network_args", "conv_alpha", conv_alpha, "network.conv_alpha")
    elif kind != "lokr" and not _flows(source):
        out.refuse(
            "network.linear",
            "the time embedding, and the 1x1 convolutions and time projections of the blocks with convolutions, are "
            "adapted there too; without network.conv they are left out here",
        )
    source.used |= {"network.conv_alpha"}


def _parts(source: Foreign, out: Translation) -> None:
    if not source.on("train.train_text_encoder"):
        out.put("network_train_unet_only", True, "train.train_text_encoder")
        source.used.add("train.text_encoder_lr")
    elif (rate := source.take("train.text_encoder_lr")) is not None:
        out.put("text_encoder_lr", rate, "train.text_encoder_lr")
    if not source.on("train.train_unet", default=True):
        out.put("network_train_text_encoder_only", True, "train.train_unet")


def _optimiser(source: Foreign, out: Translation) -> None:
    name = named(_OPTIMISERS)(source.text("train.optimizer", "adamw"))
    out.put("optimizer_type", name, "train.optimizer")
    prefix = "train.optimizer_params."
    arguments = {
        key.removeprefix(prefix): source.take(key) for key in source.values if key.startswith(prefix)
    }
    if name in _SMALL:
        arguments = {"eps": 1e-6, **arguments}
    if name == "AdaFactor":
        arguments = {"relative_step": False, "scale_parameter": False, "warmup_init": False, **arguments}
    if name.startswith(("Prodigy", "DAdapt")) and source.number("train.lr", 1e-6) < 0.1:
        out.put("learning_rate", 1.0, "train.lr")
        out.convert("train.lr", f"below 0.1 {name} is given 1 there too")
    for key, value in arguments.items():
        text = ",".join(map(str, value)) if isinstance(value, list) else value
        out.argument("optimizer_args", key, text, prefix + key)


def _schedule(source: Foreign, out: Translation) -> None:
    """Steps count batches under ``gradient_accumulation_steps``, optimiser steps under ``gradient_accumulation``."""
    name = source.text("train.lr_scheduler", "constant")
    taken = {"linear": "constant", "step": "constant"}.get(name, name)
    if taken != name:
        why = "rises from a third of the rate there" if name == "linear" else "is not supported"
        out.refuse("train.lr_scheduler", f"{name!r} {why}, {taken!r} is taken")
    out.put("lr_scheduler", taken, "train.lr_scheduler")
    warmup = source.take(
        "train.lr_scheduler_params.num_warmup_steps", 1000 if name.endswith("_warmup") else 0
    )
    if asks(warmup):
        out.put("lr_warmup_steps", warmup, "train.lr_scheduler_params.num_warmup_steps")
    legacy = max(1, int(source.number("train.gradient_accumulation_steps", 1)))
    group = max(legacy, int(source.number("train.gradient_accumulation", 1)))
    steps = int(source.number("train.steps", 1000))
    if group > 1:
        out.put("gradient_accumulation_steps", group, "train.gradient_accumulation_steps")
    if legacy > 1:
        out.convert("train.steps", f"{steps} batches are {math.ceil(steps / legacy)} steps of {legacy}")
        steps = math.ceil(steps / legacy)
    out.put("max_train_steps", steps, "train.steps")


def _average(source: Foreign, out: Translation) -> None:
    on, decay = source.on("train.ema_config.use_ema"), source.take("train.ema_config.ema_decay", 0.999)
    if on:
        out.put("ema.decay", decay, "train.ema_config.ema_decay")


def _samples(source: Foreign, out: Translation) -> None:
    prompts = source.take("sample.prompts")
    if isinstance(prompts, list) and prompts:
        out.put("sample_prompts", [str(prompt) for prompt in prompts], "sample.prompts")


def _datasets(datasets: Any, out: Translation) -> None:
    if datasets is None:
        return
    if not isinstance(datasets, list) or not all(isinstance(entry, dict) for entry in datasets):
        out.problems.append(f"datasets must be a list of tables, but got {shown(datasets)}.")
        return
    out.datasets = {
        "datasets": [
            {"subsets": [_subset(Foreign(d), f"datasets[{i}]", out) for i, d in enumerate(datasets)]}
        ]
    }


def _subset(source: Foreign, name: str, out: Translation) -> dict[str, Any]:
    subset = {ours: value for key, ours in _SUBSET.items() if asks(value := source.take(key))}
    sizes = source.take("resolution", 512)
    if isinstance(sizes, list):
        size = max((side for side in sizes if isinstance(side, int)), default=512)
        if len(sizes) > 1:
            out.refuse(f"{name}.resolution", f"{shown(sizes)}: several are not supported, {size} is taken")
    else:
        size = sizes
    step = source.take("bucket_tolerance", 64)
    subset |= {
        "resolution": size,
        "enable_bucket": source.on("buckets", default=True),
        "bucket_reso_steps": step,
    }
    extension = source.text("caption_ext", "txt").strip(".")
    if extension not in ("txt", ""):
        subset |= {"caption_extension": f".{extension}"}
    for key, value in source.rest().items():
        if asks(value) and key not in _SUBSET_IDLE and value != _SUBSET_DEFAULTS.get(key):
            out.refuse(f"{name}.{key}", "not supported")
    return subset
