"""The training plan: everything that decides what a trial's LoRA will be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trainer import network_rules, optimisers

OptimiserName = Literal[
    "adamw",
    "adamw8bit",
    "paged_adamw8bit",
    "lion",
    "lion8bit",
    "paged_lion8bit",
    "sgd_nesterov",
    "sgd_nesterov8bit",
    "dadaptation",
    "dadapt_adam",
    "dadapt_adagrad",
    "dadapt_adan",
    "dadapt_adan_ip",
    "dadapt_lion",
    "dadapt_sgd",
    "adafactor",
    "prodigy",
]
ScheduleName = Literal[
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "staged"
]
LossName = Literal["l2", "huber", "smooth_l1"]
Argument = bool | int | float | str | tuple[float, ...] | None
Precision = Literal["no", "fp16", "bf16"]
LatentCache = Literal["memory", "disk", "off"]
TokenLength = Literal[75, 150, 225]
Prediction = Literal["epsilon", "v_prediction"]
Attention = Literal["sdpa", "xformers", "flash"]
Device = Literal["auto", "cpu", "cuda"]
Algorithm = Literal["lora", "loha", "lokr", "ia3", "diag-oft", "boft", "full", "glora", "dylora"]


def _shared(default: Any = ..., **constraints: Any) -> Any:
    """A field on which all trials of a pack must agree, so that it cannot be searched."""
    return Field(default, json_schema_extra={"shared": True}, **constraints)


def _assigned(default: Any, **constraints: Any) -> Any:
    """A field that a study sets trial by trial, never a sampler; trials of a pack may differ in it."""
    return Field(default, json_schema_extra={"assigned": True}, **constraints)


class Frozen(BaseModel):
    """Plans never change after they were checked, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MergedLora(Frozen):
    """A LoRA that becomes part of the base model."""

    file: Path
    """In the format of kohya, diffusers or PEFT, made for the same family."""
    weight: float = Field(1.0, ge=-10, le=10)
    """Its strength: W += weight * alpha / rank * up down."""


class BasePlan(Frozen):
    """The frozen base model."""

    path: Path = _shared()
    """SD 1.x, SD 2.x or SDXL: a diffusers folder, a single .safetensors file, or a hub name ``org/model``."""
    vae: Path | None = _shared(None)
    """A VAE that replaces the base's: a diffusers folder or a .safetensors file."""
    prediction_type: Prediction | None = _shared(None)
    """What the U-Net predicts; None takes the base's own statement (SD 2.x files make none: v_prediction)."""
    zero_terminal_snr: bool | None = _shared(None)
    """Rescale the noise schedule to end in pure noise (Lin et al. 2023); None takes the base's own statement."""
    clip_skip: int = Field(1, ge=1, le=3)
    """Which hidden state of the text encoder is read, counted from the end (1 = the last); SDXL takes 1 only."""
    loras: tuple[MergedLora, ...] = _shared(())
    """LoRAs that are merged into the base model first, e.g. ``[{ file = "x.safetensors", weight = 0.7 }]``."""


class DataPlan(Frozen):
    """Which images are shown, how often and in what company."""

    folder: Path | None = _shared(None)
    """Folder with the sub-folders ``N_name``."""
    folders: tuple[Path, ...] = _shared(())
    """Further folders of that kind."""
    concepts: Path | None = _shared(None)
    """JSON file that lists concepts, each with its own images, repeats, prompts and caption rules."""
    reg_folder: Path | None = _shared(None)
    """Regularisation images: a folder with the sub-folders ``N_class``; concepts may bring their own."""
    resolution: int = _shared(512, ge=16)
    """Side of the training square in pixels; with buckets, the square root of their area."""
    enable_bucket: bool = _shared(False)
    """Bring each image to the size of about that area whose aspect ratio is nearest to its own."""
    min_bucket_reso: int = _shared(256, ge=16)
    """Shortest bucket side in pixels."""
    max_bucket_reso: int = _shared(1024, ge=16)
    """Longest bucket side in pixels."""
    bucket_reso_steps: int = _shared(64, ge=1)
    """Grid of bucket sides in pixels."""
    bucket_no_upscale: bool = _shared(False)
    """No image is enlarged: its bucket follows from its own size, cut down to the grid."""
    repeats: int | None = Field(None, ge=1)
    """How often an epoch shows each image; None takes the N of the folder ``N_name``."""
    epochs: int = Field(10, ge=1)
    """Passes over images x repeats; a checkpoint is written and scored after each."""
    batch_size: int = Field(1, ge=1)
    """Images per optimiser step."""
    shuffle_caption: bool = False
    """Shuffle the comma-separated tags at every presentation."""
    keep_tokens: int = Field(0, ge=0)
    """How many leading tags stay in place while the others are shuffled or dropped."""
    caption_dropout: float = Field(0.0, ge=0, le=1)
    """Share of presentations with an empty caption."""
    tag_dropout: float = Field(0.0, ge=0, le=1)
    """Chance of each tag after the kept ones to be left out of a presentation."""
    weighted_captions: bool = _shared(False)
    """Read ``(word:1.3)``, ``(word)`` and ``[word]`` as emphasis of the word's embedding."""
    max_token_length: TokenLength = _shared(75)
    """Tokens of a caption that count: one, two or three windows of the text encoder."""
    pad_tokens: bool = _shared(True)
    """Pad every caption to ``max_token_length``; else to the windows that the longest caption needs."""
    flip: bool = False
    """Mirror half of all presentations left to right."""
    random_crop: bool = False
    """Crop what exceeds the training size at a random place instead of around the centre."""
    rotation_degrees: float = Field(0.0, ge=0, le=45)
    """Largest angle, either way, by which a presentation is turned; no corner is left empty."""
    zoom: float = Field(0.0, ge=0, le=1)
    """Largest additional scaling of a presentation: 0.1 shows the image 1 to 1.1 times as large."""
    colour_jitter: float = Field(0.0, ge=0, lt=1)
    """Brightness, contrast and saturation are each multiplied by up to 1 +- this."""
    prior_loss_weight: float = Field(1.0, ge=0, le=100)
    """Factor on the loss of regularisation images."""
    prior_loss_epochs: int | None = Field(None, ge=1)
    """Epochs over which that factor falls linearly to ``prior_loss_min_weight``; None lets it stay."""
    prior_loss_min_weight: float = Field(0.0, ge=0)
    """Where the fall of the prior loss weight ends."""
    cache_latents: LatentCache = _shared("disk")
    """Where encoded images are kept: on disk and in memory, in memory alone, or nowhere."""
    fold: int | None = _assigned(None, ge=0)
    """Which fold of a k-fold split is held out, from 0; None holds out the split's validation side."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if problems := list(self._problems()):
            raise ValueError("; ".join(problems))
        return self

    @property
    def weighs_prior(self) -> bool:
        """Whether something other than the plain weight 1 is asked for regularisation images."""
        return self.prior_loss_weight != 1 or self.prior_loss_epochs is not None

    def _problems(self) -> Iterator[str]:
        if self.folder is None and not self.folders and self.concepts is None:
            yield "there are no images: give folder, folders or concepts"
        if self.keep_tokens and not (self.shuffle_caption or self.tag_dropout):
            yield (
                f"keep_tokens = {self.keep_tokens} acts only with shuffle_caption = true or tag_dropout; "
                "set that, or remove keep_tokens"
            )
        if self.min_bucket_reso > self.max_bucket_reso:
            yield (
                f"min_bucket_reso must be at most max_bucket_reso, "
                f"but got {self.min_bucket_reso} > {self.max_bucket_reso}"
            )
        for name in ("min_bucket_reso", "max_bucket_reso"):
            if self.enable_bucket and getattr(self, name) % self.bucket_reso_steps:
                yield (
                    f"{name} must be a multiple of bucket_reso_steps = {self.bucket_reso_steps}, "
                    f"but got {getattr(self, name)}"
                )
        if self.bucket_no_upscale and not self.enable_bucket:
            yield "bucket_no_upscale = true acts only with enable_bucket = true; set that, or remove it"
        if self.weighs_prior and self.reg_folder is None and self.concepts is None:
            yield (
                "prior_loss_weight and prior_loss_epochs act only on regularisation images; "
                "give reg_folder, or concepts with a class_data_dir"
            )
        if self.prior_loss_epochs is None and self.prior_loss_min_weight:
            yield (
                f"prior_loss_min_weight = {self.prior_loss_min_weight} acts only with prior_loss_epochs; "
                "set that, or remove it"
            )
        if self.prior_loss_epochs is not None and self.prior_loss_min_weight > self.prior_loss_weight:
            yield (
                f"prior_loss_min_weight must be at most prior_loss_weight, "
                f"but got {self.prior_loss_min_weight} > {self.prior_loss_weight}"
            )


class LoraPlan(Frozen):
    """Shape of the adapter: delta W = (alpha / rank) B A."""

    rank: int = Field(16, ge=1, le=1024)
    """Inner dimension (``network_dim``)."""
    alpha_over_rank: float = Field(0.5, gt=0, le=1)
    """``network_alpha`` as a share of the rank; the LoRA's effective scale."""
    unet: bool = True
    """Whether the U-Net gets a LoRA."""
    text_encoder: bool = False
    """Whether the text encoder gets a LoRA; on SDXL, both of them."""
    conv_rank: int | None = Field(None, ge=1, le=1024)
    """Rank of the 3x3 convolutions (``conv_dim``); their blocks' other layers then get ``rank``. None is off."""
    conv_alpha_over_rank: float = Field(0.5, gt=0, le=1)
    """``conv_alpha`` as a share of ``conv_rank``."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Probability of dropping each element of A x in training (``network_dropout``)."""
    rank_dropout: float = Field(0.0, ge=0, lt=1)
    """Probability of dropping each of the rank's dimensions at a presentation."""
    module_dropout: float = Field(0.0, ge=0, lt=1)
    """Probability of leaving out a layer's whole low-rank term at a presentation."""
    block_ranks: dict[str, int] = _shared({})
    """Ranks of other size by block of the U-Net, e.g. ``{ mid_block = 8, "up_blocks.1" = 32 }``; 0 adapts none of
    its Linear and 1x1 layers. Alpha follows; the longest name that fits a layer counts."""
    block_lrs: dict[str, float] = _shared({})
    """Factors on ``optimiser.unet_lr`` by block of the U-Net; 0 leaves a block without a LoRA."""
    freeze: tuple[str, ...] = _shared(())
    """Blocks of the U-Net that get no LoRA, e.g. ``["down_blocks", "mid_block"]``."""
    start: Path | None = _shared(None)
    """A LoRA (format of kohya, diffusers or PEFT) whose weights are the beginning; its ranks must be the plan's."""
    algorithm: Algorithm = "lora"
    """LyCORIS computes all but ``lora``, beside the pack (``algo``); rank and alpha mean what they mean there.
    ``full`` and ``ia3`` have no rank, ``dylora`` wants ranks that are multiples of its ``block_size``."""
    algorithm_args: dict[str, dict[str, bool | int | float]] = _shared({})
    """Keyword arguments by algorithm, e.g. ``{ lokr = { factor = 8 } }``; each acts with its own algorithm only."""

    @field_validator("algorithm", mode="before")
    @classmethod
    def _offered(cls, name: Any) -> Any:
        return network_rules.offered(name, get_args(Algorithm))

    @property
    def alpha(self) -> float:
        """``network_alpha`` in absolute terms."""
        return self.alpha_over_rank * self.rank

    @model_validator(mode="after")
    def _trains_something(self) -> Self:
        if not (self.unet or self.text_encoder):
            raise ValueError("unet and text_encoder are both false: nothing would be trained")
        if problems := list(network_rules.shape_problems(self)):
            raise ValueError("; ".join(problems))
        return self


class OptimiserPlan(Frozen):
    """How gradients become updates."""

    name: OptimiserName = "adamw"
    """Which optimiser, from PyTorch or from the library that carries it."""
    unet_lr: float = Field(1e-4, gt=0, le=1)
    """Learning rate of the U-Net on AdamW's scale: Lion takes a third, Prodigy and D-Adaptation find their own;
    SGD takes it as it is, and wants a far larger one."""
    text_lr_over_unet_lr: float = Field(0.5, gt=0, le=10)
    """Learning rate of the text encoder as a multiple of the U-Net's; Prodigy has one rate and leaves it aside."""
    text2_lr_over_unet_lr: float | None = Field(None, gt=0, le=10)
    """The same for SDXL's second text encoder; None takes that of the first."""
    weight_decay: float = Field(0.01, ge=0, lt=1)
    """How strongly weights are pulled to 0; most optimisers multiply it by the learning rate."""
    max_grad_norm: float = Field(1.0, ge=0)
    """Gradients of a slot are scaled down to this 2-norm; 0 leaves them alone."""
    args: dict[str, Argument] = _shared({})
    """Further keyword arguments of the optimiser (``optimizer_args``), e.g. ``{ betas = [0.9, 0.99] }``."""
    lora_plus_ratio: float = Field(1.0, ge=1, le=128)
    """Learning rate of B over that of A (LoRA+, Hayou et al. 2024, section 4); 1 is plain LoRA."""
    text_stop_share: float = Field(1.0, gt=0, le=1)
    """Share of all optimiser steps after which the text encoder stays as it is."""
    max_weight_norm: float | None = Field(None, gt=0)
    """Largest Frobenius norm of any layer's delta W (``scale_weight_norms``); None sets no limit."""
    gradient_accumulation: int = Field(1, ge=1)
    """Batches whose images share one optimiser step (``gradient_accumulation_steps``)."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if problems := optimisers.problems(self):
            raise ValueError("; ".join(problems))
        return self

    @property
    def text2_share(self) -> float:
        """Learning rate of SDXL's second text encoder as a multiple of the U-Net's."""
        own = self.text2_lr_over_unet_lr
        return self.text_lr_over_unet_lr if own is None else own


class Stage(Frozen):
    """Some epochs at one learning rate."""

    epochs: int = Field(ge=1)
    """How many epochs it lasts; the last stage lasts to the end."""
    factor: float = Field(1.0, gt=0)
    """Learning rate as a multiple of the plan's."""


class SchedulePlan(Frozen):
    """How the learning rate moves over a trial."""

    name: ScheduleName = "constant_with_warmup"
    """The curve, after the warm-up, over the trial's own length."""
    warmup_share: float = Field(0.0, ge=0, lt=1)
    """Share of all optimiser steps over which the learning rate rises from 0."""
    warmup_steps: int | None = Field(None, ge=0)
    """The same in optimiser steps (``lr_warmup_steps``); instead of ``warmup_share``."""
    cycles: int = Field(1, ge=1, le=100)
    """Hard restarts of ``cosine_with_restarts``."""
    power: float = Field(1.0, gt=0)
    """Exponent of ``polynomial``."""
    stages: tuple[Stage, ...] = _shared(())
    """Steps of ``staged``, e.g. ``[{ epochs = 10 }, { epochs = 10, factor = 0.1 }]``."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        problems = []
        if self.warmup_share and self.warmup_steps is not None:
            problems.append(
                f"warmup_share = {self.warmup_share} and warmup_steps = {self.warmup_steps} say the same thing "
                "twice; keep one"
            )
        for field, value in (("warmup_share", self.warmup_share), ("warmup_steps", self.warmup_steps)):
            if self.name == "constant" and value:
                problems.append(
                    f"{field} = {value} cannot act with name = 'constant'; "
                    f"choose 'constant_with_warmup' or set {field} = 0"
                )
        if (self.name == "staged") != bool(self.stages):
            problems.append(
                "name = 'staged' needs stages, such as [{ epochs = 10 }, { epochs = 10, factor = 0.1 }]"
                if not self.stages
                else f"stages act only with name = 'staged', but got name = {self.name!r}"
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self


class NoisePlan(Frozen):
    """What is added to the latents, and how the loss weighs it."""

    offset: float = Field(0.0, ge=0, le=1)
    """noise += offset * randn(batch, channels, 1, 1)."""
    adaptive_scale: float = Field(0.0, ge=-1, le=1)
    """The offset of each channel becomes max(0, offset + adaptive_scale * |mean of the latent|)."""
    multires_iterations: int = Field(0, ge=0, le=16)
    """Levels of pyramid noise, usually 6-10 (``multires_noise_iterations``); 0 is plain noise."""
    multires_discount: float = Field(0.3, gt=0, le=1)
    """Weight of each pyramid level over that of the level before (``multires_noise_discount``)."""
    ip_gamma: float = Field(0.0, ge=0, le=1)
    """The input is built with noise + ip_gamma * randn, the target stays (Ning et al. 2023); 0 is off."""
    min_timestep: int = Field(0, ge=0, le=999)
    """The first timestep that is trained."""
    max_timestep: int = Field(1000, ge=1, le=1000)
    """The first timestep after those that are trained."""
    min_snr_gamma: float | None = Field(None, gt=0)
    """Min-SNR loss weight min(snr, gamma) / snr (Hang et al. 2023, eq. 7); None weighs all alike."""
    debiased: bool = False
    """Loss weight 1 / sqrt(min(snr, 1000)) (``debiased_estimation_loss``; Yu et al. 2023); v: 1 / (snr + 1)."""
    loss: LossName = "l2"
    """What is minimised; the training loss that is reported stays the mean squared error."""
    huber_c: float = Field(0.1, gt=0)
    """Error at which ``huber`` and ``smooth_l1`` turn from square to straight."""

    @property
    def plain(self) -> bool:
        """Whether noise and timestep are the presentation's own, but for the offset."""
        return not (
            self.adaptive_scale
            or self.multires_iterations
            or self.ip_gamma
            or self.min_timestep
            or self.max_timestep < 1000
        )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        problems = []
        if self.min_timestep >= self.max_timestep:
            problems.append(
                f"min_timestep must be below max_timestep, but got {self.min_timestep} >= {self.max_timestep}"
            )
        if self.debiased and self.min_snr_gamma is not None:
            problems.append(
                f"debiased = true and min_snr_gamma = {self.min_snr_gamma} both weigh the timesteps; keep one"
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self


class EmaPlan(Frozen):
    """An exponential moving average of the LoRA's weights, which is saved and judged in their place."""

    decay: float | None = Field(None, gt=0, lt=1)
    """Share of the old average kept at each optimiser step, once warmed up; None keeps no average."""


class ComputePlan(Frozen):
    """How the arithmetic is done."""

    mixed_precision: Precision = _shared("no")
    """Number format of the frozen base and of activations; adapters stay in float32."""
    gradient_checkpointing: bool = _shared(False)
    """Recompute activations in the backward pass: less memory, more time."""
    attention: Attention = _shared("sdpa")
    """How the U-Net's attention is computed: PyTorch's choice, the package xformers, or FlashAttention alone."""
    device: Device = _shared("auto")
    """Where everything is computed; auto takes CUDA where there is one."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.attention == "flash" and self.mixed_precision == "no":
            raise ValueError("attention = 'flash' needs mixed_precision fp16 or bf16")
        if self.attention != "sdpa" and self.device == "cpu":
            raise ValueError(f"attention = '{self.attention}' needs CUDA; choose 'sdpa' with device = 'cpu'")
        return self


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
    seed: int = _shared(0, ge=0, lt=2**63)
    """Everything random derives from it; a study sets it by ``study.seed``."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        rates = network_rules.rate_problems(self.lora, self.optimiser)
        if problems := [*rates, *self._rate_problems(), *self._device_problems()]:
            raise ValueError("; ".join(problems))
        return self

    def _rate_problems(self) -> Iterator[str]:
        optimiser, lora = self.optimiser, self.lora
        ratio = optimiser.text_lr_over_unet_lr
        if optimisers.OPTIMISERS[optimiser.name].one_rate and lora.unet and lora.text_encoder and ratio != 1:
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

    def _device_problems(self) -> Iterator[str]:
        eight_bit = optimisers.OPTIMISERS[self.optimiser.name].eight_bit
        on_cpu = self.compute.device == "cpu"
        if eight_bit and self.compute.mixed_precision == "no" and not on_cpu:
            import torch

            if torch.cuda.is_available():
                yield (
                    f"optimiser.name '{self.optimiser.name}' needs compute.mixed_precision fp16 or bf16 on CUDA"
                )
