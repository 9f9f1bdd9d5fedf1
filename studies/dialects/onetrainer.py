"""OneTrainer: its JSON presets, which say what differs from its defaults (Nerogar/OneTrainer 23df383)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from studies.dialects.onetrainer_concepts import put_concepts
from studies.dialects.translation import Foreign, Translation, Word, asks, named, number, switch

MARKS = ("training_method", "base_model_name", "peft_type", "output_model_destination")
_OPTIMISERS = {
    "adamw": "AdamW",
    "adamw_8bit": "AdamW8bit",
    "lion": "Lion",
    "lion_8bit": "Lion8bit",
    "sgd": "SGDNesterov",
    "sgd_8bit": "SGDNesterov8bit",
    "dadapt_ada_grad": "DAdaptAdaGrad",
    "dadapt_adam": "DAdaptAdam",
    "dadapt_adan": "DAdaptAdan",
    "dadapt_lion": "DAdaptLion",
    "dadapt_sgd": "DAdaptSGD",
    "adafactor": "AdaFactor",
    "prodigy": "Prodigy",
}
_ARGUMENTS = {
    "AdamW": ("eps", "amsgrad"),
    "AdamW8bit": ("eps",),
    "Prodigy": ("eps", "beta3", "d0", "d_coef", "decouple", "use_bias_correction", "safeguard_warmup"),
    "AdaFactor": ("clip_threshold", "decay_rate"),
    "DAdaptAdam": ("eps", "d0", "decouple", "use_bias_correction"),
    "DAdaptLion": ("d0",),
}
"""Further arguments that the optimiser here takes under the same name."""
_SWITCHES = ("relative_step", "scale_parameter", "warmup_init")
"""Of AdaFactor; all are off unless they are on."""
_BETAS = ("AdamW", "AdamW8bit", "Lion", "Lion8bit", "Prodigy", "DAdaptAdam", "DAdaptLion")
_DECAY = {"AdamW": 0.01, "AdamW8bit": 0.01}
_SCHEDULES = {
    "constant": "constant",
    "linear": "linear",
    "cosine": "cosine",
    "cosine_with_hard_restarts": "cosine_with_restarts",
}
_NEAREST = {"COSINE_WITH_RESTARTS": "cosine_with_restarts", "REX": "linear"}
"""A wave that rises as it falls, and a line that bends at its end."""
_SCALES = {
    "BATCH": ("batch_size",),
    "GLOBAL_BATCH": ("batch_size",),
    "GRADIENT_ACCUMULATION": ("gradient_accumulation_steps",),
    "BOTH": ("batch_size", "gradient_accumulation_steps"),
    "GLOBAL_BOTH": ("batch_size", "gradient_accumulation_steps"),
}
"""By the square root of what all rates are multiplied, on one device."""
_KINDS = {"LORA": "lora", "LOHA": "loha", "LOKR": "lokr"}
_PRECISIONS = {"float_16": "fp16", "bfloat_16": "bf16", "float_32": "no", "tfloat_32": "no"}
_SAVED = {"float_16": "fp16", "bfloat_16": "bf16", "float_32": "float"}
_WARMUP, _EPOCHS = 200.0, 100
"""Its defaults: warm-up in batches, and epochs."""
_ROWS: Mapping[str, Word] = {
    "base_model_name": Word(
        "pretrained_model_name_or_path", default="stable-diffusion-v1-5/stable-diffusion-v1-5"
    ),
    "vae.model_name": Word("vae"),
    "epochs": Word("max_train_epochs", default=_EPOCHS),
    "batch_size": Word("train_batch_size"),
    "gradient_accumulation_steps": Word("gradient_accumulation_steps"),
    "aspect_ratio_bucketing": Word("enable_bucket", switch, default=True),
    "latent_caching": Word("cache_latents_to_disk", switch),
    "learning_rate": Word("learning_rate", default=3e-6),
    "unet.learning_rate": Word("unet_lr"),
    "learning_rate_cycles": Word("lr_scheduler_num_cycles", lambda value: int(number(value))),
    "clip_grad_norm": Word("max_grad_norm"),
    "offset_noise_weight": Word("noise_offset"),
    "perturbation_noise_weight": Word("ip_noise_gamma"),
    "rescale_noise_scheduler_to_zero_terminal_snr": Word("zero_terminal_snr", switch),
    "min_noising_strength": Word("min_timestep", lambda v: int(1000 * number(v)), "of 1000 timesteps"),
    "max_noising_strength": Word("max_timestep", lambda v: int(1000 * number(v)), "of 1000 timesteps"),
    "dropout_probability": Word("network_dropout"),
    "lora_model_name": Word("network_weights"),
    "train_dtype": Word("mixed_precision", named(_PRECISIONS), default="FLOAT_16"),
    "output_dtype": Word("save_precision", named(_SAVED)),
    "seed": Word("seed"),
}
_FLOWS = ("STABLE_DIFFUSION_3", "FLUX", "CHROMA", "QWEN", "KREA", "Z_IMAGE")
"""What names of types of flow-matching bases begin with."""
_PRESETS = ("attn-only", "attn-mlp", "blocks", "full")
"""Of a transformer's layers; the page writes each as a filter, too."""
_FIXED_SHIFT = ("STABLE_DIFFUSION_3", "CHROMA")
"""Those for which ``dynamic_timestep_shifting`` is not read."""
_DENSITIES = {"UNIFORM": "uniform", "LOGIT_NORMAL": "logit_normal", "HEAVY_TAIL": "mode"}
_DEFAULTS: Mapping[str, Any] = {
    "unmasked_probability": 0.1, "unmasked_weight": 0.1, "mse_strength": 1.0, "vb_loss_strength": 1.0,
    "huber_delta": 1.0, "timestep_distribution": "UNIFORM", "timestep_shift": 1.0, "loss_scaler": "NONE",
    "loss_weight_strength": 5.0, "lora_decompose_norm_epsilon": True,
    "generalized_offset_noise": False, "bundle_additional_embeddings": True,
}  # fmt: skip
"""Values of keys without a counterpart that ask for nothing."""
_IDLE: Mapping[str, str] = {
    **dict.fromkeys(
        ("prior.*", "transformer.*", "unconditional_transformer.*", "text_encoder_[34]*", "effnet_encoder.*",
         "decoder*", "quantization.*", "text_encoder*_sequence_length", "frames", "dynamic_timestep_shifting",
         "oft_*", "lokr_*", "force_circular_padding"),
        "it is for other models or networks",
    ),
    **dict.fromkeys(
        ("backup_*", "rolling_backup*", "save_*", "output_model_*", "continue_last_backup", "prevent_overwrites",
         "include_train_config", "workspace_dir", "debug_*", "cloud.*", "secrets.*"),
        "files have their own places in the study's workspace",
    ),
    **dict.fromkeys(("sample_*", "samples*", "non_ema_sampling"), "every epoch's end is saved and judged"),
    **dict.fromkeys(
        ("cache_dir", "clear_cache_before_training", "only_cache", "dataloader_threads", "train_device",
         "temp_device", "*weight_dtype", "*offload*", "*gradient_checkpointing", "async_*", "compile",
         "enable_autocast_cache", "fallback_train_dtype", "multi_gpu", "device_indexes", "gradient_reduce_*",
         "fused_gradient_reduce", "attention_mechanism", "optimizer.stochastic_rounding", "optimizer.fused*",
         "optimizer.foreach", "huggingface_cache_dir", "offline_mode", "*.attention_mask", "*.guidance_scale"),
        "memory and speed are a matter of the machine, plan.compute",
    ),
    **dict.fromkeys(("tensorboard*", "validat*"), "the study keeps its own records"),
    **dict.fromkeys(
        ("__version", "model_type", "training_method", "*.include", "optimizer.__version", "optimizer_defaults.*",
         "embedding*", "*embedding*", "vae.*", "unet.train_embedding", "additional_embeddings",
         "samples", "concepts"),
        "it says nothing of a LoRA's recipe",
    ),
    "concept_file_name": "give it as DATASET, or its images by --images",
    "optimizer.*": "this optimiser has no such argument here",
}  # fmt: skip


def translated(table: Mapping[str, Any]) -> Translation:
    """What a preset says, with OneTrainer's own defaults for what it leaves out."""
    source, out = Foreign(table), Translation("OneTrainer")
    if (method := source.text("training_method", "LORA")) != "LORA":
        out.refuse("training_method", f"{method!r} is not supported, a LoRA is taken")
    out.apply(_ROWS, source)
    _resolution(source, out)
    _network(source, out)
    if _flows(source):
        _noise_levels(source, out)
    _text_encoders(source, out)
    _optimiser(source, out)
    _scale(source, out)
    _schedule(source, out)
    _loss(source, out)
    _average(source, out)
    source.used |= {key for key, value in _DEFAULTS.items() if source.values.get(key) == value}
    put_concepts(source.take("concepts"), out)
    out.remainder(source, _IDLE)
    return out


def _flows(source: Foreign) -> bool:
    return str(source.peek("model_type") or "").startswith(_FLOWS)


def _noise_levels(source: Foreign, out: Translation) -> None:
    """How often each is trained on a flow-matching base, and what is told to its transformer."""
    key = "timestep_distribution"
    kind = source.text(key, "UNIFORM")
    weight, bias = source.number("noising_weight"), source.number("noising_bias")
    out.put("noise.timestep_density", _DENSITIES.get(kind, "uniform"), key)
    if kind == "LOGIT_NORMAL":
        out.put("noise.logit_mean", -bias, "noising_bias")
        out.put("noise.logit_std", weight + 1, "noising_weight")
    elif kind == "HEAVY_TAIL":
        out.put("noise.mode_scale", weight, "noising_weight")
    elif kind not in _DENSITIES:
        out.refuse(key, f"{kind!r} is not supported, 'UNIFORM' is taken")
    by_size, shift = source.on("dynamic_timestep_shifting"), source.number("timestep_shift", 1.0)
    by_size = by_size and not source.text("model_type").startswith(_FIXED_SHIFT)
    out.put("noise.timestep_shift", "resolution" if by_size else shift, "timestep_shift")
    out.put("noise.guidance", source.number("transformer.guidance_scale", 1.0), "transformer.guidance_scale")
    out.values.pop("unet_lr", None)
    if (rate := source.take("transformer.learning_rate")) is not None:
        out.put("unet_lr", rate, "transformer.learning_rate")


def _resolution(source: Foreign, out: Translation) -> None:
    """One side, width x height, or several of them, of which the largest is taken."""
    text = source.text("resolution", "512")
    sides = [side.strip().lower() for side in text.split(",")]
    if len(sides) > 1:
        largest = max(sides, key=lambda side: int(side) if side.isdecimal() else 0)
        out.refuse("resolution", f"{text!r}: several are not supported, {largest} is taken")
        sides = [largest]
    out.put("resolution", sides[0].replace("x", ","))


def _network(source: Foreign, out: Translation) -> None:
    kind = source.text("peft_type", "LORA")
    if kind not in _KINDS:
        out.refuse("peft_type", f"{kind!r} is not supported, a plain LoRA is taken")
    algorithm = _KINDS.get(kind, "lora")
    rank = source.take("lora_rank", 16)
    if algorithm == "lokr":
        rank = source.take("lokr_dim", 16)
        out.argument("network_args", "factor", source.take("lokr_decompose_factor", -1))
        for key in ("decompose_both", "use_tucker", "full_matrix"):
            if asks(source.take(f"lokr_{key}")):
                out.argument("network_args", key, True, f"lokr_{key}")
        if asks(source.take("lokr_weight_decompose")):
            out.argument("network_args", "dora_wd", True, "lokr_weight_decompose")
    on_output = asks(source.take("lora_decompose_output_axis"))
    if asks(source.take("lora_decompose")) and algorithm == "lora":
        out.argument("network_args", "dora_wd", True, "lora_decompose")
        if not on_output:
            out.refuse(
                "lora_decompose",
                "norms are learned of outputs here (lora_decompose_output_axis), not of inputs",
            )
    out.put("network_dim", rank, "lokr_dim" if algorithm == "lokr" else "lora_rank")
    out.put("network_alpha", source.take("lora_alpha", 1.0), "lora_alpha")
    out.put("network_module", "lycoris.kohya", "peft_type")
    out.argument("network_args", "algo", algorithm, "peft_type")
    _layers(source, out, rank)


def _layers(source: Foreign, out: Translation, rank: Any) -> None:
    """Which layers of the U-Net are adapted: a filter by parts of names, or its preset."""
    source.used |= {"layer_filter_preset", "layer_filter_regex"}
    patterns, preset = source.text("layer_filter"), source.text("layer_filter_preset")
    if _flows(source):
        out.put("lora.layers", "default" if preset == "attn-only" else "all", "layer_filter_preset")
        out.argument("network_args", "preset", "attn-mlp", "layer_filter_preset")
        if patterns and preset not in _PRESETS:
            out.refuse("layer_filter", f"{patterns!r} is not supported; lora.layers is 'default' or 'all'")
        return
    kind = {"attentions": "attn-mlp", "attn": "attn-only"}.get(patterns) or (
        "custom" if patterns else preset or "full"
    )
    if kind == "full":
        out.argument("network_args", "conv_dim", rank, "layer_filter_preset")
        out.argument("network_args", "conv_alpha", source.take("lora_alpha", 1.0), "lora_alpha")
        out.refuse(
            "layer_filter_preset", "'full': conv_in, conv_out and the time embedding are not adapted here"
        )
        return
    out.argument("network_args", "preset", "attn-mlp", "layer_filter_preset")
    if kind != "attn-mlp":
        what = patterns or kind
        out.refuse("layer_filter", f"{what!r} is not supported, all layers of the transformers are adapted")


def _text_encoders(source: Foreign, out: Translation) -> None:
    """Which parts are trained, their rates, and when text encoders stop."""
    two = "XL" in source.text("model_type")
    parts = ("text_encoder", "text_encoder_2") if two else ("text_encoder",)
    source.used |= {key for key in source.values if key.startswith("text_encoder_2") and not two}
    trained = [source.on(f"{part}.train", default=True) for part in parts]
    rates = [source.take(f"{part}.learning_rate") for part in parts]
    denoiser = "transformer" if _flows(source) else "unet"
    if not source.on(f"{denoiser}.train", default=True):
        out.put("network_train_text_encoder_only", True, f"{denoiser}.train")
    if not any(trained):
        out.put("network_train_unet_only", True, "text_encoder.train")
    else:
        base = source.take("learning_rate", 3e-6)
        found = [
            (base if rate is None else rate) if on else 0 for on, rate in zip(trained, rates, strict=True)
        ]
        if found != [base] * len(found):
            out.put("text_encoder_lr", found if two else found[0], "text_encoder.learning_rate")
    skip = int(source.number("text_encoder_layer_skip"))
    if asks(skip) and not two:
        out.put("clip_skip", skip + 1, "text_encoder_layer_skip")
        out.convert("text_encoder_layer_skip", f"{skip} layers skipped: clip_skip = {skip + 1}")
    elif asks(skip):
        out.refuse("text_encoder_layer_skip", "no effect here (SDXL's text encoders are read at one place)")
    for part in (*parts, denoiser):
        _stop(source, out, part, any(trained))
    source.used |= {"text_encoder_2_layer_skip"}


def _stop(source: Foreign, out: Translation, part: str, trained: bool) -> None:
    """A part may stop early; text encoders do by default, after 30 epochs."""
    after = source.number(f"{part}.stop_training_after", 30 if part.startswith("text") else 0)
    unit = source.text(f"{part}.stop_training_after_unit", "EPOCH" if part.startswith("text") else "NEVER")
    if unit == "NEVER" or not asks(after):
        return
    epochs = max(1.0, source.number("epochs", _EPOCHS))
    if unit == "EPOCH" and part == "text_encoder" and trained:
        share = after / epochs
        if share < 1:
            out.fields["optimiser.text_stop_share"] = share
            out.convert(
                f"{part}.stop_training_after", f"{after:g} of {epochs:g} epochs: optimiser.text_stop_share"
            )
    elif (
        unit != "EPOCH"
        or not part.startswith("text")
        or after != source.number("text_encoder.stop_training_after", 30)
    ):
        out.refuse(f"{part}.stop_training_after", f"{after:g} {unit} is not supported, it trains to the end")


def _optimiser(source: Foreign, out: Translation) -> None:
    kind = source.text("optimizer.optimizer", "ADAMW")
    name = _OPTIMISERS.get(kind.lower(), kind)
    out.put("optimizer_type", name, "optimizer.optimizer")
    given = [f"optimizer.{key}" for key in _SWITCHES] if name == "AdaFactor" else []
    for key in given:
        out.argument("optimizer_args", key.removeprefix("optimizer."), source.on(key), key)
    decay = source.take("optimizer.weight_decay", _DECAY.get(name, 0.0))
    out.argument("optimizer_args", "weight_decay", decay, "optimizer.weight_decay")
    betas = [source.take(f"optimizer.beta{n}") for n in (1, 2)]
    if name in _BETAS and None not in betas:
        out.argument("optimizer_args", "betas", f"{betas[0]},{betas[1]}", "optimizer.beta1")
    for key in _ARGUMENTS.get(name, ()):
        value = source.take(f"optimizer.{key}")
        if value is not None:
            out.argument("optimizer_args", key, value, f"optimizer.{key}")


def _scale(source: Foreign, out: Translation) -> None:
    """All rates may grow with the square root of what an optimiser step sees."""
    kind = source.text("learning_rate_scaler", "NONE")
    factor = math.prod(max(1.0, source.number(key, 1)) for key in _SCALES.get(kind, ())) ** 0.5
    if factor == 1:
        return
    for key in ("learning_rate", "unet_lr", "text_encoder_lr"):
        match out.values.get(key):
            case None:
                pass
            case list(rates):
                out.values[key] = [_times(rate, factor) for rate in rates]
            case rate:
                out.values[key] = _times(rate, factor)
    out.convert("learning_rate_scaler", f"{kind}: all rates times {factor:.6g}")


def _times(rate: Any, factor: float) -> Any:
    """A rate multiplied; what is none is left for sd-scripts' reader to object to."""
    return float(f"{rate * factor:.6g}") if isinstance(rate, int | float) else rate


def _schedule(source: Foreign, out: Translation) -> None:
    """Warm-up counts batches, as sd-scripts counts optimiser steps; a constant rate may warm up there."""
    asked = source.text("learning_rate_scheduler", "CONSTANT")
    name = _SCHEDULES.get(asked.lower())
    if name is None:
        name = _NEAREST.get(asked, "constant")
        out.refuse("learning_rate_scheduler", f"{asked!r} is not supported, {name!r} is taken")
    warmup = source.number("learning_rate_warmup_steps", _WARMUP)
    if warmup > 0 and name == "constant":
        name = "constant_with_warmup"
    out.put("lr_scheduler", name, "learning_rate_scheduler")
    if name != "cosine_with_restarts":
        out.values.pop("lr_scheduler_num_cycles", None)
    group = int(source.number("gradient_accumulation_steps", 1))
    if 0 < warmup <= 1:
        steps = min(warmup, 0.99)
    else:
        steps = int(warmup / max(1, group))
        if group > 1 and steps:
            out.convert("learning_rate_warmup_steps", f"{warmup:g} batches are {steps} steps of {group}")
    if warmup > 0:
        out.put("lr_warmup_steps", steps, "learning_rate_warmup_steps")
    if asks(source.take("learning_rate_min_factor")):
        out.refuse("learning_rate_min_factor", "not supported, the rate falls to 0")


def _loss(source: Foreign, out: Translation) -> None:
    if asks(source.take("huber_strength")):
        out.put("loss_type", "huber", "huber_strength")
        out.put("huber_schedule", "constant")
        out.put("huber_c", source.take("huber_delta", 1.0), "huber_delta")
    weight, strength = source.text("loss_weight_fn", "CONSTANT"), source.take("loss_weight_strength", 5.0)
    if weight == "MIN_SNR_GAMMA":
        out.put("min_snr_gamma", strength, "loss_weight_strength")
    elif weight == "DEBIASED_ESTIMATION":
        out.put("debiased_estimation_loss", True, "loss_weight_fn")
    elif weight != "CONSTANT":
        out.refuse("loss_weight_fn", f"{weight!r} is not supported, all timesteps weigh alike")
    if source.on("force_v_prediction") or source.on("rescale_noise_scheduler_to_zero_terminal_snr"):
        out.put("v_parameterization", True, "force_v_prediction")
    elif source.on("force_epsilon_prediction"):
        out.put("v_parameterization", False, "force_epsilon_prediction")


def _average(source: Foreign, out: Translation) -> None:
    """The average moves every few steps; ours moves every step, so that it decays as fast."""
    decay, every = source.number("ema_decay", 0.999), source.number("ema_update_step_interval", 5)
    if source.text("ema", "OFF") == "OFF" or not 0 < decay < 1 or every < 1:
        return
    out.fields["ema.decay"] = float(f"{decay ** (1 / every):.6g}")
    out.names["ema.decay"] = "ema_decay"
    out.convert(
        "ema_decay", f"{decay:g} every {every:g} steps: ema.decay = {out.fields['ema.decay']} every step"
    )
