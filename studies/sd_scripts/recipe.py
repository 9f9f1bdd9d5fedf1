"""Base model, noise, arithmetic and samples of a configuration, in the plan's units."""

from __future__ import annotations

import importlib.util
import shlex
from pathlib import Path
from typing import Any

from studies.dialects.translation import OWN_SHIFT, Translation
from studies.errors import StudyError, shown
from studies.sd_scripts import flows
from studies.sd_scripts.optimiser import literal
from studies.sd_scripts.settings import FIELDS, Settings
from studies.spec.paths import is_hub_name, written_problem
from trainer.bases import find, misfits
from trainer.bases.errors import BaseModelError
from trainer.bases.family import Family
from trainer.paths import absolute
from trainer.plans.base import BasePlan

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


def fields(s: Settings, said: Translation, family: Family | None) -> None:
    """Sets the plan fields that a configuration names itself."""
    for name, value in said.fields.items():
        settled = flows.own_shift(family) if value == OWN_SHIFT else value
        s.put(name, settled, said.names.get(name, name))


def leave_out_misfits(s: Settings, family: Family | None) -> None:
    """Fields that cannot act on the family of the base model stay at their defaults; what somebody wrote is told."""
    told: dict[str, list[str]] = {}
    for name, why in misfits.table(family).items() if family else ():
        if name in s.plan and s.plan[name] != FIELDS[name]:
            del s.plan[name]
            if not {name, key := s.origin.get(name, name)} & s.implied:
                told.setdefault(why, []).append(key)
    for why, keys in told.items():
        s.refuse(", ".join(dict.fromkeys(keys)), f"no effect here ({why})")


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


def noise(s: Settings, family: Family | None) -> None:
    """Sets what is not the same in both vocabularies: the loss, noise levels, an offset scale that needs an offset."""
    flows.flow(s, family)
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
    """Sets the kind of attention, all of which compute the same, and how the frozen base is stored."""
    for key in ("fp8_base", "fp8_base_unet"):
        if s.has(key) and s.flag(key):
            s.put("compute.base_format", "fp8", key)
            s.convert(key, "of the U-Net's attention and feed-forward layers, with a scale for each output")
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
