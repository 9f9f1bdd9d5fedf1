"""Where a base model lies and what it is, found without loading it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from trainer.bases import checkpoint_header, families, hub
from trainer.bases.errors import BaseModelError
from trainer.bases.family import Family, TextEncoder, of_width
from trainer.plans.base import BasePlan
from trainer.tensor_header import CONVERT, PICKLES


@dataclass(frozen=True, slots=True)
class Source:
    """A base model on disk."""

    family: Family
    configs: Path
    """Folder with the configuration of each part; of a diffusers folder, the folder itself."""
    file: Path | None
    """The single file that holds the weights; None: they lie in ``configs``."""
    vae: Path | None
    """A separate VAE: a folder or a file."""
    prediction_type: str
    zero_terminal_snr: bool
    transformer: Path | None = None
    """A separate transformer in a single file."""

    @property
    def weights(self) -> list[Path]:
        """The files that hold the weights in use, but for a separate VAE's or transformer's."""
        if self.file is not None:
            return [self.file]
        own = () if self.transformer else (self.family.denoiser.part,)
        parts = (*own, "vae", *(encoder.part for encoder in self.encoders))
        return sorted(file for part in parts for file in in_use(self.configs / part))

    @property
    def encoders(self) -> tuple[TextEncoder, ...]:
        """The text encoders that it has; a single file lacks those that are optional."""
        folders = self.configs if self.file is None else None
        return tuple(
            encoder
            for encoder in self.family.text_encoders
            if not encoder.optional
            or (folders is not None and (folders / encoder.part / "config.json").is_file())
        )

    @property
    def denoiser_config(self) -> dict[str, Any]:
        """That of the network that removes noise."""
        return _config(self.configs / self.family.denoiser.part / "config.json")

    @property
    def settings(self) -> dict[str, Any]:
        """What the pipeline says of itself beside its parts, such as ``is_distilled``."""
        index = _config(self.configs / "model_index.json")
        return {
            name: value for name, value in index.items() if name[0] != "_" and name not in self.family.parts
        }

    @property
    def distilled(self) -> bool | None:
        """Whether it is made for few steps without guidance, if it says so; None: it says nothing."""
        return self.settings.get("is_distilled")

    @property
    def vae_config(self) -> dict[str, Any]:
        """That of the autoencoder; of one that comes in a single file, the family's own."""
        separate = self.vae if self.vae is not None and self.vae.is_dir() else None
        return _config((separate or self.configs / "vae") / "config.json")


def find(plan: BasePlan) -> Source:
    """Looks a base model up; reads configurations and headers, no weights.

    Raises:
        BaseModelError: with what is wrong and what to do.
    """
    path = plan.path
    if path.suffix.lower() in PICKLES and not path.is_dir():
        raise BaseModelError(
            f"{path}: base.path: pickle checkpoints can run code and are refused; {CONVERT}."
        )
    if path.is_file():
        found = _file(path)
    elif path.exists() or not hub.is_name(path):
        found = _folder(path, plan.transformer is not None)
    else:
        parts = dict.fromkeys(part for each in families.FAMILIES.values() for part in each.parts)
        found = _folder(hub.fetch(path.as_posix(), tuple(parts), _complete))
    return _as_asked(plan, found)


def family_of(name: str) -> Family:
    """What a hub model's name suggests: the latest family with a word in it, or else the oldest."""
    oldest, *later = families.FAMILIES.values()
    suggested = (each for each in reversed(later) if any(word in name.lower() for word in each.hub_words))
    return next(suggested, oldest)


def side_step(source: Source) -> int:
    """Image sides must be multiples of this many pixels, so that every level of VAE and U-Net halves evenly."""
    functions = source.family.functions
    return functions.latents.scale(source.vae_config) * functions.side(source.denoiser_config)


def native_side(source: Source) -> int:
    """The side of the pictures that a base model was made for, in pixels."""
    size = int(source.denoiser_config.get("sample_size") or source.family.sample_size)
    return size * source.family.functions.latents.scale(source.vae_config)


def file_hash(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal; of an unchanged file it is computed once."""
    facts = file.stat()
    return _hashed(file, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=256)
def _hashed(file: Path, size: int, changed: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def model_hash(source: Source) -> str:
    """SHA-256 of a single file, or over names and contents of a folder's weight files and a separate transformer's."""
    if source.file is not None:
        return file_hash(source.file)
    found = joint_hash(source.configs, source.weights)
    if source.transformer is None:
        return found
    return hashlib.sha256(f"{found} {file_hash(source.transformer)}".encode()).hexdigest()


def vae_hash(source: Source) -> str | None:
    """The same of a separate VAE; None where there is none."""
    if source.vae is None:
        return None
    if source.vae.is_file():
        return file_hash(source.vae)
    return joint_hash(source.vae, in_use(source.vae))


def variant(folder: Path) -> str | None:
    """``fp16`` where a part's weights come in that precision only."""
    names = [file.name for file in folder.glob("*.safetensors")]
    return "fp16" if names and all(".fp16." in name or ".fp16-" in name for name in names) else None


def joint_hash(root: Path, files: list[Path]) -> str:
    """SHA-256 over the names, relative to a folder, and the contents of files in it."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(root).as_posix().encode())
        digest.update(bytes.fromhex(file_hash(file)))
    return digest.hexdigest()


def in_use(folder: Path) -> list[Path]:
    """The weight files of a part that diffusers would load."""
    half = variant(folder) is not None
    return sorted(
        file
        for file in folder.glob("*.safetensors")
        if "non_ema" not in file.name and (half or ".fp16" not in file.name)
    )


def _file(path: Path) -> Source:
    if path.suffix != ".safetensors":
        raise BaseModelError(
            f"{path}: this is no base model; base.path wants a diffusers folder, a hub name or a .safetensors file."
        )
    tensors = checkpoint_header.shapes(path)
    family = checkpoint_header.family(tensors, path)
    prediction = (
        "v_prediction"
        if checkpoint_header.said_to_predict_v(tensors)
        else _prediction(family, family.configs)
    )
    terminal = checkpoint_header.said_to_end_in_noise(tensors)
    return Source(family, family.configs, path, None, prediction, terminal)


def _folder(path: Path, without: bool = False) -> Source:
    """A diffusers folder; its transformer may be ``without`` weights, where another one replaces it."""
    index = path / "model_index.json"
    if not index.is_file():
        raise BaseModelError(
            f"{path}: there is no base model here; base.path must be a diffusers folder that holds "
            "model_index.json and tokenizer, text_encoder, vae, unet (or transformer), scheduler, a single "
            ".safetensors file, or a hub name such as organisation/model."
        )
    candidates = _rendering_with(_config(index).get("_class_name"), index)
    oldest = candidates[0]
    for part in oldest.parts:
        folder = path / part
        if not folder.is_dir():
            if part not in oldest.needed:
                continue
            raise BaseModelError(f"{path}: the base model lacks the folder {part}/; download it again.")
        own = part == oldest.denoiser.part and not without
        if own or part == "vae" or part.startswith("text_encoder"):
            _check_weights(folder)
    unet = _config(path / oldest.denoiser.part / "config.json")
    _check_channels(path, oldest, unet)
    linear = bool(unet.get("use_linear_projection"))
    alike = [family for family in candidates if family.linear_projection == linear]
    family = of_width(alike or candidates, unet.get("cross_attention_dim"))
    schedule = _config(path / "scheduler" / "scheduler_config.json")
    terminal = bool(schedule.get("rescale_betas_zero_snr"))
    return Source(family, path, None, None, _prediction(family, path), terminal)


def _check_channels(path: Path, family: Family, denoiser: dict[str, Any]) -> None:
    """Whether the denoiser reads latents alone, and no picture to be changed beside them."""
    own, network = family.denoiser, "transformer" if family.flows else "U-Net"
    made = family.latent_channels or made_channels(_config(path / "vae" / "config.json"))
    if denoiser.get("in_channels") != made * own.packing:
        raise BaseModelError(
            f"{path}: this {network} takes {denoiser.get('in_channels')} channels (inpainting or editing models do), "
            f"but a base model must take {made * own.packing}."
        )


def made_channels(vae: Mapping[str, Any]) -> int:
    """Channels of the latents that an autoencoder makes, by its configuration."""
    return int(vae.get("latent_channels") or vae.get("z_dim") or 0)


def _rendering_with(pipeline: object, index: Path) -> list[Family]:
    """The families of a pipeline, which all have the same parts."""
    known: dict[object, list[Family]] = {}
    for family in families.FAMILIES.values():
        known.setdefault(family.pipeline, []).append(family)
    if pipeline not in known:
        choices = " or ".join(f"{choice} ({_titles(those)})" for choice, those in known.items())
        raise BaseModelError(f"{index}: _class_name must be {choices}, but got {pipeline!r}.")
    return known[pipeline]


def _titles(those: Sequence[Family]) -> str:
    """``SD 1.x or 2.x``: a first word that all begin with is said once."""
    first, *others = (family.title for family in those)
    word = first.partition(" ")[0] + " "
    return " or ".join([first, *(title.removeprefix(word) for title in others)])


def _check_weights(folder: Path) -> None:
    """Whole safetensors files, and no index that leads to others."""
    files = in_use(folder)
    if not files:
        pickles = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in PICKLES)
        beside = f", only {pickles[0]}; pickled weights can run code and are refused" if pickles else ""
        raise BaseModelError(f"{folder}: there is no .safetensors file{beside}; {CONVERT}.")
    for file in files:
        checkpoint_header.shapes(file)
    for index in sorted(folder.glob("*.safetensors.index*.json")):
        named = _config(index).get("weight_map")
        parts = set(map(str, named.values())) if isinstance(named, dict) else {""}
        for part in sorted(parts):
            if Path(part).name != part or not part.endswith(".safetensors"):
                raise BaseModelError(
                    f"{index}: weight_map names {part!r}, but may name .safetensors files of this folder only; "
                    "download the model again."
                )


def _complete(folder: Path) -> bool:
    try:
        _folder(folder)
    except BaseModelError:
        return False
    return True


def _as_asked(plan: BasePlan, found: Source) -> Source:
    prediction, possible = plan.prediction_type or found.prediction_type, found.family.predictions
    if prediction not in possible:
        if plan.prediction_type:
            raise BaseModelError(
                f"base.prediction_type = {prediction!r}: {found.family.title} predicts {possible[0]!r}; leave it out."
            )
        raise BaseModelError(
            f"{plan.path}: the base predicts {prediction!r}, which cannot be trained; "
            f"choose among: {', '.join(possible)}."
        )
    if found.family.flows and plan.zero_terminal_snr:
        raise BaseModelError(
            f"base.zero_terminal_snr = true: {found.family.title} ends in pure noise anyway; leave it out."
        )
    terminal = found.zero_terminal_snr if plan.zero_terminal_snr is None else plan.zero_terminal_snr
    if terminal and prediction != "v_prediction":
        raise BaseModelError(
            "base.zero_terminal_snr = true needs v-prediction, because pure noise says nothing about itself; "
            "set base.prediction_type = 'v_prediction' if the base was trained so, or leave it out."
        )
    return replace(
        found,
        vae=_vae(plan.vae),
        transformer=_transformer(plan.transformer, found.family),
        prediction_type=prediction,
        zero_terminal_snr=terminal,
    )


def _transformer(path: Path | None, family: Family) -> Path | None:
    if path is None:
        return None
    if path.suffix.lower() in PICKLES:
        raise BaseModelError(
            f"{path}: base.transformer: pickled weights can run code and are refused; {CONVERT}."
        )
    if not family.denoiser.mark:
        raise BaseModelError(f"base.transformer = {str(path)!r}: {family.title} has a U-Net; leave it out.")
    if not path.is_file():
        raise BaseModelError(
            f"{path}: base.transformer: there is no such file; it wants a .safetensors file."
        )
    held = checkpoint_header.transformer(checkpoint_header.shapes(path), path)
    if held != family:
        raise BaseModelError(
            f"{path}: base.transformer holds the transformer of {held.title}, but base.path is {family.title}."
        )
    return path


def _vae(path: Path | None) -> Path | None:
    if path is None:
        return None
    if path.suffix.lower() in PICKLES and not path.is_dir():
        raise BaseModelError(f"{path}: base.vae: pickled weights can run code and are refused; {CONVERT}.")
    if path.is_file():
        if not any(name.endswith("encoder.conv_in.weight") for name in checkpoint_header.shapes(path)):
            raise BaseModelError(
                f"{path}: there is no VAE in this file; base.vae wants one, or a diffusers folder."
            )
        return path
    if not (path / "config.json").is_file():
        raise BaseModelError(
            f"{path}: there is no VAE here; base.vae wants a diffusers folder with config.json, or a .safetensors file."
        )
    _check_weights(path)
    return path


def _prediction(family: Family, configs: Path) -> str:
    """What a scheduler says, where a family has a choice."""
    only, *others = family.predictions
    config = _config(configs / "scheduler" / "scheduler_config.json")
    return str(config.get("prediction_type", only)) if others else only


def _config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("it holds no table")
    except ValueError as error:
        raise BaseModelError(f"{file}: this is not valid JSON ({error}); restore the file.") from error
    except OSError as error:
        raise BaseModelError(f"{file}: this configuration cannot be read ({error}); restore it.") from error
    return config
