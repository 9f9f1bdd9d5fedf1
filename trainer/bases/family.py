"""What sets a family of Stable Diffusion apart, and who a base model is (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

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

    They keep the ``text_model.`` that transformers dropped in 5.6.
    """

    @property
    def tokenizer(self) -> str:
        """The folder of its tokenizer in diffusers' layout."""
        return self.part.replace("text_encoder", "tokenizer")


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
    """In the order in which the U-Net reads them."""
    text_width: int
    """Width of the text that the U-Net reads; ``cross_attention_dim`` in unet/config.json."""
    linear_projection: bool
    """``use_linear_projection`` in unet/config.json: tells families of one pipeline apart."""
    refiner_prefix: str | None = None
    """What names of tensors begin with in a refiner's single file, which is no base; None: there is no refiner."""
    hub_words: tuple[str, ...] = ()
    """Parts of names, in small letters, that suggest it: of hub models, which are not fetched to be sure."""

    clip_skip: bool
    """Whether clip skip chooses the hidden state that is read, behind the final layer norm.

    Else the penultimate one of each text encoder is read, without that norm, and the last one's projection.
    """
    wants_sizes: bool
    """Whether the U-Net is told how pictures were cut; ``addition_embed_type`` "text_time" in unet/config.json."""
    sample_size: int
    """Side of the latents where unet/config.json says none: ``default_sample_size`` of the pipeline."""
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
    def parts(self) -> tuple[str, ...]:
        """The folders of a base in diffusers' layout."""
        text = (folder for encoder in self.text_encoders for folder in (encoder.tokenizer, encoder.part))
        return (*text, "vae", "unet", "scheduler")

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
        if len(self.text_encoders) == 1 and text2_rate is not None:
            problems.append(
                f"optimiser.text2_lr_over_unet_lr = {text2_rate}: {self.title} has one text encoder; leave it out"
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
    """"epsilon" or "v_prediction"."""
    zero_terminal_snr: bool
    model_hash: str
    """SHA-256 of a single file, or over the weight files of a folder."""
    vae_hash: str | None = None
    """The same of a separate VAE."""
