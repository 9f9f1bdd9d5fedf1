"""What sets a family of base models apart, and who a base model is (pure)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor, nn

    from trainer.bases.autoencoding import Codec
    from trainer.bases.conditioning import Conditioning, Framing
    from trainer.bases.process import Process
    from trainer.bases.text import TextReading

DENOISER = "unet"
"""What plans, banks and sd-scripts call the network that removes noise, U-Net or transformer."""
NO_SAFETY_CHECKER: Mapping[str, object] = {"safety_checker": None, "feature_extractor": None}
"""Arguments of ``StableDiffusionPipeline`` that leave out what looks at finished pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEncoder:
    """A text encoder of a family, and the tokenizer before it."""

    part: str
    """Its folder in diffusers' layout: "text_encoder" or "text_encoder_2"."""
    architecture: str
    """Its class in transformers; model_index.json of a base names it."""
    padding: str
    """The token that fills captions up, as the bases were trained; tokenizer/special_tokens_map.json of a base."""
    checkpoint_prefix: str
    """What names of its tensors in a single file begin with, in the code that the family was released with."""
    kohya_prefix: str
    """What kohya's names of its layers begin with, "lora_te" first of all (sd-scripts, networks/lora.py).

    They keep the ``text_model.`` that transformers dropped in 5.6. Empty: it takes no LoRA.
    """
    tokenizer_architecture: str = "CLIPTokenizer"
    """The class of its tokenizer in transformers."""
    optional: bool = False
    """Whether a base may lack it, as diffusers' pipeline does; single files are then taken to."""

    @property
    def tokenizer(self) -> str:
        """The folder of its tokenizer in diffusers' layout."""
        return self.part.replace("text_encoder", "tokenizer")

    @property
    def trained(self) -> bool:
        """Whether it can get a LoRA."""
        return bool(self.kohya_prefix)


Config = Mapping[str, Any]
"""The configuration of a network, as its config.json holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Denoiser:
    """The network that removes noise, U-Net or transformer."""

    part: str
    """Its folder in diffusers' layout, and what diffusers' and PEFT's names of its layers begin with."""
    architecture: str
    """Its class in diffusers."""
    packing: int = 1
    """Latents that lie behind each other in the channels that it reads, as FLUX.1's pipeline packs them."""
    mark: str = ""
    """A tensor that single files of it hold, in its makers' code; it may begin with ``model.diffusion_model.``."""
    channels_last: bool = False
    """Whether it computes faster with channels as the last side in memory."""


def _guided(with_text: Tensor, without: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022)."""
    return without + scale * (with_text - without)


@dataclass(frozen=True, slots=True, kw_only=True)
class Functions:
    """What is computed otherwise from family to family (pure)."""

    read: Callable[[TextReading], Conditioning]
    """From captions to what the denoiser reads; with gradients where they are enabled."""
    predict: Callable[[Any, Tensor, Tensor, Conditioning, Tensor | None], Tensor]
    """The denoiser, noisy latents (n, channels, h, w), timesteps (n,) or one, text, numbers -> what it says, of the
    latents' shape and in the process' sense."""
    numbers: Callable[[Config, Framing, float], tuple[float, ...]]
    """What it is told beside text, of a picture's framing and a guidance; empty: nothing."""
    targets: Callable[[nn.Module], list[str]]
    """The layers that get a LoRA by default, as diffusers and kohya choose them."""
    beside: Callable[[nn.Module], list[str]]
    """Those that get one where a plan asks for more."""
    patch: Callable[[Config], int]
    """Latents along the side of a patch, which it reads as one token; 1 where it reads pixels' neighbourhoods."""
    side: Callable[[Config], int]
    """What the sides of latents must be multiples of."""
    stored: Callable[[nn.Module], list[str]]
    """Those whose frozen weights ``compute.base_format`` stores otherwise."""
    text: Callable[[Config, int], tuple[tuple[int, int], int]]
    """Of so many windows of 75 tokens: tokens and width of the text that it reads, and width of the pooled text; 0 for
    none."""
    process: Callable[[Path, str, bool], tuple[dict[str, Any], Process]]
    """The folder of configurations, the prediction type, whether noise ends in pure noise -> a diffusers scheduler's
    configuration for rendering, and how noise is added."""
    set_timesteps: Callable[[Any, int, int], None]
    """Prepares a solver for so many steps of pictures of so many patches."""
    latents: Codec
    """From pictures to latents and back."""
    guided: Callable[[Tensor, Tensor, float], Tensor] = _guided
    """What the denoiser says with text and without, and a scale -> what is made of both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """How pictures are drawn."""

    samplers: Mapping[str, tuple[str, Mapping[str, Any]]] = field(hash=False)
    """Name -> diffusers' class, and what is set on top of the base model's schedule."""
    sampler: str
    """The one that is taken where none is named."""
    embedded: bool = False
    """Whether guidance is a number that the denoiser reads, in place of a second pass without the prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraFacts:
    """How LoRA files of a family are written and told apart."""

    version: Mapping[str, str] = field(hash=False)
    """``ss_base_model_version`` by prediction type (sd-scripts); A1111 takes a LoRA for SDXL's by "sdxl_"."""
    architecture: Mapping[str, str] = field(hash=False)
    """The base's ``modelspec.architecture`` by prediction type (Stability AI's model metadata standard)."""
    implementation: str
    """``modelspec.implementation``: the code whose names the layers have, or "diffusers"."""
    v2: bool
    """``ss_v2``: whether sd-scripts trains it with ``--v2``."""
    sgm_blocks: bool
    """Whether kohya calls blocks of the U-Net as Stability's code does ("SGM"), not as diffusers."""
    marks: tuple[str, ...] = ()
    """What keys of LoRA files for this family alone begin with."""
    makers: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    """The makers' name of a layer, as sd-scripts, ComfyUI and others write it where diffusers cannot read it, its words
    joined by underscores and "{}" for a block's number -> ours, which share its outputs evenly."""
    swapped: tuple[str, ...] = ()
    """Those of them whose outputs, where they are a shift and a scale alone, are a scale and a shift here."""
    layout: Literal["kohya", "diffusers"] = "kohya"
    """The layout of trials' files: what most programs of the family read."""
    prefix: str = "lora_unet_"
    """What kohya's names of the denoiser's layers begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Base models of one architecture: all that the program must know to train LoRAs for them."""

    name: str
    """Its folder in ``trainer.bases.families``."""
    title: str
    """What people call it."""
    generation: int
    """Its place among the families, the oldest first: so they are listed.

    Evidence is looked for in the latest first; of families with the same evidence, the oldest is taken.
    """
    configs: Path
    """A diffusers folder without weights: the configuration of each part, as single files need it."""

    pipeline: str
    """Its class in diffusers; ``_class_name`` in model_index.json tells families apart."""
    pipeline_arguments: Mapping[str, object] = field(hash=False)
    """Arguments of that class that leave out what training has no use for."""
    text_encoders: tuple[TextEncoder, ...]
    """In the order in which the denoiser reads them."""
    denoiser: Denoiser
    """The network that LoRAs are trained for."""
    code: str
    """The module with its ``FUNCTIONS``; they need torch, which lists of families do not."""
    vae: str = "AutoencoderKL"
    """The class of its autoencoder in diffusers."""
    rendering: Rendering
    """How pictures are drawn."""
    predictions: tuple[str, ...] = ("epsilon", "v_prediction")
    """What the denoiser may predict; the first one is taken where a base says nothing."""
    latent_channels: int | None = None
    """Of the latents; None: as many as the base's own VAE makes."""
    text_width: int | None = None
    """Width of the text that a U-Net reads; ``cross_attention_dim`` in unet/config.json."""
    linear_projection: bool | None = None
    """``use_linear_projection`` in unet/config.json: tells families of one pipeline apart."""
    refiner_prefix: str | None = None
    """What names of tensors begin with in a refiner's single file, which is no base; None: there is no refiner."""
    hub_words: tuple[str, ...] = ()
    """Parts of names, in small letters, that suggest it: of hub models, which are not fetched to be sure."""

    caption_tokens: int | None = None
    """Tokens of a caption that count; None: as many as ``data.max_token_length`` says."""
    clip_skip: bool = False
    """Whether clip skip chooses the hidden state that is read."""
    sample_size: int
    """Side of the latents where the denoiser's config.json says none: ``default_sample_size`` of the pipeline."""
    native_side: int
    """Side of the pictures that it was made for, pixels; of a base on this disk, its configuration says it."""
    side_step: int
    """Image sides are multiples of this, pixels; of a base on this disk, its configuration says it."""

    lora: LoraFacts
    """How its LoRA files are written."""
    ranks: tuple[int, ...] = (8, 16, 32, 64)
    """Ranks worth a try, lowest first; the guides' for SD 1.x."""
    rank_reason: str = "32 to 64 for a character, less for a simple subject, 128 for rich scenes"
    """Why these, in a line of a study file."""

    @property
    def flows(self) -> bool:
        """Whether it matches a flow, with a transformer."""
        return self.predictions == ("flow",)

    @property
    def functions(self) -> Functions:
        """What is computed otherwise than in other families."""
        found: Functions = import_module(self.code).FUNCTIONS
        return found

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders of a base in diffusers' layout."""
        text = (folder for encoder in self.text_encoders for folder in (encoder.tokenizer, encoder.part))
        return (*text, "vae", self.denoiser.part, "scheduler")

    @property
    def needed(self) -> tuple[str, ...]:
        """Those that no base may lack."""
        left_out = {
            part
            for encoder in self.text_encoders
            if encoder.optional
            for part in (encoder.part, encoder.tokenizer)
        }
        return tuple(part for part in self.parts if part not in left_out)

    @property
    def trained_encoders(self) -> tuple[TextEncoder, ...]:
        """The text encoders that can get a LoRA."""
        return tuple(encoder for encoder in self.text_encoders if encoder.trained)

    def misfits(self, clip_skip: int, text2_rate: float | None) -> list[str]:
        """Plan fields that cannot act on the family, a sentence without its full stop each.

        Args:
            clip_skip: ``base.clip_skip``.
            text2_rate: ``optimiser.text2_lr_over_unet_lr``.
        """
        problems = []
        if not self.clip_skip and clip_skip != 1:
            problems.append(
                f"base.clip_skip = {clip_skip}: {self.title} ignores it; leave it out, or set it to 1"
            )
        trained = len(self.trained_encoders)
        if trained < 2 and text2_rate is not None:
            has = "one text encoder" if trained else "no text encoder that is trained"
            problems.append(
                f"optimiser.text2_lr_over_unet_lr = {text2_rate}: {self.title} has {has}; leave it out"
            )
        return problems


def of_width(candidates: Sequence[Family], width: object) -> Family:
    """Of families with the same evidence, the one that reads text of a width, or else the oldest."""
    return next((family for family in candidates if family.text_width == width), candidates[0])


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a base model is, as LoRA files say it."""

    family: Family
    prediction_type: str
    """"epsilon", "v_prediction" or "flow"."""
    zero_terminal_snr: bool
    model_hash: str
    """SHA-256 of a single file, or over the weight files of a folder."""
    vae_hash: str | None = None
    """The same of a separate VAE."""
