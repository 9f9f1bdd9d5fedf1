"""diffusers' example scripts: the command lines of its LoRA trainers for Stable Diffusion and flow-matching bases."""

from __future__ import annotations

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

    rate: float
    batch: int
    epochs: int


_DREAMBOOTH, _DREAMBOOTH_SDXL = _Script(5e-4, 4, 1), _Script(1e-4, 4, 1)
_TEXT_TO_IMAGE = _Script(1e-4, 16, 100)
_FLOWS: Mapping[str, str] = {
    "sd3": "logit_normal",
    "flux": "none",
    "z_image": "none",
    "qwen_image": "none",
    "krea2": "none",
}
"""A word in the name of a script for a flow-matching base -> its default ``weighting_scheme``."""
_DROPOUT = "drops elements of a layer's input there, of A x here"
_ROWS: Mapping[str, Word] = {
    "pretrained_model_name_or_path": Word("pretrained_model_name_or_path"),
    "pretrained_vae_model_name_or_path": Word("vae"),
    "rank": Word("network_dim", default=4),
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
    sdxl, dreambooth = (
        "xl" in source.text(SCRIPT),
        "instance_data_dir" in table or "dreambooth" in source.text(SCRIPT),
    )
    kind = next((word for word in _FLOWS if word in source.text(SCRIPT)), "")
    defaults = (_DREAMBOOTH_SDXL if sdxl or kind else _DREAMBOOTH) if dreambooth else _TEXT_TO_IMAGE
    out.apply(_ROWS, source)
    rank = source.take("rank", 4)
    out.put("network_alpha", source.take("lora_alpha", 4 if kind not in ("", "sd3") else rank), "rank")
    out.put("learning_rate", source.take("learning_rate", defaults.rate))
    out.put("train_batch_size", source.take("train_batch_size", defaults.batch))
    if kind:
        _flow(source, out, kind)
    else:
        out.refuse(
            "rank", "the feed-forward layers of transformers are adapted here too, not attention alone"
        )
    if source.on("use_dora"):
        out.argument("network_args", "dora_wd", True, "use_dora")
    _amount(source, out, defaults)
    _schedule(source, out)
    _optimiser(source, out, 1e-4 if kind else 1e-2)
    _text_encoder(source, out)
    _size(source, out, sdxl)
    _images(source, out)
    out.remainder(source, _IDLE)
    return out


def _flow(source: Foreign, out: Translation, kind: str) -> None:
    """How noise levels are spread, and which layers are adapted: by default the same as here."""
    out.put("weighting_scheme", source.take("weighting_scheme", _FLOWS[kind]))
    if (
        (guidance := source.take("guidance_scale")) is not None
        and kind == "flux"
        and "flux2" not in source.text(SCRIPT)
    ):
        out.put("guidance_scale", guidance)
    if layers := source.text("lora_layers"):
        out.refuse("lora_layers", f"{layers!r} is not supported; lora.layers is 'default' or 'all'")


def _amount(source: Foreign, out: Translation, defaults: _Script) -> None:
    """Steps override epochs; rates are scaled by the batch if asked."""
    steps, epochs = (
        source.take("max_train_steps"),
        source.take("num_train_epochs", defaults.epochs),
    )
    if asks(steps):
        out.put("max_train_steps", steps)
    else:
        out.put("max_train_epochs", epochs, "num_train_epochs")
    if source.on("scale_lr"):
        size = source.number("train_batch_size", defaults.batch)
        factor = size * source.number("gradient_accumulation_steps", 1)
        rate = source.number("learning_rate", defaults.rate)
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


def _text_encoder(source: Foreign, out: Translation) -> None:
    rate = source.take("text_encoder_lr")
    if not source.on("train_text_encoder"):
        out.put("network_train_unet_only", True, "train_text_encoder")
    elif rate is not None:
        out.put("text_encoder_lr", rate)
    elif "dreambooth" in (script := source.text(SCRIPT)) and any(word in script for word in ("xl", *_FLOWS)):
        out.put("text_encoder_lr", 5e-6)


def _size(source: Foreign, out: Translation, sdxl: bool) -> None:
    """Images are scaled and cropped to a square, at random unless the middle is asked for."""
    out.put("resolution", source.take("resolution", 1024 if sdxl else 512))
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
