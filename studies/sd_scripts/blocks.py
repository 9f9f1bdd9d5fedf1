"""sd-scripts' numbered blocks of a U-Net as diffusers' names (pure).

It knows two numberings. By diffusers' blocks (SD 1.x, 2.x) there are 25: 12 input blocks, the middle, 12 output blocks.
By Stability's ("SGM", SDXL) there are 23: the embeddings, 9 input blocks, 3 middle blocks, 9 output blocks, the end.
The first, and SGM's last, hold nothing that gets a LoRA.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from studies.sd_scripts.optimiser import literal, tidy
from studies.sd_scripts.settings import Settings

Names = list[tuple[str, ...]]
"""The diffusers blocks of each number."""
RATES = ("down_lr_weight", "mid_lr_weight", "up_lr_weight")
_WHOLE = ("block_lr_weight", "block_dims", "block_alphas")
"""Arguments with a number for every block."""
_SIDES = {False: (12, 1, 12), True: (9, 3, 9)}
"""Numbers of input, middle and output blocks; True is SGM."""
_ATTENDING = {False: ((0, 1, 2), (1, 2, 3)), True: ((1, 2), (0, 1))}
"""Down and up blocks with attention."""


def names(sgm: bool, convolutions: bool) -> Names:
    """Which blocks each number means; none where it holds no layer that is adapted.

    Args:
        sgm: whether blocks are counted as Stability's code does, ``Family.lora.sgm_blocks``.
        convolutions: whether layers of convolution blocks are adapted too.
    """
    last = 2 if sgm else 3
    found: Names = [()]
    for number in range(8 if sgm else 11):
        found.append(_row("down", number, last, sgm, convolutions))
    if sgm:
        resnets = [("mid_block.resnets.0",), ("mid_block.resnets.1",)] if convolutions else [(), ()]
        found = [(), *found, resnets[0], ("mid_block.attentions",), resnets[1]]
    else:
        found.append(("mid_block",))
    found += [_row("up", number, last, sgm, convolutions) for number in range(9 if sgm else 12)]
    return [*found, ()] if sgm else found


def _row(side: str, number: int, last: int, sgm: bool, convolutions: bool) -> tuple[str, ...]:
    block, place = divmod(number, 3)
    stem, found = f"{side}_blocks.{block}", []
    attends = block in _ATTENDING[sgm][side == "up"]
    sampler = place == 2
    if side == "up" or not sampler:
        found += [f"{stem}.attentions.{place}"] if attends else []
        found += [f"{stem}.resnets.{place}"] if convolutions else []
    if sampler and convolutions and block != last:
        found.append(f"{stem}.{side}samplers")
    return tuple(found)


def counted(arguments: Mapping[str, str]) -> bool | None:
    """Whether as many numbers are given as the SGM count has, not as diffusers' has; None if neither is told."""
    given = {len(_list(arguments[key]) or []) for key in _WHOLE if key in arguments}
    ways = [sgm for sgm in (False, True) if _total(sgm) in given]
    return ways[0] if len(ways) == 1 else None


def ranks(s: Settings, arguments: dict[str, str], sgm: bool, rank: int, alpha: float) -> None:
    """Sets ``lora.block_ranks`` from ``block_dims``, and names what ``block_alphas`` say that one share cannot."""
    dims, alphas = (_numbers(s, arguments, key, sgm) for key in ("block_dims", "block_alphas"))
    for key in ("conv_block_dims", "conv_block_alphas"):
        if arguments.pop(key, ""):
            s.refuse(f"network_args: {key}", "not supported, lora.conv_rank is one for all blocks")
    if dims is None and alphas is None:
        return
    places = names(sgm, "lora.conv_rank" in s.plan)
    sizes = [int(size) for size in dims or [rank] * len(places)]
    if found := _table(places, sizes, rank):
        s.put("lora.block_ranks", found, "network_args: block_dims")
    share = s.plan.get("lora.alpha_over_rank", alpha / rank)
    own = alphas or [alpha] * len(places)
    odd = [
        str(number)
        for number, (place, size, value) in enumerate(zip(places, sizes, own, strict=True))
        if place and size and not math.isclose(value / size, share, rel_tol=1e-6)
    ]
    if odd:
        s.refuse(
            "network_args: block_alphas",
            f"alpha / dim is {share:g} in every block, network_alpha / network_dim; "
            f"blocks {', '.join(odd)} ask otherwise",
        )


def rates(s: Settings, arguments: dict[str, str], sgm: bool) -> None:
    """Sets ``lora.block_lrs`` from the weights of blocks."""
    threshold = arguments.pop("block_lr_zero_threshold", None) or s.take("block_lr_zero_threshold") or 0.0
    whole = _numbers(s, arguments, "block_lr_weight", sgm)
    given = {key: arguments.pop(key, None) or s.take(key) for key in RATES}
    if whole is None and not any(given.values()):
        return
    if whole is None:
        sides = [_side(s, key, given[key], length) for key, length in zip(RATES, _SIDES[sgm], strict=True)]
        whole = [weight for side in sides for weight in side]
        whole = [1.0, *whole, 1.0] if sgm else whole
    least = (_list(threshold) or [0.0])[0]
    found = _table(
        names(sgm, "lora.conv_rank" in s.plan), [tidy(w) if w > least else 0.0 for w in whole], 1.0
    )
    if found:
        s.put("lora.block_lrs", found, "network_args: down_lr_weight")


def _table(places: Names, values: Sequence[float], default: float) -> dict[str, float]:
    pairs = zip(places, values, strict=True)
    return {name: value for place, value in pairs for name in place if value != default}


def _numbers(s: Settings, arguments: dict[str, str], key: str, sgm: bool) -> list[float] | None:
    """The numbers of all blocks; None if the key is not there, or wrong, which is told."""
    text = arguments.pop(key, "")
    if not text:
        return None
    wanted, found = _total(sgm), _list(text)
    if found is None or len(found) != wanted:
        s.problems.append(
            f"network_args: {key} must be {wanted} numbers for this base model, but got {text!r}."
        )
        return None
    return found


def _total(sgm: bool) -> int:
    return sum(_SIDES[sgm]) + 2 * sgm


def _list(text: object) -> list[float] | None:
    value = literal(text) if isinstance(text, str) else text
    entries = value if isinstance(value, list) else [value]
    found = [float(e) for e in entries if isinstance(e, (int, float)) and not isinstance(e, bool)]
    return found if len(found) == len(entries) else None


def _side(s: Settings, key: str, given: object, length: int) -> list[float]:
    """Weights of one side: a list, cut or filled up with 1 as sd-scripts does, or a curve such as ``sine+.25``."""
    if given is None:
        return [1.0] * length
    found = _list(given)
    if found is not None:
        return [*found, *[1.0] * length][:length]
    name, _, more = str(given).partition("+")
    curve = _CURVES.get(name.strip())
    base = _list(more) if more else [0.0]
    if curve is None or base is None or key == "mid_lr_weight":
        s.problems.append(
            f"network_args: {key} must be numbers or one of {', '.join(_CURVES)}, but got {given!r}."
        )
        return [1.0] * length
    return [curve(place / (length - 1)) + base[0] for place in range(length)]


_CURVES: Mapping[str, Callable[[float], float]] = {
    "cosine": lambda share: math.sin(math.pi / 2 * (1 - share)),
    "sine": lambda share: math.sin(math.pi / 2 * share),
    "linear": lambda share: share,
    "reverse_linear": lambda share: 1 - share,
    "zeros": lambda share: 0.0,
}
