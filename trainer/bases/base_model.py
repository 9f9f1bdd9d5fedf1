"""The resident base model: loaded once, frozen, shared by all trials of a process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainer.bases import autoencoding, find, loading
from trainer.bases.conditioning import Conditioning, Framing
from trainer.bases.errors import BaseModelError as BaseModelError
from trainer.bases.family import Family, Identity
from trainer.bases.find import Source
from trainer.bases.process import Process
from trainer.bases.residency import REST, Residency, leave
from trainer.bases.text import PLAIN, PromptRules, TextReader, TextReading, Within, recomputed
from trainer.lora_files.kohya import Names
from trainer.plans.base import BasePlan
from trainer.plans.compute import Attention, Device, Offload, Precision

DTYPES: dict[str, torch.dtype] = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(slots=True)
class BaseModel:
    """Tokenizers, text encoders, VAE, the network that removes noise, and how noise is added; all frozen."""

    identity: Identity
    tokenizer: Any
    vae: Any
    unet: Any
    """The network that removes noise, U-Net or transformer."""
    schedule_config: dict[str, Any]
    """Of a diffusers scheduler, for rendering."""
    process: Process
    """How noise is added, and what the network says of it."""
    device: torch.device
    dtype: torch.dtype
    text_encoder: Any = None
    """None while it is not in memory, as others may be."""
    tokenizer_2: Any = None
    text_encoder_2: nn.Module | None = None
    """The second text encoder, as SDXL has one."""
    tokenizer_3: Any = None
    text_encoder_3: nn.Module | None = None
    """The third one, as SD 3 has one."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the pipeline says of itself beside its parts."""
    residency: Residency = field(default_factory=Residency)
    """Which of its networks are on the device."""
    load_readers: Callable[[], dict[str, nn.Module]] = dict
    """Loads the text encoders that are there for reading alone; they leave memory before the denoiser works."""
    keeps_readers: bool = False
    """Whether they stay, since every step needs them."""

    @property
    def prediction_type(self) -> str:
        """What the denoiser says: "epsilon", "v_prediction" or "flow"."""
        return self.identity.prediction_type

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all weights in use."""
        return _joined(self.identity.model_hash, self.identity.vae_hash)

    @property
    def family(self) -> Family:
        """What sort of base model it is."""
        return self.identity.family

    @property
    def alphas_cumprod(self) -> Tensor:
        """Shape (timesteps,), float64 on the CPU: the share of signal power that a diffusion leaves at each timestep.

        Raises:
            AttributeError: it is a flow.
        """
        found: Tensor = self.process.alphas_cumprod  # type: ignore[attr-defined]
        return found

    @property
    def encoders(self) -> dict[str, nn.Module]:
        """The text encoders by part name, in the order in which the denoiser reads them."""
        parts = (encoder.part for encoder in self.family.text_encoders)
        return {part: found for part in parts if (found := getattr(self, part)) is not None}

    @property
    def text_encoders(self) -> dict[str, nn.Module]:
        """Those that can get a LoRA."""
        trained = {encoder.part for encoder in self.family.trained_encoders}
        return {part: encoder for part, encoder in self.encoders.items() if part in trained}

    @property
    def reading_config(self) -> dict[str, Any]:
        """What decides on how text is read: the denoiser's configuration and the pipeline's settings."""
        return {**self.settings, **self.unet.config}

    @property
    def reads_long(self) -> bool:
        """Whether it has a text encoder that is there for reading alone."""
        return bool(self._reader_parts)

    @property
    def kohya_names(self) -> Names:
        """How kohya calls its layers."""
        return Names.of(self.identity.family, self.unet.config)

    @property
    def latent_scale(self) -> int:
        """Pixels per latent along one side."""
        return self.family.functions.latents.scale(self.vae.config)

    @property
    def latent_channels(self) -> int:
        """Of latents."""
        made: int = self.unet.config.in_channels // self.family.denoiser.packing
        return made * self.family.functions.latents.patch**2

    def patches(self, height: int, width: int) -> int:
        """As how many tokens the denoiser reads latents of so many rows and columns; of a U-Net, each latent."""
        patch = self.family.functions.patch(self.unet.config)
        return (height // patch) * (width // patch)

    @torch.no_grad()
    def encode_image(self, pixels: Tensor) -> Tensor:
        """Scaled mean latents (n, 4, h, w) of RGB images (n, 3, height, width) in [-1, 1]."""
        self.residency.use("vae", [self.vae])
        return autoencoding.encode(self.vae, pixels, self.residency.limits, self.family.functions.latents)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """RGB images (n, 3, height, width) in [0, 1] from latents; NaN stays NaN."""
        self.residency.use("vae", [self.vae])
        return autoencoding.decode(self.vae, latents, self.residency.limits, self.family.functions.latents)

    @property
    def _reader_parts(self) -> list[str]:
        """The text encoders that are in memory for reading alone."""
        return [encoder.part for encoder in self.family.text_encoders if not encoder.trained]

    def bring_readers(self) -> None:
        """Loads those text encoders that are in memory for reading alone."""
        if any(getattr(self, part) is None for part in self._reader_parts):
            for part, encoder in self.load_readers().items():
                setattr(self, part, encoder if self.residency.moves else encoder.to(self.device))

    def _let_readers_go(self) -> None:
        if self.keeps_readers or self.load_readers is dict:
            return
        if all(getattr(self, part) is None for part in self._reader_parts):
            return
        if self.residency.moves:
            for encoder in self.text_encoders.values():
                encoder.to(REST)
        self.residency.forget("text")
        for part in self._reader_parts:
            setattr(self, part, None)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def keep_text(self, wanted: bool) -> None:
        """Whether the text encoders stay in memory and on the device, since every step needs them."""
        self.keeps_readers = wanted
        if wanted:
            self.bring_readers()
            self.residency.use("text", tuple(self.encoders.values()))
            self.residency.keep("text")
        else:
            self.residency.release("text")

    def encode_text(
        self,
        captions: Sequence[str],
        clip_skips: Sequence[int],
        rules: PromptRules = PLAIN,
        again: Within | None = None,
    ) -> Conditioning:
        """What the text encoders say of n captions.

        Runs with gradients where they are enabled, and under the bank's rows where the caller set them; those rows
        as a context, ``again``, let activations be computed again in the backward pass instead of being kept.

        Raises:
            BaseModelError: a clip skip is asked of a family that has none.
        """
        if not self.family.clip_skip and any(skip != 1 for skip in clip_skips):
            raise BaseModelError(
                f"base.clip_skip: {self.family.title} ignores it; leave it out, or set it to 1."
            )
        self.bring_readers()
        self.residency.use("text", tuple(self.encoders.values()), alone=True)
        readers = {
            part: TextReader(getattr(self, part.replace("text_encoder", "tokenizer")), encoder)
            for part, encoder in self.encoders.items()
        }
        reading = TextReading(
            readers, captions, clip_skips, rules, self.reading_config, self.dtype, self.device
        )
        read = partial(self.family.functions.read, reading)
        return (read() if again is None else recomputed(read, again)).shortened

    def numbers(self, framings: Sequence[Framing], guidances: Sequence[float]) -> Tensor | None:
        """What the denoiser is told of n pictures beside their text: shape (n, k), float32, on the device.

        SDXL's are the six sizes of each; FLUX.1 dev's is the guidance. None where it is told nothing.

        Args:
            framings: how each was cut.
            guidances: of each.
        """
        told, config = self.family.functions.numbers, self.unet.config
        rows = [told(config, *facts) for facts in zip(framings, guidances, strict=True)]
        return torch.tensor(rows, dtype=torch.float32).to(self.device) if rows and rows[0] else None

    def predict(
        self, inputs: Tensor, timesteps: Tensor, text: Conditioning, numbers: Tensor | None
    ) -> Tensor:
        """What the denoiser says of noisy latents (n, channels, h, w): noise, v or a flow's direction, same shape.

        Args:
            inputs: noisy latents in the base's number format.
            timesteps: shape (n,), or one for all.
            text: n rows.
            numbers: as ``numbers`` gives them.
        """
        self._let_readers_go()
        self.residency.use("unet", [self.unet])
        self.residency.keep("unet")
        return self.family.functions.predict(self.unet, inputs, timesteps, text, numbers)


def load(
    base: BasePlan | Path,
    precision: Precision = "no",
    device: torch.device | None = None,
    attention: Attention = "sdpa",
    offload: Offload = "auto",
    prepare: Callable[[BaseModel], BaseModel] = lambda base: base,
) -> BaseModel:
    """Loads a base model, offline where it lies on this disk, safetensors only.

    Args:
        base: which, or just where it lies.
        precision: number format of U-Net and text encoders.
        device: where it will run; None takes CUDA where there is one.
        attention: how the U-Net's attention is computed.
        offload: whether networks that idle leave the device.
        prepare: changes its weights before they are put on the device.

    Raises:
        BaseModelError: with what is wrong and what to do.
    """
    source = _found(base)
    loading.check_transformer(source)
    device = device or device_for("auto")
    dtype = DTYPES[precision]
    try:
        networks = loading.load(source, dtype)
        config, process = source.family.functions.process(
            source.configs, source.prediction_type, source.zero_terminal_snr
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        where = source.file or source.transformer or source.configs
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BaseModelError(f"{where}: the base model cannot be loaded: {reason}") from error
    _check_latents(networks, source.family)
    autoencoding.settle(networks.vae, dtype)
    for network in networks.all:
        network.requires_grad_(False).eval()
    readers = loading.readers(source)
    waiting = sum(file.stat().st_size for each in readers for file in find.in_use(source.configs / each.part))
    residency = Residency(device, leave(offload, device, networks.bytes + waiting))
    ready = prepare(
        BaseModel(
            identity=_identity(source),
            vae=networks.vae,
            unet=networks.unet,
            schedule_config=config,
            process=process,
            device=device,
            dtype=dtype,
            residency=residency,
            settings=source.settings,
            load_readers=partial(loading.text_encoders, source, readers, dtype) if readers else dict,
            **networks.tokenizers,
            **networks.text_encoders,
        )
    )
    residency.use("unet", [networks.unet])
    loading.place(networks, device, attention, residency.moves, source.family.denoiser.channels_last)
    return ready


def check(base: BasePlan | Path) -> None:
    """Whether there is a base model that can be trained; loads no weights.

    Raises:
        BaseModelError: there is none, or its separate transformer is not the one that its folder describes.
    """
    loading.check_transformer(_found(base))


def family(base: BasePlan | Path) -> Family:
    """Which family the base model belongs to; loads no weights.

    Raises:
        BaseModelError: there is no base model.
    """
    return _found(base).family


def size_step(base: BasePlan | Path) -> int:
    """Image sides must be multiples of this many pixels, so that every level of VAE and U-Net halves evenly.

    Read from the configuration alone; 64 for SD 1.x and 2.x, 32 for SDXL.

    Raises:
        BaseModelError: a configuration is missing or broken.
    """
    return find.side_step(_found(base))


def tokenizer(base: BasePlan | Path) -> Any:
    """The base model's first tokenizer; loads no weights.

    Raises:
        BaseModelError: there is no base model.
    """
    return loading.tokenizer(_found(base))


def fingerprint(base: BasePlan | Path) -> str:
    """SHA-256 over the names and contents of the weight files in use."""
    source = _found(base)
    return _joined(find.model_hash(source), find.vae_hash(source))


def device_for(wanted: Device) -> torch.device:
    """The device that ``compute.device`` names.

    Raises:
        BaseModelError: it is not there.
    """
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise BaseModelError(
            "compute.device = 'cuda', but PyTorch finds no CUDA device; install a CUDA build of PyTorch, "
            "or choose 'auto' or 'cpu'."
        )
    return torch.device("cuda" if there and wanted != "cpu" else "cpu")


def _plan(base: BasePlan | Path) -> BasePlan:
    return base if isinstance(base, BasePlan) else BasePlan(path=base)


def _found(base: BasePlan | Path) -> Source:
    return find.find(_plan(base))


def _identity(source: Source) -> Identity:
    return Identity(
        source.family,
        source.prediction_type,
        source.zero_terminal_snr,
        find.model_hash(source),
        find.vae_hash(source),
    )


def _joined(model: str, vae: str | None) -> str:
    return model if vae is None else hashlib.sha256(f"{model} {vae}".encode()).hexdigest()


def _check_latents(networks: loading.Networks, family: Family) -> None:
    made, read = find.made_channels(networks.vae.config), networks.unet.config.in_channels
    packing, network = family.denoiser.packing, "transformer" if family.flows else "U-Net"
    if made * packing != read:
        raise BaseModelError(
            f"base.vae makes {made} latent channels, but the {network} reads {read // packing}; choose another."
        )
