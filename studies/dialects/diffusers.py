"""diffusers' example scripts: the command lines of its LoRA trainers for Stable Diffusion and flow-matching bases."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from studies.dialects.files import SCRIPT
from studies.dialects.translation import Foreign, Translation, Word, asks, nonzero, number, switch

MARKS = (
    "instance_data_dir",
    "instance_prompt",
    "adam_weight_decay",
    "num_train_epochs",
    "validation_prompt",
    "rank",
)


@dataclass(frozen=True, slots=True)
class _Script:
    """What a script takes where nothing is said."""

    rate: float = 1e-4
    rank: int = 4
    alpha: int | None = 4
    """Where ``lora_alpha`` is not said; None takes the rank."""
    batch: int = 4
    epochs: int = 1
    decay: float = 1e-4
    side: int = 512
    text_rate: float | None = 5e-6
    """Of text encoders; None is the denoiser's."""
    scheme: str = ""
    """``weighting_scheme`` of flow-matching bases; empty for others."""
    guidance: float | None = None
    """Where the base reads one."""
    pictures: bool = False
    """Whether pictures are compared, not directions, unless ``precondition_outputs`` is 0."""


_PLAIN = "dreambooth"
_SCRIPTS: Mapping[str, _Script] = {
    _PLAIN: _Script(5e-4, alpha=None, decay=1e-2, text_rate=None),
    "dreambooth sd15": _Script(alpha=None),
    "dreambooth sdxl": _Script(alpha=None, side=1024),
    "dreambooth sd3": _Script(alpha=None, scheme="logit_normal", pictures=True),
    "dreambooth flux": _Script(scheme="none", guidance=3.5),
    "dreambooth flux2": _Script(scheme="none"),
    "dreambooth flux2_klein": _Script(scheme="none"),
    "dreambooth z_image": _Script(scheme="none"),
    "dreambooth qwen_image": _Script(scheme="none"),
    "dreambooth krea2": _Script(3e-4, rank=32, alpha=32, scheme="none"),
    "text_to_image": _Script(alpha=None, batch=16, epochs=100, decay=1e-2, text_rate=None),
    "text_to_image sdxl": _Script(alpha=None, batch=16, epochs=100, decay=1e-2, side=1024, text_rate=None),
}
"""By what the names of scripts differ in, train_dreambooth_lora_flux.py and the like."""
_NAME = re.compile(r"(dreambooth|text_to_image)_lora(?:_(\w+?))??(?:_advanced)?(?:\.py)?$")
_DROPOUT = "drops elements of a layer's input there, of A x here"
_ROWS: Mapping[str, Word] = {
    "pretrained_model_name_or_path": Word("pretrained_model_name_or_path"),
    "pretrained_vae_model_name_or_path": Word("vae"),
    "lora_dropout": Word("network_dropout", nonzero, _DROPOUT),
    "gradient_accumulation_steps": Word("gradient_accumulation_steps"),
    "lr_num_cycles": Word("lr_scheduler_num_cycles"),
    "lr_power": Word("lr_scheduler_power"),
    "max_grad_norm": Word("max_grad_norm"),
    "snr_gamma": Word("min_snr_gamma"),
    "noise_offset": Word("noise_offset", nonzero),
    "mixed_precision": Word("mixed_precision"),
    "random_flip": Word("flip_aug", switch),
    "prior_loss_weight": Word("prior_loss_weight"),
    "seed": Word("seed"),
    "validation_prompt": Word("positive_prompts"),
    "logit_mean": Word("logit_mean"),
    "logit_std": Word("logit_std"),
    "mode_scale": Word("mode_scale"),
    "clip_skip": Word("clip_skip", lambda value: int(number(value)) + 1, "layers skipped"),
    "enable_xformers_memory_efficient_attention": Word("xformers", switch),
}
_IDLE = {
    **dict.fromkeys(
        ("output_dir", "cache_dir", "resume_from_checkpoint", "checkpoint*", "push_to_hub", "hub_*",
         "output_kohya_format"),
        "files have their own places in the study's workspace",
    ),
    **dict.fromkeys(
        ("validation_epochs", "num_validation_images", "logging_dir", "report_to", "skip_final_inference",
         "final_validation_prompt"),
        "every epoch's end is saved and judged",
    ),
    **dict.fromkeys(
        ("allow_tf32", "gradient_checkpointing", "dataloader_num_workers", "local_rank", "prior_generation_precision",
         "sample_batch_size", "variant", "revision", "cache_latents", "enable_npu*", "pre_compute_text_embeddings",
         "tokenizer_name", "offload", "upcast_before_saving", "do_fp8_training", "bnb_quantization_config_path"),
        "memory and speed are a matter of the machine, plan.compute",
    ),
    **dict.fromkeys(("max_sequence_length",), "captions are read as far as the base reads them"),
    **dict.fromkeys(
        ("image_column", "caption_column", "class_prompt", "num_class_images", SCRIPT),
        "captions lie beside the images",
    ),
}  # fmt: skip


def translated(table: Mapping[str, Any]) -> Translation:
    """What a command line says, with its script's own defaults."""
    source, out = Foreign(table), Translation("diffusers")
    script = _script(source, out)
    out.apply(_ROWS, source)
    rank = source.take("rank", script.rank)
    out.put("network_dim", rank, "rank")
    out.put("network_alpha", source.take("lora_alpha", script.alpha or rank), "rank")
    out.put("learning_rate", source.take("learning_rate", script.rate))
    out.put("train_batch_size", source.take("train_batch_size", script.batch))
    if script.scheme:
        _flow(source, out, script)
    else:
        out.refuse(
            "rank", "the feed-forward layers of transformers are adapted here too, not attention alone"
        )
    if source.on("use_dora"):
        out.argument("network_args", "dora_wd", True, "use_dora")
    _amount(source, out, script)
    _schedule(source, out)
    _optimiser(source, out, script.decay)
    _text_encoder(source, out, script)
    _size(source, out, script)
    _images(source, out)
    out.remainder(source, _IDLE)
    return out


def _script(source: Foreign, out: Translation) -> _Script:
    """That which the command line runs; by its keys, where it has another name or is a table without one."""
    name = source.text(SCRIPT)
    if (found := _NAME.search(name)) is None:
        return _SCRIPTS[_PLAIN if "instance_data_dir" in source.values else "text_to_image"]
    key = " ".join(filter(None, found.groups()))
    if key not in _SCRIPTS:
        known = ", ".join(
            f"train_{one.replace(' ', '_lora_')}" for one in _SCRIPTS if " " in one and "sd15" not in one
        )
        out.wrong(SCRIPT, f"one whose base is known, {known}", name)
    return _SCRIPTS.get(key, _SCRIPTS[_PLAIN])


def _flow(source: Foreign, out: Translation, script: _Script) -> None:
    """How noise levels are spread and weighed, and which layers are adapted: by default the same as here."""
    scheme = source.take("weighting_scheme", script.scheme)
    if script.pictures and source.on("precondition_outputs", default=True):
        if scheme == "sigma_sqrt":
            scheme = "none"
        else:
            out.put("noise.loss_weighting", "sigma_squared", "precondition_outputs")
        if scheme == "cosmap":
            out.refuse("weighting_scheme", "'cosmap' times sigma^2 is not supported, sigma^2 alone is taken")
    out.put("weighting_scheme", scheme)
    guidance = source.take("guidance_scale", script.guidance)
    if script.guidance is not None:
        out.put("guidance_scale", guidance)
    if layers := source.text("lora_layers"):
        out.refuse("lora_layers", f"{layers!r} is not supported; lora.layers is 'default' or 'all'")


def _amount(source: Foreign, out: Translation, script: _Script) -> None:
    """Steps override epochs; rates are scaled by the batch if asked."""
    steps, epochs = (
        source.take("max_train_steps"),
        source.take("num_train_epochs", script.epochs),
    )
    if asks(steps):
        out.put("max_train_steps", steps)
    else:
        out.put("max_train_epochs", epochs, "num_train_epochs")
    if source.on("scale_lr"):
        size = source.number("train_batch_size", script.batch)
        factor = size * source.number("gradient_accumulation_steps", 1)
        rate = source.number("learning_rate", script.rate)
        out.put("learning_rate", rate * factor)
        out.convert("scale_lr", f"learning_rate is {rate:g} x {factor:g} = {rate * factor:g}")


def _schedule(source: Foreign, out: Translation) -> None:
    """Warm-up is 500 steps unless it is told; a constant rate has none."""
    name = source.text("lr_scheduler", "constant")
    out.put("lr_scheduler", name)
    warmup = source.take("lr_warmup_steps", 500)
    if asks(warmup) and name != "constant":
        out.put("lr_warmup_steps", warmup)
    elif asks(warmup) and "lr_warmup_steps" in source.values:
        out.refuse("lr_warmup_steps", "no effect here (lr_scheduler is 'constant')")
    if name != "cosine_with_restarts":
        out.values.pop("lr_scheduler_num_cycles", None)
    if name != "polynomial":
        out.values.pop("lr_scheduler_power", None)


def _optimiser(source: Foreign, out: Translation, default_decay: float) -> None:
    name = source.text("optimizer", "AdamW")
    prodigy = name.lower() == "prodigy"
    if source.on("use_8bit_adam") and not prodigy:
        name = "AdamW8bit"
    out.put("optimizer_type", name, "optimizer")
    decay = source.take("adam_weight_decay", 1e-4 if prodigy else default_decay)
    out.argument("optimizer_args", "weight_decay", decay, "adam_weight_decay")
    betas = [source.take(f"adam_beta{n}") for n in (1, 2)]
    if betas != [None, None]:
        first, second = (default if b is None else b for b, default in zip(betas, (0.9, 0.999), strict=True))
        out.argument("optimizer_args", "betas", f"{first},{second}", "adam_beta1")
    if (eps := source.take("adam_epsilon")) is not None:
        out.argument("optimizer_args", "eps", eps, "adam_epsilon")
    for key in ("decouple", "use_bias_correction", "safeguard_warmup"):
        on = source.on(f"prodigy_{key}", default=True)
        if prodigy:
            out.argument("optimizer_args", key, on, f"prodigy_{key}")
    beta3 = source.take("prodigy_beta3")
    if prodigy and beta3 is not None:
        out.argument("optimizer_args", "beta3", beta3, "prodigy_beta3")


def _text_encoder(source: Foreign, out: Translation, script: _Script) -> None:
    rate = source.take("text_encoder_lr", script.text_rate)
    if not source.on("train_text_encoder"):
        out.put("network_train_unet_only", True, "train_text_encoder")
    elif rate is not None:
        out.put("text_encoder_lr", rate)


def _size(source: Foreign, out: Translation, script: _Script) -> None:
    """Images are scaled and cropped to a square, at random unless the middle is asked for."""
    out.put("resolution", source.take("resolution", script.side))
    if not source.on("center_crop"):
        out.put("random_crop", True, "center_crop")


def _images(source: Foreign, out: Translation) -> None:
    folder = source.text("instance_data_dir") or source.text("train_data_dir")
    if name := source.text("dataset_name"):
        out.refuse("dataset_name", f"{name!r} is not fetched; give its images by --images")
    if not folder:
        return
    subset: dict[str, Any] = {"image_dir": folder, "num_repeats": int(source.number("repeats", 1))}
    if prompt := source.text("instance_prompt"):
        subset |= {"class_tokens": prompt}
        out.convert("instance_prompt", "stands for the caption of every image without a .txt beside it")
    subsets = [subset]
    regularised = source.text("class_data_dir")
    if regularised and source.on("with_prior_preservation"):
        subsets.append(
            {"image_dir": regularised, "is_reg": True, "class_tokens": source.text("class_prompt")}
        )
    elif regularised:
        out.refuse("class_data_dir", "no effect here (with_prior_preservation is not given)")
    out.datasets = {"datasets": [{"subsets": subsets}]}
