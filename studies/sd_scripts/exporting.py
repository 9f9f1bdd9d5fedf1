"""From a plan to a configuration and a data set file of sd-scripts; what they cannot say is named in comments."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from studies.errors import StudyError
from studies.sd_scripts import flow_export
from studies.sd_scripts.names import OPTIMISERS, PLAN
from studies.sd_scripts.network import TRANSFORMERS, lycoris_word
from studies.sd_scripts.optimiser import UNTOLD
from studies.sd_scripts.settings import FIELDS
from studies.sd_scripts.subsets import tables, text
from studies.spec.toml import comment, section, value
from trainer.data.folders import in_concepts, in_folder
from trainer.plan import TrainingPlan
from trainer.plans.network import LoraPlan
from trainer.plans.optimiser_kinds import OPTIMISERS as KINDS

_SECTIONS = ("model", "additional_network", "optimizer", "dataset", "training", "saving")
_HEAD = {
    "base": "model",
    "lora": "additional_network",
    "optimiser": "optimizer",
    "schedule": "optimizer",
    "data": "dataset",
}
_UNNAMED = {"fused"}
"""Arguments that change the speed and nothing else."""
_CACHE_FORBIDS = ("data.random_crop", "data.colour_jitter")


@dataclass(slots=True)
class _Writing:
    """What has been written so far."""

    plan: TrainingPlan
    config: dict[str, dict[str, Any]] = field(default_factory=lambda: {name: {} for name in _SECTIONS})
    dataset: dict[str, Any] = field(default_factory=dict)
    subset: dict[str, Any] = field(default_factory=dict)
    said: set[str] = field(default_factory=set)
    """Plan fields that the files say, whole."""
    notes: list[str] = field(default_factory=list)

    def of(self, name: str) -> Any:
        """A field's value; None where the plan has no such field."""
        found: Any = self.plan
        for part in name.split("."):
            found = getattr(found, part, None)
        return found

    def put(self, part: str, key: str, item: Any, *names: str) -> None:
        """Writes a key that says the fields ``names``."""
        self.said.update(names)
        if item is not None:
            self.config[part][key] = item


@dataclass(frozen=True, slots=True)
class Export:
    """Two TOML texts."""

    config: str
    dataset: str


def export(plan: TrainingPlan, facts: Mapping[str, str], name: str, dataset_name: str) -> Export:
    """A plan in sd-scripts' words.

    Args:
        plan: with images that are still there.
        facts: metadata of a LoRA that was trained so; may be empty.
        name: ``output_name``.
        dataset_name: file name of the data set file, as the configuration names it.

    Raises:
        StudyError: the images are gone.
    """
    w, theirs = _Writing(plan), flow_export.trainer_of(facts, name)
    subsets = _subsets(w)
    _same(w)
    _model(w, facts)
    _network(w, theirs)
    _optimiser(w)
    _schedule(w)
    _rest(w)
    w.put("dataset", "dataset_config", dataset_name)
    w.put("training", "max_train_epochs", plan.data.epochs, "data.epochs")
    w.put("training", "seed", plan.seed, "seed")
    w.put("saving", "output_name", name)
    w.put("saving", "save_model_as", "safetensors")
    w.put("saving", "save_every_n_epochs", 1)
    notes = [*w.notes, *_unsaid(w)]
    head = [
        f"{name}: for sd-scripts' --config_file; the images are in {dataset_name}.",
        "It trains on all images; the search held some of them out.",
        *(
            ["Not said, because sd-scripts has no such key:", *(f"  {note}" for note in notes)]
            if notes
            else []
        ),
    ]
    config = "".join(section(f"[{part}_arguments]", entries) for part, entries in w.config.items())
    return Export(comment(head) + "\n" + config, text(w.subset, w.dataset, subsets))


def _same(w: _Writing) -> None:
    for name, entry in PLAN.items():
        found = w.of(name)
        if not entry.same:
            continue
        w.said.add(name)
        if found is None:
            continue
        if entry.place == "dataset":
            w.dataset[entry.key] = found
        elif entry.place == "subset":
            w.subset[entry.key] = found
        else:
            w.config[_HEAD.get(name.partition(".")[0], "training")][entry.key] = found


def _model(w: _Writing, facts: Mapping[str, str]) -> None:
    base = w.plan.base
    w.put("model", "pretrained_model_name_or_path", base.path.as_posix(), "base.path")
    w.put("model", "vae", str(base.vae) if base.vae else None, "base.vae")
    asked = base.prediction_type
    known = {"v": "v_prediction", "epsilon": "epsilon"}.get(facts.get("modelspec.prediction_type", ""))
    second = facts.get("ss_v2") == "True"
    if second:
        w.put("model", "v2", True)
    predicted = asked or (known if second or known == "v_prediction" else None)
    w.put("model", "v_parameterization", predicted and predicted == "v_prediction", "base.prediction_type")
    loras = w.of("base.loras")
    if loras:
        entries = [entry if isinstance(entry, dict) else entry.model_dump(mode="json") for entry in loras]
        w.put("model", "base_weights", [str(entry["file"]) for entry in entries], "base.loras")
        w.put("model", "base_weights_multiplier", [entry["weight"] for entry in entries])


def _network(w: _Writing, theirs: tuple[flow_export.Trainer, flow_export.Own] | None) -> None:
    lora, part = w.plan.lora, "additional_network"
    own = "networks.lora" if theirs is None else theirs[0].network
    w.put(part, "network_module", "lycoris.kohya" if _needs_lycoris(lora) else own, "lora.algorithm")
    if theirs is not None:
        _flow(w, *theirs)
    w.put(part, "network_dim", lora.rank, "lora.rank")
    alpha = lora.alpha_over_rank * lora.rank if lora.alpha is None else lora.alpha
    w.put(part, "network_alpha", alpha, "lora.alpha_over_rank", "lora.alpha")
    w.put(part, "network_train_unet_only", not lora.text_encoder, "lora.text_encoder")
    w.put(part, "network_train_text_encoder_only", not lora.unet, "lora.unet")
    arguments = dict(_network_arguments(w))
    if arguments:
        w.put(part, "network_args", [f"{key}={item}" for key, item in arguments.items()])
    if start := w.of("lora.start"):
        w.put(part, "network_weights", str(start), "lora.start")


def _flow(w: _Writing, theirs: flow_export.Trainer, own: flow_export.Own) -> None:
    found, unsaid = theirs.noise(w.plan.noise, own)
    for key, item in found.items():
        w.put("training", key, item)
    w.said |= {
        f"noise.{leaf}" for leaf in ("timestep_density", "timestep_shift", "loss_weighting", "guidance")
    }
    w.notes += unsaid
    w.notes.append("the transformer, text encoders and VAE, which it wants in files of their own")
    if w.plan.lora.layers == "all":
        w.said.add("lora.layers")


def _needs_lycoris(lora: LoraPlan) -> bool:
    """Whether sd-scripts' own network cannot say it."""
    return lora.algorithm != "lora" or lora.dora or lora.scaling != "alpha/rank"


def _network_arguments(w: _Writing) -> Iterator[tuple[str, Any]]:
    if w.plan.optimiser.lora_plus_ratio != 1:
        w.said.add("optimiser.lora_plus_ratio")
        yield "loraplus_lr_ratio", w.plan.optimiser.lora_plus_ratio
    conv = w.of("lora.conv_rank")
    if conv:
        w.said |= {"lora.conv_rank", "lora.conv_alpha_over_rank"}
        yield "conv_dim", conv
        yield "conv_alpha", conv * w.of("lora.conv_alpha_over_rank")
    algorithm = w.of("lora.algorithm") or "lora"
    if _needs_lycoris(w.plan.lora):
        yield "algo", algorithm
        if not w.of("lora.conv_rank"):
            yield "preset", TRANSFORMERS
        arguments = w.of("lora.algorithm_args") or {}
        if not arguments.keys() - {algorithm}:
            w.said.add("lora.algorithm_args")
        for name, value in arguments.get(algorithm, {}).items():
            yield lycoris_word(name), value
        yield from _reshapes(w)
    for leaf in ("rank_dropout", "module_dropout"):
        if found := w.of(f"lora.{leaf}"):
            w.said.add(f"lora.{leaf}")
            yield leaf, found


def _reshapes(w: _Writing) -> Iterator[tuple[str, Any]]:
    """What a plain LoRA is multiplied by."""
    if w.plan.lora.dora:
        w.said.add("lora.dora")
        yield "dora_wd", True
        yield "wd_on_output", True
    if w.plan.lora.scaling != "alpha/rank":
        w.said.add("lora.scaling")
        yield "rs_lora", True


def _optimiser(w: _Writing) -> None:
    plan, part = w.plan.optimiser, "optimizer"
    kind = KINDS[plan.name]
    w.put(part, "optimizer_type", OPTIMISERS[plan.name], "optimiser.name")
    arguments = {
        **UNTOLD.get(plan.name, {}),
        **{key: item for key, item in kind.preset.items() if key not in _UNNAMED},
        **plan.args,
        "weight_decay": plan.weight_decay,
    }
    written = [f"{key}={_literal(item)}" for key, item in arguments.items()]
    w.put(part, "optimizer_args", written, "optimiser.args", "optimiser.weight_decay")
    unet = 1.0 if kind.adaptive else plan.unet_lr * kind.share
    shares = [plan.text_lr_over_unet_lr, plan.text2_share]
    text = [unet * (1.0 if kind.adaptive else share) for share in shares]
    w.put(part, "learning_rate", unet)
    w.put(part, "unet_lr", unet)
    one = plan.text2_lr_over_unet_lr is None or kind.adaptive
    if w.plan.lora.text_encoder:
        w.put(part, "text_encoder_lr", text[0] if one else text)
    acts = {"optimiser.unet_lr", "optimiser.text_lr_over_unet_lr", "optimiser.text2_lr_over_unet_lr"}
    w.said |= acts - ({"optimiser.unet_lr"} if kind.adaptive else set())


def _literal(item: Any) -> str:
    """As sd-scripts reads it: Python's words."""
    return ",".join(map(repr, item)) if isinstance(item, (list, tuple)) else str(item)


def _schedule(w: _Writing) -> None:
    plan, part = w.plan.schedule, "optimizer"
    w.put(part, "lr_scheduler", "constant" if plan.name == "staged" else plan.name)
    if plan.name != "staged":
        w.said.add("schedule.name")
    share = plan.warmup_share or None
    w.put(part, "lr_warmup_steps", share if plan.warmup_steps is None else plan.warmup_steps)
    w.said |= {"schedule.warmup_share", "schedule.warmup_steps"}
    if plan.name == "cosine_with_restarts":
        w.put(part, "lr_scheduler_num_cycles", plan.cycles, "schedule.cycles")
    if plan.name == "polynomial":
        w.put(part, "lr_scheduler_power", plan.power, "schedule.power")


def _rest(w: _Writing) -> None:
    data, noise = w.plan.data, w.plan.noise
    w.put("training", "loss_type", noise.loss, "noise.loss")
    w.put("training", "huber_schedule", "constant")
    if noise.adaptive_scale and not noise.offset:
        w.notes.append("noise.adaptive_scale acts in sd-scripts only with a noise_offset above 0")
    length = data.max_token_length
    w.put("dataset", "max_token_length", length if length > 75 else None, "data.max_token_length")
    forbidden = [name for name in _CACHE_FORBIDS if w.of(name)]
    cached = data.cache_latents != "off" and not forbidden
    w.put("dataset", "cache_latents", cached)
    w.put("dataset", "cache_latents_to_disk", cached and data.cache_latents == "disk")
    if not forbidden:
        w.said.add("data.cache_latents")
    if data.colour_jitter:
        w.subset["color_aug"] = True
    attention = w.plan.compute.attention
    w.put("training", "sdpa" if attention == "sdpa" else "xformers", True)
    if attention != "flash":
        w.said.add("compute.attention")
    compute = w.plan.compute
    w.put("training", "gradient_checkpointing", compute.recomputes, "compute.gradient_checkpointing")
    if compute.base_format == "fp8":
        w.put("training", "fp8_base_unet", True, "compute.base_format")


def _subsets(w: _Writing) -> list[dict[str, Any]]:
    """All sources of images with their repeats, class words and captions' rules."""
    data, problems = w.plan.data, list[str]()
    folders = [folder for folder in (data.folder, *data.folders) if folder is not None]
    sources = [source for folder in folders for source in in_folder(folder, problems)]
    if data.concepts:
        sources += in_concepts(data.concepts, problems)
    if data.reg_folder:
        sources += in_folder(data.reg_folder, problems, regularisation=True)
    if problems:
        raise StudyError(problems)
    w.said |= {
        "data.folder",
        "data.folders",
        "data.concepts",
        "data.reg_folder",
        "data.repeats",
        "data.resolution",
    }
    w.dataset["resolution"] = data.resolution
    return tables(sources, data.repeats)


def _unsaid(w: _Writing) -> Iterator[str]:
    for name, default in FIELDS.items():
        found = w.of(name)
        if name not in w.said and found != default:
            yield f"{name} = {_shown(found)}"


def _shown(item: Any) -> str:
    if hasattr(item, "model_dump"):
        return value(item.model_dump(mode="json"))
    if isinstance(item, (list, tuple)):
        return f"[{', '.join(map(_shown, item))}]"
    return json.dumps(item) if item is None else value(item)
