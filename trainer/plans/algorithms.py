"""LyCORIS' algorithms: where they live, which arguments they take, and which ranks."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

_CLASSES = {
    "loha": ("loha", "LohaModule"),
    "lokr": ("lokr", "LokrModule"),
    "ia3": ("ia3", "IA3Module"),
    "diag-oft": ("diag_oft", "DiagOFTModule"),
    "boft": ("boft", "ButterflyOFTModule"),
    "full": ("full", "FullModule"),
    "glora": ("glora", "GLoRAModule"),
    "dylora": ("dylora", "DyLoraModule"),
}
_OURS = {
    "self", "lora_name", "org_module", "multiplier", "lora_dim", "alpha", "dropout", "rank_dropout",
    "module_dropout", "rank_dropout_scale", "bypass_mode", "use_scalar", "kwargs",
}  # fmt: skip
"""Arguments that plans name otherwise, or that training by presentation cannot honour."""
_IDLE = {
    "full": {"use_tucker"},
    "glora": {"use_tucker", "weight_decompose"},
    "dylora": {"use_tucker", "weight_decompose", "rs_lora", "train_on_input"},
}
"""Arguments that an algorithm takes and leaves unread."""
DYLORA_BLOCK = 4
"""Ranks that DyLoRA trains at a time, unless ``block_size`` says otherwise."""
NOT_OFFERED = {
    "norm": (
        "it is no algorithm of LyCORIS but train_norm, which trains normalisation layers beside one; "
        "the pack adapts Linear and convolution layers"
    ),
    "tlora": "its rank follows the timestep of each row, which LyCORIS keeps in one global place for all rows",
}
"""LyCORIS modules that a pack cannot hold, and why."""


def offered(name: object, choices: Sequence[str]) -> object:
    """The algorithm's name.

    Raises:
        ValueError: it is known, but not offered; the message says why.
    """
    if isinstance(name, str) and name in NOT_OFFERED:
        raise ValueError(f"{name!r} is not offered: {NOT_OFFERED[name]}; choose among: {', '.join(choices)}")
    return name


def argument_problems(tables: Mapping[str, Mapping[str, object]]) -> Iterator[str]:
    """What is wrong with the keyword arguments of the algorithms."""
    for name, arguments in tables.items():
        if name not in _CLASSES:
            yield (
                f"algorithm_args.{name}: there is no such algorithm with arguments; choose among: {', '.join(_CLASSES)}"
            )
            continue
        known = arguments_of(name)
        for key in arguments:
            if key not in known:
                yield (
                    f"algorithm_args.{name}.{key}: '{name}' takes no such argument; "
                    f"choose among: {', '.join(known)}"
                )


def arguments_of(algorithm: str) -> list[str]:
    """The keyword arguments that ``lora.algorithm_args`` may give to an algorithm."""
    known = inspect.signature(module_class(algorithm)).parameters.keys()
    return sorted(known - _OURS - _IDLE.get(algorithm, set()))


def rank_problems(ranks: Mapping[str, int], arguments: Mapping[str, Any]) -> Iterator[str]:
    """Which ranks DyLoRA cannot split into blocks.

    Args:
        ranks: plan field -> rank.
        arguments: DyLoRA's keyword arguments.
    """
    block = arguments.get("block_size", DYLORA_BLOCK)
    if not isinstance(block, int) or block < 1:
        yield f"algorithm_args.dylora.block_size must be a whole number of at least 1, but got {block}"
        return
    for field, rank in ranks.items():
        if rank % block:
            yield (
                f"{field} = {rank} must be a multiple of algorithm_args.dylora.block_size = {block} "
                "with algorithm = 'dylora'; change one of them"
            )


def divides(algorithm: str, rank: int, outputs: int) -> bool:
    """Whether an algorithm that turns blocks of outputs finds such in a layer: BOFT and OFT.

    BOFT wants blocks of an even size, of which there are 1, 2, 4, 8, ...; OFT changes nothing in blocks of one output.

    Args:
        algorithm: its name; others fit always.
        rank: the largest size of a block.
        outputs: of the layer.
    """
    from lycoris.functional import factorization, power2factorization

    if algorithm == "boft":
        return bool(power2factorization(outputs, rank)[1])
    return algorithm != "diag-oft" or factorization(outputs, rank)[0] > 1


def wholly_kept(rank: int, arguments: Mapping[str, Any], outputs: int, inputs: int) -> bool:
    """Whether LoKr keeps a layer's factors as whole matrices at a rank, so that rank and alpha mean nothing there.

    Args:
        rank: of the layer.
        arguments: LoKr's keyword arguments.
        outputs: of the layer.
        inputs: of the layer; channels of a convolution.
    """
    from lycoris.functional import factorization

    if arguments.get("full_matrix") or arguments.get("decompose_both"):
        return False
    factor = int(arguments.get("factor", -1))
    larger = 0 if arguments.get("unbalanced_factorization") else 1
    sides = factorization(outputs, factor)[larger], factorization(inputs, factor)[1]
    return bool(rank >= max(sides) / 2)


def smallest_rank(algorithm: str, outputs: Collection[int], most: int) -> int | None:
    """The smallest rank that divides layers of all these outputs; None where none up to ``most`` does."""
    ranks = range(1, most + 1)
    return next((rank for rank in ranks if all(divides(algorithm, rank, one) for one in outputs)), None)


def module_class(algorithm: str) -> Any:
    """LyCORIS' module of an algorithm; the library itself then only warns."""
    module, name = _CLASSES[algorithm]
    found = getattr(import_module(f"lycoris.modules.{module}"), name)
    logging.getLogger("LyCORIS").setLevel(logging.WARNING)
    return found
