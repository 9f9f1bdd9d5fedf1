"""Which plan field stands for which sd-scripts key: the one table for import, export and documentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Place = Literal["config", "dataset", "subset"]
"""Where the key stands when it is written: the configuration, ``[[datasets]]`` or ``[[datasets.subsets]]``."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A plan field in the words of sd-scripts and of the guides."""

    keys: tuple[str, ...] = ()
    """sd-scripts' names; the first is written, the others are read too. Empty: it has no word for this."""
    unit: str = ""
    """Of our field; empty where it has none."""
    row: str = ""
    """What the guides call it, where that differs from the keys."""
    same: bool = False
    """Whether field and key hold the same value in the same unit, so that nothing is converted."""
    place: Place = "config"

    @property
    def key(self) -> str:
        """The name that is written."""
        return self.keys[0]


def _same(*keys: str, unit: str = "", row: str = "", place: Place = "config") -> Entry:
    return Entry(keys, unit, row, True, place)


def _arg(name: str) -> tuple[str, ...]:
    return (f"network_args: {name}",)


_BASE = {
    "base.path": Entry(("pretrained_model_name_or_path",), row="base model"),
    "base.vae": Entry(("vae",), row="separate VAE"),
    "base.prediction_type": Entry(("v_parameterization", "v2"), row="v-prediction"),
    "base.zero_terminal_snr": _same("zero_terminal_snr", row="zero-terminal SNR"),
    "base.clip_skip": _same("clip_skip", unit="layers from the end"),
    "base.loras": Entry(("base_weights", "base_weights_multiplier"), row="mixing other LoRAs with weights"),
}
_DATA = {
    "data.folder": Entry(("train_data_dir", "image_dir"), row="folder N_name"),
    "data.folders": Entry(("image_dir",), row="several folders"),
    "data.concepts": Entry(("datasets.subsets",), row="concepts list (JSON)"),
    "data.reg_folder": Entry(("reg_data_dir", "is_reg"), row="regularisation images"),
    "data.resolution": Entry(("resolution",), unit="pixels", place="dataset"),
    "data.enable_bucket": _same("enable_bucket", row="aspect buckets", place="dataset"),
    "data.min_bucket_reso": _same("min_bucket_reso", unit="pixels", place="dataset"),
    "data.max_bucket_reso": _same("max_bucket_reso", unit="pixels", place="dataset"),
    "data.bucket_reso_steps": _same("bucket_reso_steps", unit="pixels", place="dataset"),
    "data.bucket_no_upscale": _same("bucket_no_upscale", place="dataset"),
    "data.repeats": Entry(("num_repeats", "dataset_repeats"), unit="times an epoch", row="repeats"),
    "data.epochs": Entry(("max_train_epochs", "max_train_steps"), unit="epochs", row="epochs; total steps"),
    "data.batch_size": _same("batch_size", "train_batch_size", unit="images", place="dataset"),
    "data.shuffle_caption": _same("shuffle_caption", place="subset"),
    "data.keep_tokens": _same("keep_tokens", unit="tags", place="subset"),
    "data.caption_dropout": _same(
        "caption_dropout_rate", unit="share of presentations", row="caption dropout", place="subset"
    ),
    "data.tag_dropout": _same("caption_tag_dropout_rate", unit="probability", place="subset"),
    "data.weighted_captions": _same("weighted_captions", row="token emphasis"),
    "data.max_token_length": Entry(("max_token_length",), unit="tokens"),
    "data.pad_tokens": Entry(row="pad tokens"),
    "data.flip": _same("flip_aug", row="horizontal flip", place="subset"),
    "data.random_crop": _same("random_crop", row="random crop, centre crop", place="subset"),
    "data.rotation_degrees": Entry(unit="degrees", row="small rotation"),
    "data.zoom": Entry(unit="share", row="scaling"),
    "data.colour_jitter": Entry(("color_aug",), unit="share", row="colour augmentation", place="subset"),
    "data.prior_loss_weight": _same("prior_loss_weight", unit="factor"),
    "data.prior_loss_epochs": Entry(unit="epochs", row="scaled prior loss, prior loss target"),
    "data.prior_loss_min_weight": Entry(unit="factor", row="prior loss, minimum weight"),
    "data.cache_latents": Entry(("cache_latents", "cache_latents_to_disk"), row="latent cache"),
    "data.fold": Entry(row="k-fold"),
}
_LORA = {
    "lora.rank": Entry(("network_dim",), unit="dimensions", row="rank"),
    "lora.alpha_over_rank": Entry(("network_alpha",), unit="share of the rank", row="alpha"),
    "lora.unet": Entry(("network_train_text_encoder_only",), row="text encoder only"),
    "lora.text_encoder": Entry(("network_train_unet_only",), row="U-Net only"),
    "lora.conv_rank": Entry(_arg("conv_dim"), unit="dimensions", row="conv dim"),
    "lora.conv_alpha_over_rank": Entry(_arg("conv_alpha"), unit="share of conv_rank", row="conv alpha"),
    "lora.dropout": _same("network_dropout", unit="probability", row="LoRA dropout"),
    "lora.rank_dropout": Entry(_arg("rank_dropout"), unit="probability", row="rank dropout"),
    "lora.module_dropout": Entry(_arg("module_dropout"), unit="probability", row="module dropout"),
    "lora.block_ranks": Entry(_arg("block_dims"), unit="dimensions", row="per-block dims"),
    "lora.block_lrs": Entry(
        (*_arg("down_lr_weight"), *_arg("mid_lr_weight"), *_arg("up_lr_weight")),
        unit="factor",
        row="per-block LRs",
    ),
    "lora.freeze": Entry(row="freeze / unfreeze blocks"),
    "lora.algorithm": Entry(("network_module", "network_args: algo"), row="LoHa / LoKr / other algorithms"),
    "lora.algorithm_args": Entry(("network_args",), row="LoHa / LoKr / other algorithms, arguments"),
    "lora.start": Entry(("network_weights",), row="starting from another LoRA"),
}
_OPTIMISER = {
    "optimiser.name": Entry(("optimizer_type", "use_8bit_adam", "use_lion_optimizer"), row="optimisers"),
    "optimiser.unet_lr": Entry(("unet_lr", "learning_rate"), unit="AdamW's learning rate"),
    "optimiser.text_lr_over_unet_lr": Entry(("text_encoder_lr",), unit="share of unet_lr"),
    "optimiser.text2_lr_over_unet_lr": Entry(
        ("text_encoder_lr",), unit="share of unet_lr", row="SDXL's second"
    ),
    "optimiser.weight_decay": Entry(("optimizer_args: weight_decay",), row="weight decay"),
    "optimiser.max_grad_norm": _same("max_grad_norm", unit="2-norm", row="max grad norm"),
    "optimiser.args": Entry(("optimizer_args",), row="keyword arguments"),
    "optimiser.lora_plus_ratio": Entry(_arg("loraplus_lr_ratio"), unit="factor", row="LoRA+ ratio"),
    "optimiser.text_stop_share": Entry(
        ("stop_text_encoder_training",), unit="share of all steps", row="text-encoder stop ratio"
    ),
    "optimiser.max_weight_norm": _same("scale_weight_norms", unit="Frobenius norm"),
    "optimiser.gradient_accumulation": _same(
        "gradient_accumulation_steps", unit="batches", row="gradient accumulation"
    ),
}
_SCHEDULE = {
    "schedule.name": Entry(("lr_scheduler",), row="schedulers"),
    "schedule.warmup_share": Entry(("lr_warmup_steps",), unit="share of all steps", row="warm-up"),
    "schedule.warmup_steps": Entry(("lr_warmup_steps",), unit="optimiser steps", row="warm-up"),
    "schedule.cycles": Entry(("lr_scheduler_num_cycles", "lr_restart_cycles"), unit="cycles", row="cycles"),
    "schedule.power": Entry(("lr_scheduler_power",), unit="exponent", row="power"),
    "schedule.stages": Entry(unit="epochs, factor", row="staged LR"),
}
_NOISE = {
    "noise.offset": _same("noise_offset", unit="standard deviations"),
    "noise.adaptive_scale": _same("adaptive_noise_scale", unit="offset per mean of the latent"),
    "noise.multires_iterations": _same("multires_noise_iterations", unit="levels", row="pyramid noise"),
    "noise.multires_discount": _same("multires_noise_discount", unit="factor a level", row="pyramid noise"),
    "noise.ip_gamma": _same("ip_noise_gamma", unit="standard deviations"),
    "noise.min_timestep": _same("min_timestep", unit="timestep"),
    "noise.max_timestep": _same("max_timestep", unit="timestep"),
    "noise.min_snr_gamma": _same("min_snr_gamma", unit="SNR"),
    "noise.debiased": _same("debiased_estimation_loss"),
    "noise.loss": Entry(("loss_type",), row="l2 / huber / smooth l1"),
    "noise.huber_c": _same("huber_c", unit="error", row="huber / smooth l1"),
}
_REST = {
    "ema.decay": Entry(unit="share a step", row="EMA of the LoRA weights"),
    "compute.mixed_precision": _same("mixed_precision"),
    "compute.gradient_checkpointing": _same("gradient_checkpointing"),
    "compute.attention": Entry(("xformers", "sdpa", "mem_eff_attn"), row="attention"),
    "compute.device": Entry(row="CPU only"),
    "seed": Entry(("seed",), row="seed"),
}

PLAN: Mapping[str, Entry] = {**_BASE, **_DATA, **_LORA, **_OPTIMISER, **_SCHEDULE, **_NOISE, **_REST}
"""Every field of the training plan, and those of the network that are on their way into it."""

OPTIMISERS: Mapping[str, str] = {
    "adamw": "AdamW",
    "adamw8bit": "AdamW8bit",
    "paged_adamw8bit": "PagedAdamW8bit",
    "lion": "Lion",
    "lion8bit": "Lion8bit",
    "paged_lion8bit": "PagedLion8bit",
    "sgd_nesterov": "SGDNesterov",
    "sgd_nesterov8bit": "SGDNesterov8bit",
    "dadaptation": "DAdaptation",
    "dadapt_adam": "DAdaptAdam",
    "dadapt_adagrad": "DAdaptAdaGrad",
    "dadapt_adan": "DAdaptAdan",
    "dadapt_adan_ip": "DAdaptAdanIP",
    "dadapt_lion": "DAdaptLion",
    "dadapt_sgd": "DAdaptSGD",
    "adafactor": "AdaFactor",
    "prodigy": "Prodigy",
}
"""``optimizer_type`` of each optimiser; sd-scripts does not mind the case."""
OTHER_OPTIMISERS: Mapping[str, str] = {"dadaptadampreprint": "dadaptation"}
"""Second names, in lower case."""
