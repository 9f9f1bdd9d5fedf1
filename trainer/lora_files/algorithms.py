"""What the layers of a file make of the base model's weights, algorithm by algorithm (pure).

LyCORIS' functions compute what they can. Its modules are not asked: those of version 4.1.3 scale LoHa and LoKr twice,
and know neither DoRA on the input axis nor LoKr's Tucker cores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.lora_files.layers import LoraFileError, number

Tensors = Mapping[str, Tensor]
"""A layer's tensors by name."""
_COMMON = {"alpha", "dora_scale", "magnitude", "scalar", "diff_b"}
"""Names that stand beside those of any algorithm."""
_SINGLE = ("alpha", "on_input", "scalar")
"""Tensors of one number."""


@dataclass(frozen=True, slots=True)
class Algorithm:
    """How one algorithm changes a weight."""

    title: str
    marks: tuple[str, ...]
    """Tensors that tell it, any of them."""
    names: tuple[str, ...]
    """Its other tensors."""
    change: Callable[[Tensors, Tensor], Tensor]
    """From tensors and frozen weight to the difference; KeyError if a tensor is missing."""
    ranked: tuple[str, ...] = ()
    """Tensors whose first side is the rank; a layer has one of them."""


def of(layer: str, tensors: Tensors) -> Algorithm:
    """The algorithm of a layer.

    Args:
        layer: its name, for the error.
        tensors: by name.

    Raises:
        LoraFileError: none has such tensors.
    """
    for algorithm in _ALGORITHMS:
        known = {*algorithm.marks, *algorithm.names, *_COMMON}
        if not tensors.keys().isdisjoint(algorithm.marks) and tensors.keys() <= known:
            return algorithm
    raise LoraFileError(f"{layer}: no algorithm has the tensors {', '.join(sorted(tensors))} in one layer")


def difference(
    layer: str, tensors: Tensors, weight: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """What a layer's tensors add to its frozen weight and bias.

    Args:
        layer: its name, for errors.
        tensors: by name.
        weight: the frozen weight, of a Linear (outputs, inputs), a Conv2d (outputs, inputs, h, w) or a norm (width,).
        bias: the frozen bias, if there is one: PEFT's IA3 multiplies it, too.

    Returns:
        The differences of weight, in its shape, and of bias, if any, both in float32.

    Raises:
        LoraFileError: no algorithm has such tensors, one is missing, or they do not fit the layer.
    """
    algorithm = of(layer, tensors)
    own = _numbers(layer, tensors)
    weight = weight.detach().float().cpu()
    try:
        if algorithm.ranked:
            _shaped(algorithm.change(_unfilled(own), weight.to("meta")), weight)
        change = _shaped(algorithm.change(own, weight), weight)
        if "scalar" in own:
            change = change * own["scalar"]
        if "dora_scale" in own or "magnitude" in own:
            change = _decomposed(own, weight + change) - weight
        bias = _bias(own, weight, bias)
    except KeyError as error:
        raise LoraFileError(
            f"{layer}: the file holds {', '.join(sorted(tensors))}, but not {error.args[0]}, which belongs to "
            f"{algorithm.title}; save or download it again"
        ) from error
    except (RuntimeError, ValueError, IndexError, NotImplementedError) as error:
        raise _unfit(layer, tensors, weight) from error
    if not all(bool(torch.isfinite(found).all()) for found in (change, bias) if found is not None):
        raise LoraFileError(f"{layer}: its weights are not finite")
    return change, bias


def rank(layer: str, tensors: Tensors) -> int:
    """The rank of a layer's factors, 1 where it has none."""
    found = [tensors[name].shape for name in of(layer, tensors).ranked if name in tensors]
    return found[0][0] if found and found[0] else 1


def _numbers(layer: str, tensors: Tensors) -> dict[str, Tensor]:
    """All in float32 on the CPU."""
    for name, value in tensors.items():
        if name in _SINGLE:
            number(f"{layer}.{name}", value)
        elif not value.is_floating_point():
            kind = str(value.dtype).removeprefix("torch.")
            raise LoraFileError(f"{layer}: {name} is in {kind}, no floating type; save it again in float16")
        elif not value.ndim or not value.numel():
            raise LoraFileError(
                f"{layer}: {name} has the shape {tuple(value.shape)}; save or download it again"
            )
    return {name: value.float().cpu() for name, value in tensors.items()}


def _unfilled(tensors: Tensors) -> dict[str, Tensor]:
    """The same without numbers: factors whose product would fill the memory are found to be unfit before that."""
    return {name: value if name == "alpha" else value.to("meta") for name, value in tensors.items()}


def _scale(tensors: Tensors, ranked: str) -> float:
    """alpha / rank; 1 without an alpha."""
    size = tensors[ranked].shape[0]
    return float(tensors.get("alpha", torch.tensor(size))) / size


def _shaped(change: Tensor, weight: Tensor) -> Tensor:
    """In the weight's shape; a convolution's kernel may lie flat."""
    if change.reshape(len(change), -1).shape != weight.reshape(len(weight), -1).shape:
        raise ValueError(f"a difference of shape {tuple(change.shape)}")
    return change.reshape(weight.shape)


def _decomposed(tensors: Tensors, merged: Tensor) -> Tensor:
    """DoRA (Liu et al. 2024, eq. 5): every output's or every input's weights get the norm that the file says.

    PEFT knows outputs alone; LyCORIS and OneTrainer have both, told apart by the side that is not 1.
    """
    from lycoris.functional.general import weight_decompose

    outputs = (len(merged), *(1 for _ in merged.shape[1:]))
    if "magnitude" in tensors:
        norms = tensors["magnitude"].reshape(outputs)
    else:
        norms = tensors["dora_scale"]
        norms = norms.reshape(outputs) if norms.ndim == 1 else norms.reshape(*norms.shape[:2], *outputs[2:])
    if norms.shape not in (outputs, (1, merged.shape[1], *outputs[2:])):
        raise ValueError(f"norms of shape {tuple(norms.shape)}")
    decomposed: Tensor = weight_decompose(merged, norms, 1, norms.shape == outputs)
    return decomposed


def _bias(tensors: Tensors, weight: Tensor, frozen: Tensor | None) -> Tensor | None:
    found = [tensors[name] for name in ("diff_b", "b_norm") if name in tensors]
    if "ia3_l" in tensors and frozen is not None and not bool(tensors["on_input"]):
        found.append(frozen.detach().float().cpu() * (tensors["ia3_l"] - 1))
    if "lora_up.bias" in tensors:
        found.append(tensors["lora_up.bias"] * _scale(tensors, "lora_down.weight"))
    return torch.stack([value.reshape(len(weight)) for value in found]).sum(0) if found else None


def _unfit(layer: str, tensors: Tensors, weight: Tensor) -> LoraFileError:
    shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in sorted(tensors.items()))
    return LoraFileError(
        f"{layer}: {shapes} do not fit the base model's weight {tuple(weight.shape)}; was it made for another base?"
    )


def _locon(tensors: Tensors, _weight: Tensor) -> Tensor:
    from lycoris.functional.locon import diff_weight

    down, up = tensors["lora_down.weight"], tensors["lora_up.weight"]
    change: Tensor = diff_weight(
        down, up, tensors.get("lora_mid.weight"), gamma=_scale(tensors, "lora_down.weight")
    )
    return change


def _loha(tensors: Tensors, _weight: Tensor) -> Tensor:
    from lycoris.functional.loha import diff_weight

    factors = [tensors[f"hada_{name}"] for name in ("w1_b", "w1_a", "w2_b", "w2_a")]
    tucker = "hada_t1" in tensors or "hada_t2" in tensors
    cores = [tensors[f"hada_{name}"] if tucker else None for name in ("t1", "t2")]
    change: Tensor = diff_weight(*factors, *cores, gamma=torch.tensor(_scale(tensors, "hada_w1_b")))
    return change


def _lokr(tensors: Tensors, _weight: Tensor) -> Tensor:
    """Scaled once; two whole matrices are not scaled, whatever alpha says."""
    from lycoris.functional.lokr import kron_weight

    small, large = _halves(tensors, "lokr_w1"), _halves(tensors, "lokr_w2")
    factored = next((name for name in ("lokr_w2_b", "lokr_w1_b") if name in tensors), None)
    scale = 1.0 if factored is None else _scale(tensors, factored)
    change: Tensor = kron_weight(*small, *large, tensors.get("lokr_t2"), scale=scale)
    return change


def _halves(tensors: Tensors, name: str) -> tuple[Tensor | None, ...]:
    """A matrix, whole or as two factors: one of both is None."""
    if name in tensors:
        return tensors[name], None, None
    return None, tensors[f"{name}_a"], tensors[f"{name}_b"]


def _glora(tensors: Tensors, weight: Tensor) -> Tensor:
    """(W A + B) alpha / rank (Chavan et al. 2023), A = a1 a2, B = b1 b2; files of LyCORIS 1 have them the other way."""
    order = ("1", "2") if len(tensors["a1.weight"]) == weight.shape[1] else ("2", "1")
    first, then, left, right = (tensors[f"{part}{i}.weight"].flatten(1) for part in "ab" for i in order)
    moved = torch.einsum("oi...,ij->oj...", weight, first @ then)
    return _scale({**tensors, "rank": then}, "rank") * (_shaped(left @ right, weight) + moved)


def _oft(tensors: Tensors, weight: Tensor) -> Tensor:
    """Blocks of three sides rotate outputs (Qiu et al. 2023), of four in stages (BOFT, Liu et al. 2023)."""
    from lycoris.functional import boft, diag_oft

    blocks = tensors["oft_blocks"]
    constraint = float(tensors.get("alpha", torch.tensor(0.0))) * len(weight)
    compute = boft.diff_weight if blocks.ndim == 4 else diag_oft.diff_weight
    change: Tensor = compute(weight, blocks, tensors.get("rescale"), constraint=constraint)
    return change


def _ia3(tensors: Tensors, weight: Tensor) -> Tensor:
    side = 1 if bool(tensors["on_input"]) else 0
    factors = tensors["weight"].flatten()
    return weight * factors.reshape(*(-1 if i == side else 1 for i in range(weight.ndim)))


def _scaled_sides(tensors: Tensors, weight: Tensor) -> Tensor:
    """PEFT's IA3: each output or each input times its factor."""
    side = 1 if bool(tensors["on_input"]) else 0
    factors = tensors["ia3_l"].flatten() - 1
    return weight * factors.reshape(*(-1 if i == side else 1 for i in range(weight.ndim)))


def _turned_inputs(tensors: Tensors, weight: Tensor) -> Tensor:
    """PEFT's OFT and BOFT: W R^T with R in blocks, one for all inputs or one for each stretch of them."""
    flat, blocks = weight.flatten(1), tensors["input_blocks"]
    stretches = flat.reshape(len(flat), -1, blocks.shape[1])
    turned = torch.einsum("okb,kcb->okc", stretches, blocks.expand(stretches.shape[1], -1, -1)).flatten(1)
    if "output_factors" in tensors:
        turned = turned * tensors["output_factors"][:, None]
    return turned - flat


def _whole(tensors: Tensors, weight: Tensor) -> Tensor:
    return tensors["diff"] if "diff" in tensors else torch.zeros_like(weight)


def _of_peft(tensors: Tensors, _weight: Tensor) -> Tensor:
    raise KeyError("adapter_config.json")


def _norm(tensors: Tensors, _weight: Tensor) -> Tensor:
    return tensors["w_norm"]


_ALGORITHMS = (
    Algorithm(
        "DoRA",
        ("dora_scale", "magnitude"),
        ("lora_down.weight", "lora_up.weight", "lora_mid.weight"),
        _locon,
        ("lora_down.weight",),
    ),
    Algorithm(
        "LoRA",
        ("lora_down.weight", "lora_up.weight"),
        ("lora_mid.weight", "lora_up.bias"),
        _locon,
        ("lora_down.weight",),
    ),
    Algorithm(
        "LoHa",
        ("hada_w1_a",),
        tuple(f"hada_{name}" for name in ("w1_b", "w2_a", "w2_b", "t1", "t2")),
        _loha,
        ("hada_w1_b",),
    ),
    Algorithm(
        "LoKr",
        ("lokr_w1", "lokr_w1_a"),
        tuple(f"lokr_{name}" for name in ("w1_b", "w2", "w2_a", "w2_b", "t2")),
        _lokr,
        ("lokr_w2_b", "lokr_w1_b"),
    ),
    Algorithm(
        "GLoRA",
        ("a1.weight",),
        tuple(f"{name}.weight" for name in ("a2", "b1", "b2")),
        _glora,
        ("a2.weight",),
    ),
    Algorithm("OFT", ("oft_blocks",), ("rescale",), _oft),
    Algorithm("IA3", ("on_input",), ("weight",), _ia3),
    Algorithm("IA3", ("ia3_l",), ("on_input",), _scaled_sides),
    Algorithm("OFT", ("input_blocks",), ("output_factors",), _turned_inputs),
    Algorithm("OFT", ("oft_R", "boft_R", "boft_s"), (), _of_peft),
    Algorithm("differences of a normalisation layer", ("w_norm",), ("b_norm",), _norm),
    Algorithm("whole differences", ("diff", "diff_b"), (), _whole),
)
"""The first that has a layer's tensors is taken."""
