"""Base model, network, noise, arithmetic and samples of a configuration, in the plan's units."""

from __future__ import annotations

import importlib.util
import shlex
from pathlib import Path
from typing import Any, get_args

from studies.errors import StudyError, shown
from studies.sd_scripts import blocks
from studies.sd_scripts.optimiser import literal, tidy
from studies.sd_scripts.settings import FIELDS, Settings
from studies.spec.paths import is_hub_name, written_problem
from trainer.bases import find
from trainer.bases.errors import BaseModelError
from trainer.bases.family import Family
from trainer.paths import absolute
from trainer.plans.base import BasePlan
from trainer.plans.network import Algorithm

TRANSFORMERS = "attn-mlp"
"""LyCORIS' preset that leaves convolutions alone."""
_LOSSES = {"l2": "l2", "huber": "huber", "smooth_l1": "smooth_l1"}
_PRECISIONS = {"float": "no", "fp16": "fp16", "bf16": "bf16"}


def located(text: str, folder: Path) -> Path:
    """A path as sd-scripts reads it, from where it is run; if nothing is there, beside the configuration.

    Raises:
        StudyError: the text is no path.
    """
    if problem := written_problem(text):
        raise StudyError(f"{shown(text)} is no path: {problem}; mend it in the configuration.")
    here, beside = absolute(text, Path.cwd()), absolute(text, folder)
    return beside if beside.exists() and not here.exists() else here


def base(s: Settings, folder: Path) -> Family | None:
    """Sets the base model.

    Returns:
        Its family, if it lies on this disk.
    """
    text, vae = s.text("pretrained_model_name_or_path"), s.text("vae")
    if vae:
        s.put("base.vae", str(located(vae, folder)), "vae")
    v2, prediction = s.flag("v2"), s.flag("v_parameterization")
    if s.has("v_parameterization") or v2:
        s.put("base.prediction_type", "v_prediction" if prediction else "epsilon", "v_parameterization")
    if not text:
        s.problems.append("pretrained_model_name_or_path is missing: give it, or add --base.")
        return None
    path = located(text, folder)
    if not path.exists() and is_hub_name(text):
        s.put("base.path", text, "pretrained_model_name_or_path")
        return None
    s.put("base.path", str(path), "pretrained_model_name_or_path")
    try:
        return find.find(BasePlan(path=path)).family
    except BaseModelError as error:
        s.problems.append(f"pretrained_model_name_or_path: {error} Another one can be given with --base.")
        return None


def family_problems(s: Settings, family: Family | None) -> None:
    """What does not go with the family of the base model."""
    if family and not family.clip_skip and s.plan.get("base.clip_skip") not in (None, 1, "1"):
        s.problems.append(
            f"clip_skip = {s.plan.pop('base.clip_skip')}: {family.title} ignores it; leave it out, or set it to 1."
        )
    if family and len(family.text_encoders) == 1 and "optimiser.text2_lr_over_unet_lr" in s.plan:
        s.problems.append(
            f"text_encoder_lr = {s.values['text_encoder_lr']}: this base model has one text encoder; give one number."
        )
        s.plan.pop("optimiser.text2_lr_over_unet_lr")
    step = s.whole("bucket_reso_steps", 64)
    if family and s.flag("enable_bucket") and step is not None and step % family.side_step:
        s.problems.append(
            f"bucket_reso_steps must be a multiple of {family.side_step} for this base model, but got {step}."
        )
        s.plan["data.bucket_reso_steps"] = 64


def network(s: Settings, folder: Path, family: Family | None) -> None:
    """Sets rank, alpha and what network_args say."""
    rank, alpha = s.whole("network_dim", 4), s.number("network_alpha", 1.0)
    rank = rank or 4
    s.put("lora.rank", rank, "network_dim")
    s.put("lora.alpha_over_rank", _share(s, alpha, rank, "network_alpha"), "network_alpha")
    module, arguments = s.text("network_module", "networks.lora"), s.pairs("network_args")
    lycoris = module == "lycoris.kohya"
    if not lycoris and module != "networks.lora":
        s.refuse("network_module", f"{module!r} is not supported, a plain LoRA is taken")
    algorithm = _algorithm(s, arguments)
    everywhere = lycoris and _whole_unet(s, arguments)
    _convolutions(s, arguments, (rank, alpha) if everywhere else (None, 1.0))
    sgm = family is not None and family.lora.sgm_blocks
    blocks.ranks(s, arguments, sgm, rank, alpha or rank)
    blocks.rates(s, arguments, sgm)
    for key, field in _ARGUMENTS.items():
        if key in arguments:
            s.put(field, literal(arguments.pop(key)), f"network_args: {key}")
    if literal(arguments.pop("train_norm", "")):
        s.refuse("network_args: train_norm", "normalisation layers are not adapted")
    if algorithm != "lora" and "lora.algorithm_args" in FIELDS and arguments:
        own = {key: literal(text) for key, text in arguments.items()}
        s.put("lora.algorithm_args", {algorithm: own}, "network_args")
        arguments = {}
    for key, text in arguments.items():
        if text.lower() not in ("", "0", "none", "false"):
            s.refuse(f"network_args: {key}", "not supported")
    _other_loras(s, folder)


_ARGUMENTS = {
    "loraplus_lr_ratio": "optimiser.lora_plus_ratio",
    "rank_dropout": "lora.rank_dropout",
    "module_dropout": "lora.module_dropout",
    "dropout": "lora.dropout",
}


def _whole_unet(s: Settings, arguments: dict[str, str]) -> bool:
    """Whether LyCORIS adapts the convolutions as well, as it does unless its preset says otherwise."""
    preset = arguments.pop("preset", "full")
    if preset not in ("full", TRANSFORMERS):
        s.refuse(
            "network_args: preset", f"{preset!r} is not supported, 'full' is taken; we have {TRANSFORMERS}"
        )
    return preset != TRANSFORMERS


def _algorithm(s: Settings, arguments: dict[str, str]) -> str:
    """The network's kind; LoCon is a LoRA with convolutions."""
    asked = arguments.pop("algo", "lora").lower()
    if asked in ("lora", "locon"):
        return "lora"
    if asked not in get_args(Algorithm):
        s.refuse("network_args: algo", f"{asked!r} is not supported, a plain LoRA is taken")
        return "lora"
    s.put("lora.algorithm", asked, "network_args: algo")
    return asked


def _share(s: Settings, alpha: float | None, rank: int, key: str) -> float:
    """Alpha over rank; sd-scripts reads 0 as "the rank"."""
    if not alpha:
        return 1.0
    if alpha > rank:
        s.refuse(key, f"{alpha:g} is more than the rank {rank}, which is not supported; {rank} is taken")
        return 1.0
    return tidy(alpha / rank)


def _convolutions(s: Settings, arguments: dict[str, str], default: tuple[int | None, float | None]) -> None:
    rank = literal(arguments.pop("conv_dim", "")) or default[0]
    alpha = literal(arguments.pop("conv_alpha", "")) or default[1]
    if rank is None:
        return
    if not isinstance(rank, int) or not isinstance(alpha, (int, float)) or rank < 1:
        s.problems.append(
            f"network_args: conv_dim and conv_alpha must be numbers, but got {rank!r} and {alpha!r}."
        )
        return
    s.put("lora.conv_rank", rank, "network_args: conv_dim")
    share = _share(s, alpha, rank, "network_args: conv_alpha")
    s.put("lora.conv_alpha_over_rank", share, "network_args: conv_alpha")


def _other_loras(s: Settings, folder: Path) -> None:
    if start := s.text("network_weights"):
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


def noise(s: Settings) -> None:
    """Sets what is not the same in both vocabularies: the loss, and an offset scale that needs an offset."""
    offset = s.number("noise_offset", 0.0)
    if s.has("adaptive_noise_scale") and not offset:
        s.idle("adaptive_noise_scale", "noise_offset is 0")
        s.plan["noise.adaptive_scale"] = 0.0
    loss, schedule = s.text("loss_type", "l2"), s.text("huber_schedule", "snr")
    if loss not in _LOSSES:
        s.refuse("loss_type", f"{loss!r} is not supported, 'l2' is taken; we have {', '.join(_LOSSES)}")
    s.put("noise.loss", _LOSSES.get(loss, "l2"), "loss_type")
    if loss in ("huber", "smooth_l1") and schedule != "constant":
        s.refuse("huber_schedule", f"{schedule!r} is not supported, huber_c is the same at every timestep")


def compute(s: Settings) -> None:
    """Sets the kind of attention; all kinds compute the same."""
    xformers = s.flag("xformers")
    for key in ("sdpa", "mem_eff_attn"):
        s.used.add(key)
    if s.has("mem_eff_attn") and s.flag("mem_eff_attn"):
        s.idle("mem_eff_attn", "PyTorch's own attention needs as little memory")
    if xformers and not s.flag("sdpa"):
        if importlib.util.find_spec("xformers") is None:
            s.idle("xformers", "the package xformers is not installed; PyTorch's attention computes the same")
        else:
            s.put("compute.attention", "xformers", "xformers")


def save(s: Settings) -> dict[str, Any]:
    """The study's section [save]."""
    precision = s.text("save_precision")
    if precision and precision not in _PRECISIONS:
        s.problems.append(f"save_precision must be one of {', '.join(_PRECISIONS)}, but got {precision!r}.")
    return {"precision": _PRECISIONS[precision]} if precision in _PRECISIONS else {}


def judge(s: Settings, folder: Path) -> dict[str, Any]:
    """The study's section [judge], from sample prompts: a file, a list, or one text (lora-scripts)."""
    found: dict[str, Any] = {}
    negative: list[str] = [text] if (text := s.text("negative_prompts")) else []
    steps, guidance = s.whole("sample_steps"), s.number("sample_cfg")
    lines = _prompt_lines(s, folder)
    if positive := s.text("positive_prompts"):
        lines.append(positive)
    prompts = []
    for line in lines:
        prompt, options = _prompt(line)
        prompts += [prompt] if prompt else []
        negative += [options["n"]] if "n" in options else []
        steps = int(literal(options["s"])) if options.get("s", "").isdecimal() else steps
        guidance = _float(options.get("l")) or guidance
        for option in options.keys() - {"n", "s", "l"}:
            s.refuse(f"sample_prompts: --{option}", "not supported; the judge sets size and seed itself")
    if prompts:
        found["prompts"] = prompts
    if negative:
        found["negative_prompt"] = negative[0]
        if set(negative) != {negative[0]}:
            s.refuse(
                "sample_prompts: --n", "one negative prompt for all is supported; the first one is taken"
            )
    if steps and steps <= 200:
        found["steps"] = steps
    if guidance and guidance >= 1:
        found["guidance"] = guidance
    return found


def _prompt_lines(s: Settings, folder: Path) -> list[str]:
    value = s.take("sample_prompts")
    if value is None:
        return []
    if isinstance(value, list):
        return [str(line) for line in value]
    path = None if written_problem(str(value)) else located(str(value), folder)
    if path is None or not path.is_file():
        if path is not None and path.suffix in (".txt", ".toml", ".json"):
            s.refuse("sample_prompts", f"there is no file {path}")
            return []
        return [line for line in str(value).splitlines() if line.strip()]
    if path.suffix in (".toml", ".json"):
        s.refuse("sample_prompts", f"{path.suffix} files are not supported; write a text file, a line each")
        return []
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _prompt(line: str) -> tuple[str, dict[str, str]]:
    """``a dog --n blurry --s 20``: the prompt and its options."""
    head, *rest = (" " + line.strip()).split(" --")
    return head.strip(), {option: text.strip() for option, _, text in (part.partition(" ") for part in rest)}


def _float(text: str | None) -> float | None:
    try:
        return None if text is None else float(shlex.split(text)[0])
    except (ValueError, IndexError):
        return None
