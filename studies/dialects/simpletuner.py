"""SimpleTuner: config.json, with or without dashes before its keys (bghira/SimpleTuner bc8e6ab)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studies.dialects.lycoris_config import NETWORK_FILE as NETWORK_FILE
from studies.dialects.lycoris_config import put_lycoris as put_lycoris
from studies.dialects.translation import (
    Foreign,
    Translation,
    Word,
    asks,
    named,
    nonzero,
    switch,
)

MARKS = (
    "model_family",
    "data_backend_config",
    "lora_type",
    "user_prompt_library",
    "validation_step_interval",
)
_OPTIMISERS = {
    "adamw_bf16": "AdamW",
    "torch-adamw": "AdamW",
    "adamw": "AdamW",
    "bnb-adamw8bit": "AdamW8bit",
    "bnb-adamw8bit-paged": "PagedAdamW8bit",
    "bnb-lion8bit": "Lion8bit",
    "bnb-lion8bit-paged": "PagedLion8bit",
    "bnb-lion": "Lion",
    "optimi-lion": "Lion",
    "optimi-adamw": "AdamW",
    "torch-adafactor": "AdaFactor",
    "prodigy": "Prodigy",
}
_DIFFUSIONS = ("sdxl", "sd1x", "sd2x", "kolors", "deepfloyd", "pixart_sigma")
_TARGETED = ("flux", "chroma")
"""Families whose layers ``flux_lora_target`` names; of others, attention is adapted."""
_PRECISIONS = {"bf16": "bf16", "fp16": "fp16", "no": "no", "fp32": "no"}
_DROPOUT = "drops elements of a layer's input there, of A x here"
_ROWS: Mapping[str, Word] = {
    "pretrained_model_name_or_path": Word("pretrained_model_name_or_path"),
    "pretrained_vae_model_name_or_path": Word("vae"),
    "lora_rank": Word("network_dim", default=16),
    "lora_dropout": Word("network_dropout", nonzero, _DROPOUT, default=0.1),
    "init_lora": Word("network_weights"),
    "train_batch_size": Word("train_batch_size", default=4),
    "gradient_accumulation_steps": Word("gradient_accumulation_steps"),
    "learning_rate": Word("learning_rate", default=4e-7),
    "lr_warmup_steps": Word("lr_warmup_steps", nonzero),
    "lr_power": Word("lr_scheduler_power"),
    "lr_num_cycles": Word("lr_scheduler_num_cycles"),
    "max_grad_norm": Word("max_grad_norm", default=2.0),
    "mixed_precision": Word("mixed_precision", named(_PRECISIONS)),
    "snr_gamma": Word("min_snr_gamma", nonzero),
    "caption_dropout_probability": Word("caption_dropout_rate", default=0.1),
    "input_perturbation": Word("ip_noise_gamma", nonzero),
    "rescale_betas_zero_snr": Word("zero_terminal_snr", switch),
    "seed": Word("seed"),
    "validation_prompt": Word("positive_prompts"),
    "validation_negative_prompt": Word("negative_prompts"),
    "validation_guidance": Word("sample_cfg"),
    "validation_num_inference_steps": Word("sample_steps"),
    "hub_model_id": Word("output_name"),
}
_IDLE = {
    **dict.fromkeys(
        ("output_dir", "resume_from_checkpoint", "checkpoint*", "push_*", "hub_*", "model_card*", "delete_*"),
        "files have their own places in the study's workspace",
    ),
    **dict.fromkeys(
        ("validation_*", "user_prompt_library", "eval_*", "disable_benchmark"),
        "every epoch's end is saved and judged",
    ),
    **dict.fromkeys(("tracker_*", "report_to", "webhook*", "logging_dir"), "the study keeps its own records"),
    **dict.fromkeys(
        ("gradient_checkpointing*", "base_model_*precision", "text_encoder_*precision", "quantize_*", "vae_*",
         "attention_mechanism", "aspect_bucket_rounding", "dataloader_*", "write_batch_size", "cache_*",
         "compress_disk_cache", "*bucket_pruning", "skip_file_discovery", "offload_*", "ema_device", "dynamo_*",
         "num_processes", "metadata_update_interval", "image_processing_batch_size", "torch_num_threads",
         "enable_xformers*", "set_grads_to_none", "data_backend_sampling"),
        "memory and speed are a matter of the machine, plan.compute",
    ),
    **dict.fromkeys(
        ("model_family", "model_type", "model_flavour", "lora_format", "lora_initialisation_style", "lora_init_type",
         "flux_*", "flow_*", "i_know*", "minimum_image_size", "maximum_image_size", "target_downsample_size",
         "instance_prompt"),
        "it says nothing of a LoRA's recipe here",
    ),
    "data_backend_config": "give it as DATASET, or its images by --images",
}  # fmt: skip


def translated(table: Mapping[str, Any]) -> Translation:
    """What a configuration says, with SimpleTuner's own defaults."""
    source = Foreign({key.lstrip("-"): value for key, value in table.items()})
    out = Translation("SimpleTuner")
    out.apply(_ROWS, source)
    _network(source, out)
    _optimiser(source, out)
    _schedule(source, out)
    _noise(source, out)
    _resolution(source, out)
    if _flows(source):
        _noise_levels(source, out)
    if source.on("use_ema"):
        every = max(1.0, source.number("ema_update_interval", 1))
        decay = source.number("ema_decay", 0.995)
        out.put("ema.decay", float(f"{decay ** (1 / every):.6g}") if 0 < decay < 1 else decay, "ema_decay")
    source.used |= {"ema_decay", "ema_update_interval"}
    out.remainder(source, _IDLE)
    return out


def _flows(source: Foreign) -> bool:
    """Whether the base matches a flow, as its family tells."""
    return (source.peek("model_family") or "sdxl") not in _DIFFUSIONS


def _noise_levels(source: Foreign, out: Translation) -> None:
    """How often each is trained, the guidance, and the layers of a transformer."""
    uniform, beta = source.on("flow_use_uniform_schedule"), source.on("flow_use_beta_schedule")
    if beta:
        out.refuse("flow_use_beta_schedule", "not supported, the logit-normal density is taken")
    out.put("noise.timestep_density", "uniform" if uniform else "logit_normal", "flow_use_uniform_schedule")
    out.put("noise.logit_std", source.number("flow_sigmoid_scale", 1.0), "flow_sigmoid_scale")
    fixed, by_size = source.number("flow_schedule_shift", 3.0), source.on("flow_schedule_auto_shift")
    shift = "resolution" if by_size else fixed if fixed > 0 else 1.0
    out.put("noise.timestep_shift", shift, "flow_schedule_auto_shift" if by_size else "flow_schedule_shift")
    if source.on("flux_fast_schedule"):
        out.refuse("flux_fast_schedule", "not supported, the density above is taken")
    if source.text("flux_guidance_mode", "constant") != "constant":
        out.refuse(
            "flux_guidance_mode", "a range of guidances is not supported, flux_guidance_value is taken"
        )
    out.put("noise.guidance", source.number("flux_guidance_value", 1.0), "flux_guidance_value")
    if source.text("lora_type", "standard") != "standard":
        out.imply("lora.layers", "all")
        return
    target = source.text("flux_lora_target", "all") if source.peek("model_family") in _TARGETED else "all"
    out.put("lora.layers", "all" if "ffs" in target else "default", "flux_lora_target")
    if target not in ("all", "all+ffs"):
        out.refuse("flux_lora_target", f"{target!r} is not supported; lora.layers is 'default' or 'all'")


def _network(source: Foreign, out: Translation) -> None:
    out.put("network_alpha", source.take("lora_alpha", source.take("lora_rank", 16)), "lora_alpha")
    kind, place = source.text("lora_type", "standard"), source.text(NETWORK_FILE)
    if kind == "lycoris" and place:
        out.put(NETWORK_FILE, place)
    elif kind != "standard":
        out.refuse("lora_type", f"{kind!r} without a {NETWORK_FILE} is not supported, a plain LoRA is taken")
    if (kind := source.text("model_type", "lora")) != "lora":
        out.refuse("model_type", f"{kind!r} is not supported, a LoRA is taken")
    if source.on("use_dora"):
        out.argument("network_args", "dora_wd", True, "use_dora")
    if not source.on("train_text_encoder"):
        out.put("network_train_unet_only", True, "train_text_encoder")
        source.used.add("text_encoder_lr")
    elif (rate := source.take("text_encoder_lr")) is not None:
        out.put("text_encoder_lr", rate)
    if NETWORK_FILE not in out.values and not _flows(source):
        out.refuse(
            "lora_rank", "the feed-forward layers of transformers are adapted here too, not attention alone"
        )


def _optimiser(source: Foreign, out: Translation) -> None:
    name = named(_OPTIMISERS)(source.text("optimizer", "adamw_bf16"))
    out.put("optimizer_type", name, "optimizer")
    if name == "AdaFactor":
        for key in ("relative_step", "scale_parameter", "warmup_init"):
            out.argument("optimizer_args", key, False)
    if name.startswith(("AdamW", "Paged")):
        out.argument(
            "optimizer_args", "weight_decay", source.take("adam_weight_decay", 0.01), "adam_weight_decay"
        )
        betas = [source.take(f"adam_beta{n}") for n in (1, 2)]
        if None not in betas:
            out.argument("optimizer_args", "betas", f"{betas[0]},{betas[1]}", "adam_beta1")
        if (eps := source.take("adam_epsilon")) is not None:
            out.argument("optimizer_args", "eps", eps, "adam_epsilon")
    for entry in source.text("optimizer_config").split(","):
        key, equals, value = entry.partition("=")
        if equals:
            out.argument("optimizer_args", key.strip(), value.strip(), "optimizer_config")


def _schedule(source: Foreign, out: Translation) -> None:
    name = source.text("lr_scheduler", "constant_with_warmup")
    if name == "sine":
        out.refuse("lr_scheduler", "'sine' is not supported, 'cosine' is taken")
        name = "cosine"
    out.put("lr_scheduler", name)
    if name == "constant_with_warmup" and "lr_warmup_steps" not in out.values:
        out.put("lr_scheduler", "constant")
    if name != "polynomial":
        out.values.pop("lr_scheduler_power", None)
    elif "lr_scheduler_power" not in out.values:
        out.put("lr_scheduler_power", 0.8, "lr_power")
    if name != "cosine_with_restarts":
        out.values.pop("lr_scheduler_num_cycles", None)
    if asks(source.take("lr_end")) and name in ("polynomial", "cosine"):
        out.refuse("lr_end", "not supported, the rate falls to 0")
    epochs, steps = source.take("num_train_epochs"), source.take("max_train_steps")
    if asks(steps):
        out.put("max_train_steps", steps)
    else:
        out.put("max_train_epochs", epochs if asks(epochs) else 1, "num_train_epochs")


def _noise(source: Foreign, out: Translation) -> None:
    """Offset noise is given to a share of the batches."""
    offset, share = source.take("noise_offset", 0.1), source.number("noise_offset_probability", 0.25)
    if source.on("offset_noise") and share > 0:
        out.put("noise_offset", offset)
        if share < 1:
            out.refuse("noise_offset_probability", f"{share:g} is not supported, every batch has the offset")
    kind = source.text("prediction_type")
    if kind in ("v_prediction", "epsilon"):
        out.put("v_parameterization", kind == "v_prediction", "prediction_type")
    loss = source.text("loss_type", "l2")
    out.put("loss_type", loss)
    if loss in ("huber", "smooth_l1"):
        out.put("huber_schedule", source.text("huber_schedule", "snr"))
        out.put("huber_c", source.take("huber_c", 0.1))
    source.used |= {"huber_c", "huber_schedule"}


def _resolution(source: Foreign, out: Translation) -> None:
    """An area in megapixels, the side of a square of that area, or the shorter side."""
    size, kind = source.number("resolution", 1024), source.text("resolution_type", "pixel_area")
    if kind == "area":
        side = round((size * 1_000_000) ** 0.5 / 64) * 64 if size > 0 else 0
        out.convert("resolution", f"{size:g} megapixels are the area of {side} x {side}")
        size = side
    elif kind == "pixel":
        out.convert("resolution", f"{size:g} is the shorter side there, and the square root of the area here")
    out.put("resolution", int(size))
    out.put("enable_bucket", True, "aspect_bucket_alignment")
    step = int(source.number("aspect_bucket_alignment", 64))
    if step != 64:
        out.put("bucket_reso_steps", step, "aspect_bucket_alignment")
