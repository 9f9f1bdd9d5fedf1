"""What a LoRA file holds of a base model's layers, whoever wrote it (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainer.lora_files import spelling
from trainer.lora_files.algorithms import Tensors, of, rank
from trainer.lora_files.kohya import Names
from trainer.lora_files.layers import Layers, LoraFileError, number, pair

_EMBEDDING = "bundle_emb."
"""OneTrainer's keys of textual inversions that it bundles with a LoRA: ``bundle_emb.<name>.<encoder>``."""
_FACTORS = {"lora_down.weight": "down", "lora_up.weight": "up"}
_NORMS = {"dora_scale", "magnitude"}
_PLAIN = {*_FACTORS, "lora_mid.weight", "alpha"}
_MOST_KERNEL = 7
"""Side of a Tucker core's kernel; the U-Nets have 3."""
_SHOWN = 3
_LONGEST = 120
"""Letters of a stranger's key that are shown."""


@dataclass(frozen=True, slots=True)
class Content:
    """A file's layers by the bank's names."""

    low_rank: Layers
    others: Mapping[str, Tensors]
    """Layers of other algorithms."""
    embeddings: tuple[str, ...] = ()
    """Names of textual inversions in the file, which are not read."""

    def __len__(self) -> int:
        return len(self.low_rank) + len(self.others)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all layers."""
        return *self.low_rank, *self.others

    @property
    def rank(self) -> int:
        """The largest of all layers."""
        ranks = [layer.rank for layer in self.low_rank.values()]
        ranks += [rank(layer, tensors) for layer, tensors in self.others.items()]
        return max(ranks, default=0)


def embeddings(keys: Iterable[str]) -> tuple[str, ...]:
    """Names of the textual inversions that a file bundles."""
    return tuple(sorted({key.split(".")[1] for key in keys if key.startswith(_EMBEDDING)}))


def gather(tensors: Mapping[str, Tensor], names: Names, known: Iterable[str]) -> dict[str, Tensors]:
    """A file's tensors, layer by layer, under the names that ``spelling`` gives them; without embeddings.

    Args:
        tensors: by the file's keys.
        names: how kohya calls the base model's layers.
        known: the layers of the base model, ``<part>.<path>``.

    Raises:
        LoraFileError: a key is not understood, or names a layer that the base model lacks; all are counted.
    """
    spelled = spelling.layers(names, known)
    read = {key: spelling.tensor(key, tensors) for key in tensors if not key.startswith(_EMBEDDING)}
    strange = [key for key, place in read.items() if place is None]
    lacking = [key for key, place in read.items() if place and place[0] not in spelled]
    for keys, what in ((strange, "are not understood"), (lacking, "name no layer of the base model")):
        if keys:
            raise LoraFileError(
                f"{len(keys)} of its {len(tensors)} keys {what} ({_shown(keys)}), and without them it would be "
                "another LoRA"
            )
    found: dict[str, dict[str, Tensor]] = {}
    for key, place in read.items():
        assert place is not None, "all keys are understood"
        layer = found.setdefault(spelled[place[0]], {})
        if place[1] in layer:
            raise LoraFileError(f"{_shown([key])} names a tensor that another key names, too")
        layer[place[1]] = tensors[key]
    return dict(found)


def parted(layers: Mapping[str, Tensors]) -> Content:
    """Plain LoRA apart from layers of other algorithms.

    Raises:
        LoraFileError: factors of a plain layer do not fit each other.
    """
    simple = {layer: tensors for layer, tensors in layers.items() if tensors.keys() <= _PLAIN}
    others = {layer: tensors for layer, tensors in layers.items() if layer not in simple}
    return Content(_paired(simple), others)


def plain(layers: Mapping[str, Tensors]) -> Layers:
    """The low-rank factors of a file that holds nothing else.

    Raises:
        LoraFileError: a layer is of another algorithm, or its factors do not fit each other.
    """
    found = parted(layers)
    for layer, tensors in found.others.items():
        raise LoraFileError(
            f"{layer} holds {of(layer, tensors).title}; only LoRA factors lora_down and lora_up can be read here"
        )
    return found.low_rank


def trainable(layers: Mapping[str, Tensors]) -> Layers:
    """``plain``, but layers may have DoRA's norms of outputs as well.

    Raises:
        LoraFileError: a layer is of another algorithm, or its factors do not fit each other.
    """
    norms = {layer: found for layer, tensors in layers.items() if (found := _norms(tensors)) is not None}
    bare = {
        layer: {name: value for name, value in tensors.items() if layer not in norms or name not in _NORMS}
        for layer, tensors in layers.items()
    }
    return {layer: replace(factors, magnitude=norms.get(layer)) for layer, factors in plain(bare).items()}


def _norms(tensors: Tensors) -> Tensor | None:
    """DoRA's norms of outputs, shape (outputs,); None where there are none, or such of inputs."""
    outputs = tensors["lora_up.weight"].shape[:1] if "lora_up.weight" in tensors else None
    for name in tensors.keys() & _NORMS:
        value = tensors[name]
        flat = value.flatten()
        if flat.shape == outputs and (name == "magnitude" or value.shape[:1] == outputs):
            return flat
    return None


def _paired(layers: Mapping[str, Tensors]) -> Layers:
    """Factors and alphas; a Tucker core becomes a part of A."""
    factors: dict[str, dict[str, Tensor]] = {}
    alphas: dict[str, float] = {}
    for layer, tensors in layers.items():
        factors[layer] = {_FACTORS[name]: tensors[name] for name in _FACTORS if name in tensors}
        if "lora_mid.weight" in tensors and "down" in factors[layer]:
            factors[layer]["down"] = _with_core(layer, tensors["lora_mid.weight"], factors[layer]["down"])
        if "alpha" in tensors:
            alphas[layer] = number(f"{layer}.alpha", tensors["alpha"])
    return pair(factors, alphas)


def _with_core(layer: str, core: Tensor, down: Tensor) -> Tensor:
    """(rank, rank, h, w) and (rank, inputs, 1, 1) -> (rank, inputs, h, w): what stands right of B in Tucker-2."""
    square = core.shape[:2] == (down.shape[:1] * 2) and core.ndim == 4 and max(core.shape[2:]) <= _MOST_KERNEL
    if not square or down.ndim != 4 or down.shape[2:] != (1, 1) or core.is_complex() or down.is_complex():
        raise LoraFileError(
            f"{layer}: lora_mid of shape {tuple(core.shape)} does not fit lora_down of {tuple(down.shape)}"
        )
    return torch.einsum("mnhw,ni->mihw", core.float(), down.flatten(1).float())


def _shown(keys: Sequence[str]) -> str:
    names = ", ".join(repr(key[:_LONGEST]) for key in keys[:_SHOWN])
    return names + (f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else "")
