"""The network of a configuration, in the plan's units: a LoRA of sd-scripts or one of LyCORIS' algorithms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from studies.sd_scripts import blocks, flows
from studies.sd_scripts.optimiser import literal, tidy
from studies.sd_scripts.recipe import located
from studies.sd_scripts.settings import FIELDS, Settings
from trainer.bases.family import Family
from trainer.bases.find import family_of
from trainer.plans.algorithms import arguments_of
from trainer.plans.network import MOST_DIMENSIONS, Algorithm


@dataclass(frozen=True, slots=True)
class Preset:
    """Which layers LyCORIS adapts."""

    convolutions: bool
    text: bool
    """Whether text encoders are trained."""
    differs: str = ""
    """What of it cannot be said here."""


TRANSFORMERS = "attn-mlp"
"""LyCORIS' preset that leaves convolutions alone."""
_BESIDE = "the time projections and 1x1 convolutions of ResNet blocks come with lora.conv_rank only and are left out"
PRESETS: Mapping[str, Preset] = {
    "full": Preset(True, True),
    "full-lin": Preset(False, True, _BESIDE),
    TRANSFORMERS: Preset(False, True),
    "attn-only": Preset(False, True, "projections and feed-forward layers are adapted here, too"),
    "unet-only": Preset(True, False),
    "unet-transformer-only": Preset(False, False),
    "unet-convblock-only": Preset(
        True, False, "attention blocks are adapted here, too, unless lora.freeze names them"
    ),
    "ia3": Preset(
        False, True, "to_k, to_v and ff.net.2 alone are adapted there, all layers of attention blocks here"
    ),
}
"""LyCORIS' presets by name (4.1.3)."""
_LYCORIS = "lycoris.kohya"
_MODULES = {"networks.lora": "lora", "networks.loha": "loha", "networks.lokr": "lokr", **flows.MODULES}
"""sd-scripts' own networks."""
_OFF = ("", "0", "0.0", "none", "false")
"""Values, in lower case, of arguments that ask for nothing."""
_OURS = {
    "dora_wd": "weight_decompose",
    "wd_on_output": "wd_on_out",
    "use_cp": "use_tucker",
    "use_conv_cp": "use_tucker",
}
"""LyCORIS' words in network_args -> its modules' own."""
_THEIRS = {"weight_decompose": "dora_wd", "wd_on_out": "wd_on_output"}
_UNREAD = {
    "bypass_mode": "it changes how a layer is computed, not what it learns",
    "disable_conv_cp": "use_tucker says it",
    "train_on_input": "LyCORIS never hands it on to its modules",
    "wd_on_output": "it acts with dora_wd",
}
"""Arguments that say nothing of what is learned."""
_RESHAPES = {
    "dora_wd": ("lora.dora", True),
    "rs_lora": ("lora.scaling", "alpha/sqrt(rank)"),
    "use_rslora": ("lora.scaling", "alpha/sqrt(rank)"),
}
"""Switches of a plain LoRA -> our field, and its value when they are on."""
_DROPOUTS = {
    "dropout": "lora.dropout",
    "rank_dropout": "lora.rank_dropout",
    "module_dropout": "lora.module_dropout",
}
_NEVER_DROP = {
    "ia3": ("dropout", "rank_dropout"),
    "full": ("dropout",),
    "boft": ("dropout",),
    "dylora": ("dropout",),
}
"""Which dropouts LyCORIS' modules take and never use."""


def network(s: Settings, folder: Path, family: Family | None) -> None:
    """Sets rank, alpha and what network_args say.

    Args:
        s: the configuration.
        folder: where it lies.
        family: of the base model; None if that is not on this disk.
    """
    module, arguments = s.text("network_module", "networks.lora"), s.pairs("network_args")
    if module != _LYCORIS and module not in _MODULES:
        s.refuse("network_module", f"{module!r} is not supported, a plain LoRA is taken")
    algorithm = _algorithm(s, arguments, _MODULES.get(module, "lora"))
    rank, alpha = s.whole("network_dim", 4) or 4, s.number("network_alpha", 1.0) or 0.0
    if whole := algorithm == "lokr" and rank > MOST_DIMENSIONS:
        rank, alpha = _whole_matrix(s, arguments, rank)
    else:
        s.put("lora.rank", rank, "network_dim")
    everywhere = module == _LYCORIS and _whole_unet(s, arguments)
    if not whole and rank < alpha <= MOST_DIMENSIONS and not everywhere:
        s.put("lora.alpha", alpha, "network_alpha")
    elif not whole:
        s.put("lora.alpha_over_rank", _share(s, alpha, rank, "network_alpha"), "network_alpha")
        alpha = min(alpha, rank)
    _convolutions(s, arguments, (rank, alpha) if everywhere else None, whole)
    sgm = family.lora.sgm_blocks if family else _guessed(s, arguments)
    blocks.ranks(s, arguments, sgm, rank, alpha or rank)
    blocks.rates(s, arguments, sgm)
    dora = algorithm == "lora" and _reshapes(s, arguments)
    _dropouts(s, arguments, "DoRA" if dora else algorithm)
    _of_plain_loras(s, arguments, algorithm)
    if literal(arguments.pop("train_norm", "")):
        s.refuse("network_args: train_norm", "normalisation layers are not adapted")
    _remaining(s, arguments, algorithm)
    _other_loras(s, folder, dora)


def lycoris_word(name: str) -> str:
    """What network_args call an argument of LyCORIS' modules."""
    return _THEIRS.get(name, name)


def _algorithm(s: Settings, arguments: dict[str, str], default: str) -> str:
    """The network's kind; LoCon is a LoRA with convolutions."""
    asked = arguments.pop("algo", default).lower()
    if asked in ("lora", "locon"):
        return "lora"
    if asked not in get_args(Algorithm):
        s.refuse("network_args: algo", f"{asked!r} is not supported, a plain LoRA is taken")
        return "lora"
    s.put("lora.algorithm", asked, "network_args: algo" if asked != default else "network_module")
    return asked


def _whole_matrix(s: Settings, arguments: dict[str, str], rank: int) -> tuple[int, float]:
    """LoKr takes a rank beyond its second factor's size for "the whole matrix"; rank and alpha then mean nothing."""
    arguments["full_matrix"] = "True"
    s.used |= {"network_dim", "network_alpha"}
    s.convert(
        "network_dim",
        f"{rank} asks LoKr for its second factor as a whole matrix: lora.algorithm_args.lokr.full_matrix; "
        "rank and alpha do not count then",
    )
    ours = FIELDS["lora.rank"]
    return ours, FIELDS["lora.alpha_over_rank"] * ours


def _whole_unet(s: Settings, arguments: dict[str, str]) -> bool:
    """Whether LyCORIS adapts the convolutions as well, as it does unless its preset says otherwise."""
    asked = arguments.pop("preset", "") or "full"
    preset = PRESETS.get(asked)
    if preset is None:
        s.refuse(
            "network_args: preset",
            f"{asked!r} is not supported, 'full' is taken; we have {', '.join(PRESETS)}",
        )
        return True
    if not preset.text:
        s.values = {**s.values, "network_train_unet_only": True}
        s.convert("network_args: preset", f"{asked!r} trains no text encoder: lora.text_encoder = false")
    if preset.differs:
        s.refuse("network_args: preset", f"{asked!r}: {preset.differs}")
    return preset.convolutions


def _share(s: Settings, alpha: float, rank: int, key: str) -> float:
    """Alpha over rank; sd-scripts reads 0 as "the rank"."""
    if not alpha:
        return 1.0
    if alpha > rank:
        s.refuse(key, f"{alpha:g} is more than the rank {rank}, which is not supported; {rank} is taken")
        return 1.0
    return tidy(alpha / rank)


def _convolutions(
    s: Settings, arguments: dict[str, str], everywhere: tuple[int, float] | None, whole: bool
) -> None:
    """Sets rank and alpha of the convolutions.

    Args:
        s: the configuration.
        arguments: its network's.
        everywhere: rank and alpha of the network, if LyCORIS adapts convolutions unasked.
        whole: whether all matrices are whole, whatever their rank.
    """
    asked, own = literal(arguments.pop("conv_dim", "")), literal(arguments.pop("conv_alpha", ""))
    rank, alpha = everywhere or (None, 1.0)
    rank, alpha = (rank if asked == "" else asked), (alpha if own == "" else own)
    if rank is None:
        return
    if rank == 0 and not isinstance(rank, bool):
        _no_convolutions(s, everywhere is not None)
        return
    if not isinstance(rank, int) or not isinstance(alpha, (int, float)) or rank < 1:
        s.problems.append(
            f"network_args: conv_dim and conv_alpha must be numbers, but got {rank!r} and {alpha!r}."
        )
        return
    if whole:
        if rank <= MOST_DIMENSIONS and asked != "":
            s.refuse("network_args: conv_dim", f"{rank}: the matrices of convolutions are whole too")
        rank = alpha = FIELDS["lora.rank"]
    s.put("lora.conv_rank", rank, "network_args: conv_dim")
    share = _share(s, alpha, rank, "network_args: conv_alpha")
    s.put("lora.conv_alpha_over_rank", share, "network_args: conv_alpha")


def _no_convolutions(s: Settings, lycoris: bool) -> None:
    """``conv_dim = 0``: no 3x3 convolution is trained; LyCORIS still trains their blocks' other layers."""
    if lycoris:
        s.refuse(
            "network_args: conv_dim",
            "0 leaves 3x3 convolutions out; the 1x1 convolutions and time projections of their blocks, which "
            "LyCORIS trains all the same, come with lora.conv_rank only and are left out too",
        )


def _guessed(s: Settings, arguments: Mapping[str, str]) -> bool:
    """How blocks are counted while the base model is not on this disk: by how many numbers there are, or its name."""
    name = s.text("pretrained_model_name_or_path")
    sgm = blocks.counted(arguments)
    if sgm is None:
        return family_of(name).lora.sgm_blocks
    if sgm != family_of(name).lora.sgm_blocks:
        kind = "SDXL" if sgm else "SD 1.x"
        s.convert("network_args", f"{name} is not on this disk; the number of blocks is that of {kind}")
    return sgm


def _reshapes(s: Settings, arguments: dict[str, str]) -> bool:
    """Sets what a plain LoRA is multiplied by; whether it is a DoRA."""
    for name, (field, value) in _RESHAPES.items():
        if arguments.pop(name, "").lower() not in _OFF:
            s.put(field, value, f"network_args: {name}")
    dora = bool(s.plan.get("lora.dora"))
    if dora and arguments.pop("wd_on_output", "true").lower() in _OFF:
        s.refuse("network_args: wd_on_output", "norms are learned of outputs here, not of inputs")
    return dora


def _dropouts(s: Settings, arguments: dict[str, str], algorithm: str) -> None:
    """Dropout acts in a plain LoRA alone; sd-scripts' network_dropout is an argument's default."""
    for name, field in _DROPOUTS.items():
        key = "network_dropout" if name == "dropout" and name not in arguments else f"network_args: {name}"
        value = s.number("network_dropout") if key == "network_dropout" else literal(arguments.pop(name, ""))
        if value in ("", None):
            continue
        if algorithm == "lora":
            s.put(field, value, key)
            continue
        s.plan[field] = FIELDS[field]
        if value in (0, False):
            continue
        if name in _NEVER_DROP.get(algorithm, ()):
            s.refuse(key, f"no effect here (LyCORIS' {algorithm} never uses it)")
        else:
            s.refuse(key, f"not supported with {algorithm}")


def _of_plain_loras(s: Settings, arguments: dict[str, str], algorithm: str) -> None:
    """LoRA+ and the limit on weight norms act in a plain LoRA alone."""
    ratio = literal(arguments.pop("loraplus_lr_ratio", ""))
    if algorithm == "lora" and ratio != "":
        s.put("optimiser.lora_plus_ratio", ratio, "network_args: loraplus_lr_ratio")
    elif ratio not in ("", 1):
        s.refuse("network_args: loraplus_lr_ratio", f"not supported with {algorithm}")
    if algorithm != "lora" and s.number("scale_weight_norms"):
        s.refuse("scale_weight_norms", f"not supported with {algorithm}")
        s.plan["optimiser.max_weight_norm"] = None


def _remaining(s: Settings, arguments: dict[str, str], algorithm: str) -> None:
    """Hands an algorithm its own arguments; of what remains, names all that asks for something."""
    known = [] if algorithm == "lora" else arguments_of(algorithm)
    own: dict[str, Any] = {}
    for name, text in arguments.items():
        ours, off = _OURS.get(name, name), text.lower() in _OFF
        if ours in known and name not in _UNREAD and not off:
            own[ours] = literal(text)
        elif off:
            continue
        elif name in _UNREAD:
            s.refuse(f"network_args: {name}", f"no effect here ({_UNREAD[name]})")
        else:
            s.refuse(f"network_args: {name}", f"not supported with {algorithm}")
    if own:
        s.put("lora.algorithm_args", {algorithm: own}, "network_args")


def _other_loras(s: Settings, folder: Path, dora: bool) -> None:
    start = s.text("network_weights")
    if start and dora:
        s.refuse("network_weights", "not supported with DoRA")
    elif start:
        s.put("lora.start", str(located(start, folder)), "network_weights")
    files, weights = _several(s, "base_weights", str), _several(s, "base_weights_multiplier", float)
    if files:
        weights += [1.0] * (len(files) - len(weights))
        pairs = zip(files, weights, strict=False)
        merged = [{"file": str(located(file, folder)), "weight": weight} for file, weight in pairs]
        s.put("base.loras", merged, "base_weights")


def _several(s: Settings, key: str, kind: type) -> list[Any]:
    """One value or a list of them."""
    value = s.take(key)
    entries = value if isinstance(value, list) else [] if value is None else [value]
    wanted = (int, float) if kind is float else kind
    if not all(isinstance(entry, wanted) and not isinstance(entry, bool) for entry in entries):
        s.wrong(key, f"a list of {'numbers' if kind is float else 'texts'}", value)
        return []
    return [kind(entry) for entry in entries]
