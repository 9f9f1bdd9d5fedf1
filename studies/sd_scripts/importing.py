"""From a trainer's configuration to a recipe: a complete plan, and what could not be said in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from studies.dialects import files
from studies.dialects import table as dialects
from studies.dialects.translation import Translation, Unmet
from studies.errors import StudyError
from studies.sd_scripts import datasets, recipe
from studies.sd_scripts.datasets import Images
from studies.sd_scripts.network import network
from studies.sd_scripts.optimiser import optimiser, rates, schedule
from studies.sd_scripts.settings import FIELDS, Settings, known_keys
from studies.spec.file_text import read_text
from studies.spec.plan_fields import build
from trainer.plan import TrainingPlan

CONCEPTS = "concepts.json"
"""Stands for the concepts list until it is written."""
_STEPS = 1600
"""``max_train_steps`` of sd-scripts where nothing is said."""
_SHOWN = 6
"""Keys that are named where none is understood."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a configuration asks for, in our terms."""

    name: str
    values: Mapping[str, Any]
    """Plan field -> value; fields that are missing keep their default."""
    seed: int
    images: Images
    judge: Mapping[str, Any]
    save: Mapping[str, Any]
    unmet: tuple[Unmet, ...]
    """Every key that could not be honoured."""
    converted: tuple[str, ...] = ()
    """Every value that means something else here, and what became of it."""

    @property
    def plan(self) -> TrainingPlan:
        """The plan that it stands for."""
        return build({"seed": max(self.seed, 0)}, self.values)

    @property
    def images_per_trial(self) -> int:
        """Images x repeats x epochs."""
        return max(1, self.images.shown * int(self.values.get("data.epochs", FIELDS["data.epochs"])))


def load(path: Path) -> dict[str, Any]:
    """What a configuration or a data set file says.

    Raises:
        StudyError: it is missing, or not what it seems to be.
    """
    return files.table(read_text(path, "file", "import"), str(path))


def read(
    config: Path, dataset: Path | None = None, base: Path | None = None, images: Path | None = None
) -> Recipe:
    """The recipe of a configuration.

    Args:
        config: of any of the trainers in ``dialects.table``.
        dataset: its data set file; None takes the one that the configuration names, if it does.
        base: a base model that replaces the configuration's.
        images: an image folder that replaces the configuration's.

    Raises:
        StudyError: with everything that is wrong or cannot work.
    """
    said = _said(config)
    if base:
        said.put("pretrained_model_name_or_path", str(base))
    _put_network(said, config)
    named = said.values.pop("dataset_config", None)
    if images is not None:
        said.put("train_data_dir", str(images))
    elif dataset is not None or named:
        dialects.put_dataset(load(dataset or recipe.located(str(named), config.parent)), said)
    try:
        made = _converted(said, config.parent, images is not None)
        return _finished(made, said, str(said.values.get("output_name") or config.stem))
    except StudyError as error:
        place = f"{config}: " if said.trainer else ""
        raise StudyError([f"{place}{said.explained(problem)}" for problem in error.problems]) from error


def _put_network(said: Translation, config: Path) -> None:
    """The network that a configuration keeps in a file of its own, named from where the trainer is run."""
    named = str(said.values.pop(dialects.NETWORK_FILE, None) or "")
    if not named:
        return
    places = [recipe.located(named, folder) for folder in (config.parent, config.parent.parent)]
    places.append(config.parent / Path(named).name)
    place = next((place for place in places if place.is_file()), None)
    if place is None:
        said.refuse(
            dialects.NETWORK_FILE,
            f"{named} is not there, a plain LoRA is taken; put it beside the configuration",
        )
        return
    try:
        dialects.put_network(load(place), said)
    except StudyError as error:
        raise StudyError(
            [f"{place}: {problem.removeprefix(f'{place}: ')}" for problem in error.problems]
        ) from error


def _said(config: Path) -> Translation:
    """What the file says; one of which nothing is understood shall not become a study of defaults."""
    table = load(config)
    try:
        said = dialects.translated(table)
    except StudyError as error:
        raise StudyError([f"{config}: {problem}" for problem in error.problems]) from error
    if said.trainer or said.datasets or said.values.keys() & set(known_keys()):
        return said
    shown = ", ".join(list(said.values)[:_SHOWN]) or "it has none"
    raise StudyError(
        f"{config}: no key of it ({shown}) is one of a training configuration; import reads {dialects.NAMES}."
    )


def _converted(
    said: Translation, folder: Path, replaced: bool
) -> tuple[Settings, Images, dict[str, Any], dict[str, Any]]:
    """All sections, one after the other.

    Args:
        said: the configuration.
        folder: where it lies.
        replaced: whether ``train_data_dir`` counts, though there is a data set.
    """
    tables, flat = said.datasets, said.values
    found = datasets.subsets(tables, flat, said.problems) if tables is not None else []
    differing: list[tuple[str, str]] = []
    data = datasets.common(found, differing) if found else {}
    s = Settings(
        {**flat, **data},
        unmet=said.unmet,
        converted=said.converted,
        problems=said.problems,
        implied=set(said.implied),
        native=said.trainer in dialects.RUN_SD_SCRIPTS,
    )
    for key, reason in differing:
        s.refuse(key, reason)
    family = recipe.base(s, folder)
    if tables is not None and not replaced:
        images = datasets.of_subsets(s, found, folder) if found else Images(0, False)
        for key in ("train_data_dir", "reg_data_dir"):
            s.idle(key, "the data set file says where the images are")
        s.used |= {"num_repeats", "dataset_repeats"}
    else:
        images = datasets.of_folders(s, folder)
        if found:
            s.refuse("image_dir", "no effect here (--images says which images are shown, and how often)")
    if images.concepts is not None:
        s.put("data.concepts", CONCEPTS, "image_dir")
    network(s, folder, family)
    rates(s, optimiser(s))
    schedule(s)
    recipe.noise(s, family)
    recipe.compute(s)
    _data(s, images)
    judge, save = recipe.judge(s, folder), recipe.save(s)
    recipe.fields(s, said, family)
    s.same()
    _epochs(s, images)
    recipe.family_problems(s, family)
    recipe.leave_out_misfits(s, family)
    return s, images, judge, save


def _data(s: Settings, images: Images) -> None:
    """Data keys whose meaning depends on others."""
    _resolution(s)
    length = s.whole("max_token_length", 75) or 75
    s.put("data.max_token_length", length, "max_token_length")
    if s.flag("cache_latents") or s.flag("cache_latents_to_disk"):
        s.put("data.cache_latents", "disk" if s.flag("cache_latents_to_disk") else "memory", "cache_latents")
    elif s.has("cache_latents"):
        s.put("data.cache_latents", "off", "cache_latents")
    if s.flag("color_aug"):
        s.put("data.colour_jitter", 0.05, "color_aug")
        s.refuse("color_aug", "approximated by data.colour_jitter = 0.05")
    if s.number("prior_loss_weight", 1.0) != 1.0 and not images.regularised:
        s.idle("prior_loss_weight", "there are no regularisation images")
        s.plan["data.prior_loss_weight"] = 1.0
    if s.flag("bucket_no_upscale") and not s.flag("enable_bucket"):
        s.idle("bucket_no_upscale", "enable_bucket is false")
        s.plan["data.bucket_no_upscale"] = False
    datasets.caption_files(s)
    if s.flag("weighted_captions"):
        s.convert(
            "weighted_captions",
            "as in sd-scripts since 0.10; before, each caption's mean was restored: data.restore_emphasis = true",
        )
    _captions(s, images)


def _captions(s: Settings, images: Images) -> None:
    """Combinations that sd-scripts' guides warn of."""
    kept = s.whole("keep_tokens", 0, least=0)
    changed = s.flag("shuffle_caption") or s.number("caption_tag_dropout_rate", 0.0)
    if kept and not changed:
        s.plan["data.keep_tokens"] = 0
        if not images.changes_captions:
            s.idle("keep_tokens", "it is read with shuffle_caption = true or caption_tag_dropout_rate only")
    if s.flag("cache_text_encoder_outputs"):
        if s.flag("shuffle_caption"):
            s.problems.append(
                "cache_text_encoder_outputs = true cannot work with shuffle_caption = true, which changes the "
                "texts all the time; keep one."
            )
        if s.plan.get("lora.text_encoder", FIELDS["lora.text_encoder"]):
            s.problems.append(
                "cache_text_encoder_outputs = true cannot work while the text encoder is trained; "
                "set network_train_unet_only = true, or remove it."
            )
        s.used.discard("cache_text_encoder_outputs")


def _resolution(s: Settings) -> None:
    value = s.take("resolution")
    sides = value if isinstance(value, list) else str(512 if value is None else value).split(",")
    try:
        numbers = [int(str(side)) for side in sides]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or min(numbers) < 1:
        s.problems.append(f"resolution must be one number or width and height, but got {value!r}.")
        return
    area = numbers[0] * numbers[-1]
    side = math.isqrt(area)
    if numbers[0] != numbers[-1] and not (side * side == area and s.flag("enable_bucket")):
        side = max(64, side // 64 * 64)
        s.refuse("resolution", f"{value} is no square, which is not supported; {side} x {side} is taken")
    s.put("data.resolution", side, "resolution")


def _epochs(s: Settings, images: Images) -> None:
    epochs = s.whole("max_train_epochs")
    batch = s.whole("batch_size") or s.whole("train_batch_size") or 1
    group = s.whole("gradient_accumulation_steps") or 1
    batches = math.ceil(images.shown * (2 if images.regularised else 1) / batch)
    an_epoch = max(1, math.ceil(batches / group))
    steps = s.whole("max_train_steps", _STEPS) or _STEPS
    if epochs is None:
        epochs = math.ceil(steps / an_epoch)
        if steps % an_epoch and s.has("max_train_steps"):
            s.refuse(
                "max_train_steps", f"approximated: {steps} steps of {an_epoch} an epoch are {epochs} epochs"
            )
    elif s.has("max_train_steps"):
        s.idle("max_train_steps", "max_train_epochs says it")
    s.put("data.epochs", epochs, "max_train_epochs" if s.has("max_train_epochs") else "max_train_steps")
    stop = s.whole("stop_text_encoder_training", 0, least=0)
    if stop and stop < epochs * an_epoch:
        s.put("optimiser.text_stop_share", stop / (epochs * an_epoch), "stop_text_encoder_training")


def _finished(
    made: tuple[Settings, Images, dict[str, Any], dict[str, Any]], said: Translation, name: str
) -> Recipe:
    s, images, judge, save = made
    seed = s.whole("seed", 0, least=-1) or 0
    if seed >= 2**63:
        s.wrong("seed", "below 2 to the power of 63", seed)
        seed = 0
    s.used.add("output_name")
    s.remainder()
    s.problems += _plan_problems(s)
    if s.problems:
        raise StudyError(list(dict.fromkeys(s.problems)))
    plan = build({}, {"seed": max(seed, 0), **s.plan})
    values = {name: _settled(plan, name, value) for name, value in s.plan.items() if value is not None}
    unmet = tuple(dict.fromkeys(said.renamed(one) for one in s.unmet))
    converted = tuple(dict.fromkeys(s.converted))
    return Recipe(name, values, seed, images, judge, save, unmet, converted)


def _settled(plan: TrainingPlan, name: str, value: Any) -> Any:
    """The value as the plan reads it: a number that stood in quotes is a number."""
    section, _, leaf = name.partition(".")
    read = getattr(getattr(plan, section), leaf)
    return value if isinstance(value, (list, dict)) or isinstance(read, Path) else read


def _plan_problems(s: Settings) -> list[str]:
    """What the plan objects to, under sd-scripts' names."""
    stand_in = {"base.path": "x", **({} if _has_images(s) else {"data.folder": "x"})}
    try:
        build({}, {**stand_in, **s.plan})
    except ValidationError as error:
        return [_sentence(s, found) for found in error.errors()]
    return []


def _has_images(s: Settings) -> bool:
    return bool(s.plan.keys() & {"data.folder", "data.folders", "data.concepts"})


def _sentence(s: Settings, found: Any) -> str:
    field = ".".join(map(str, found["loc"][:2]))
    key = s.origin.get(field, field)
    if found["type"] == "value_error":
        where = f"{field}: " if field else ""
        return f"{where}{str(found['ctx']['error']).rstrip('.')}."
    return f"{key}: {found['msg'][0].lower()}{found['msg'][1:]} as {field}, but got {found['input']!r}."
