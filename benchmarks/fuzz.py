"""Made-up input for everything that strangers write: study files, captions, LoRA files, configurations of all trainers.

Whatever is in them, reading ends in a result or in one of the project's own errors; any other exception is a finding.
Cases come from hypothesis, by a seed that is printed, so that a run can be repeated.

    .venv/bin/python -m benchmarks.fuzz --minutes 10
    .venv/bin/python -m benchmarks.fuzz --minutes 3 --target captions --seed 5
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.fuzz_cases import (
    ASSETS,
    LIBRARY,
    Read,
    Target,
    json_values,
    mutated_bytes,
    mutated_toml,
    odd_text,
    scalars,
)
from benchmarks.fuzz_files import FILE_TARGETS
from evaluation.encoders import EncoderError
from search.space import SpaceError
from search.storage import StorageError
from studies.commands import survey
from studies.dialects import files
from studies.errors import StudyError
from studies.report import explanation, notes, usage
from studies.sd_scripts import importing, study_file
from studies.sd_scripts.settings import known_keys
from studies.selection import base_outline, lora_files, lora_runs, lora_slots
from studies.selection.rule import Rule
from studies.spec import plan_file
from studies.spec.paths import study_name
from studies.spec.plan_fields import searchable, size_problems
from studies.spec.planner import Planner
from studies.spec.study_file import JudgeSection, StudySpec, load, parse
from studies.study.models import encoder_problems
from studies.text import terminal
from trainer.bases import base_model, find, prompts
from trainer.bases.errors import BaseModelError
from trainer.bases.prompts import PromptRules
from trainer.data import captions, dataset, images
from trainer.data.folders import NO_RULES
from trainer.data.images import DataError
from trainer.lora_files.layers import LoraFileError
from trainer.plans.base import BasePlan
from trainer.plans.data import DataPlan

OWN = (StudyError, SpaceError, DataError, BaseModelError, LoraFileError, StorageError, EncoderError)
"""What a user can mend, told in sentences."""
ROUND = 200
"""Cases that hypothesis makes from one seed."""
_STEM = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"


@dataclass
class Outcome:
    """What a target's run came to."""

    cases: int = 0
    refused: int = 0
    """Cases that ended in one of the project's own errors."""
    findings: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Place of an unexpected exception -> the shortest case that raised it, and its traceback."""


# Study files ----------------------------------------------------------------------------------------------------------


def _study_files(folder: Path) -> Target:
    texts = [
        path.read_text(encoding="utf-8").replace('"assets/', f'"{ASSETS}/') for path in LIBRARY.glob("*.toml")
    ]
    named = [name.partition(".")[2] for name in searchable()] + [f'"{name}"' for name in searchable()]
    named += [
        key for model in (StudySpec, plan_file.SamplesSection, JudgeSection) for key in model.model_fields
    ]
    read = dataset.read(DataPlan(folder=ASSETS / "demo", resolution=64), (0.15, 0.15), 0)
    path = folder / "study.toml"

    def look(content: bytes) -> None:
        path.write_bytes(content)
        with suppress(OWN):
            plan_file.load(path, ())
        found = load(path)
        base, data = found.shared_plan.base, found.shared_plan.data
        encoder_problems(found.judge)
        size_problems(data, 8)
        find.find(base)
        Planner(found, read, 0).check()
        _ = explanation.rule(Rule.of(found)), found.pruner, found.space.kinds()

    return Target(st.one_of(mutated_toml(texts, named), st.binary(max_size=200)), look)


# Captions -------------------------------------------------------------------------------------------------------------

_TAGS = "sks girl, (smile:1.2), [blurry], looking at viewer, \\(series\\), 1girl, ((best quality)), a photo of, :1.3)"


def _captions(folder: Path) -> Target:
    place = folder / "set" / "2_sks_thing"
    place.mkdir(parents=True)
    for number in range(3):
        Image.effect_noise((24, 24), 60 + number).convert("RGB").save(place / f"{number}.png")
    (folder / "concepts.json").write_text(
        json.dumps([{"instance_data_dir": str(place), "metadata_file": str(folder / "meta.json")}])
    )
    tokenizer = base_model.tokenizer(BasePlan(path=ASSETS / "micro-sd"))
    plan = DataPlan(
        folder=place, shuffle_caption=True, tag_dropout=0.3, keep_tokens=1, weighted_captions=True
    )

    def look(case: tuple[str, bytes]) -> None:
        kind, content = case
        (place / "1.txt" if kind == "text" else folder / "meta.json").write_bytes(content)
        found = images.read([folder / "set"]) if kind == "text" else images.read([], folder / "concepts.json")
        said = [example.caption for example in found.examples]
        survey.trigger(said)
        for caption in said:
            spoken = captions.spoken(caption, NO_RULES, plan, 0, 1)
            prompts.token_counts(tokenizer, [caption, spoken], PromptRules(3, True))
            _check(
                all(map(str.isprintable, terminal.plain(caption).split())) or not caption.isprintable(),
                "terminal",
            )
            bare = re.sub(r"\\.", "", notes.escaped(caption))
            _check(not set(bare) & set("<>[]()!|`\n"), "Markdown")

    texts = st.one_of(
        st.binary(max_size=300),
        odd_text.map(lambda t: t.encode(errors="replace")),
        mutated_bytes(_TAGS.encode()),
    )
    names = st.sampled_from(["0", "0.png", "1.png", "./2.png", str(place / "1.png")])
    entries = st.dictionaries(
        names, st.fixed_dictionaries({}, optional={"caption": json_values, "tags": json_values}) | json_values
    )
    tables = st.one_of(entries, json_values).map(lambda table: json.dumps(table).encode(errors="replace"))
    broken = st.one_of(st.binary(max_size=80), tables.flatmap(mutated_bytes), tables)
    return Target(st.one_of(st.tuples(st.just("text"), texts), st.tuples(st.just("table"), broken)), look)


def _check(held: bool, what: str) -> None:
    if not held:
        raise AssertionError(f"{what} lets something through")


# LoRA files -----------------------------------------------------------------------------------------------------------

_KEYS = [f"{_STEM}.{end}" for end in ("lora_down.weight", "lora_up.weight", "alpha", "dora_scale", "lokr_w1")]
_KEYS += [
    f"unet.{_STEM}.lora_A.weight",
    "unet.x.alpha",
    "base_model.model.x.lora_A.weight",
    "__metadata__",
    "",
]
_TYPES = ["F32", "F16", "BF16", "F64", "I8", "BOOL", "F8_E4M3", "C64", "U64", "f32", "", None, 3]


@st.composite
def _headers(draw: st.DrawFn) -> bytes:
    """A LoRA of one layer whose header was changed, or whose bytes were."""
    rank, kind = draw(st.integers(0, 5)), draw(st.sampled_from(["F32", "F16", "BF16"]))
    wide = draw(st.sampled_from([96, 96, 96, 64, 0]))
    shapes = {
        _KEYS[0]: [rank, wide],
        _KEYS[1]: [wide, rank],
        _KEYS[2]: draw(st.sampled_from([[], [1], [2], [0]])),
    }
    header: dict[str, Any] = {}
    end = 0
    for key in draw(st.permutations(list(shapes))):
        size = 1
        for side in shapes[key]:
            size *= side
        begin, end = end, end + size * (4 if kind == "F32" else 2)
        header[key] = {"dtype": kind, "shape": shapes[key], "data_offsets": [begin, end]}
    said = {
        "ss_epoch": "3",
        "ss_tag_frequency": json.dumps(draw(json_values)),
        "lora_adapter_metadata": draw(st.one_of(st.just("{}"), json_values.map(json.dumps))),
    }
    header["__metadata__"] = draw(
        st.one_of(st.just(said), st.dictionaries(odd_text, json_values, max_size=3))
    )
    for _ in range(draw(st.integers(0, 2))):
        _change(draw, header)
    text = draw(mutated_bytes(json.dumps(header).encode(), rarely=True))
    length = draw(st.one_of(st.just(len(text)), st.just(len(text)), st.integers(0, 2**64 - 1)))
    return length.to_bytes(8, "little") + text + draw(st.sampled_from([b"\0", b"\xff"])) * end


def _change(draw: st.DrawFn, header: dict[str, Any]) -> None:
    key = draw(st.sampled_from(list(header)))
    numbers = st.lists(st.integers(-1, 2**65) | st.integers(0, 100) | scalars, max_size=9)
    match draw(st.sampled_from(["dtype", "shape", "data_offsets", "entry", "rename", "drop"])):
        case "dtype" | "shape" | "data_offsets" as part if isinstance(header[key], dict):
            header[key] = header[key] | {
                part: draw(st.sampled_from(_TYPES) if part == "dtype" else numbers | json_values)
            }
        case "entry":
            header[key] = draw(json_values)
        case "rename":
            header[draw(st.sampled_from(_KEYS) | odd_text)] = header.pop(key)
        case _:
            del header[key]
            header.setdefault("__metadata__", {})


def _lora_files(folder: Path) -> Target:
    base = base_outline.outline(find.find(BasePlan(path=ASSETS / "micro-sd")))
    path = folder / "x-000002.safetensors"

    def look(content: bytes) -> None:
        path.write_bytes(content)
        facts = lora_files.metadata(path)
        usage.advice(facts)
        lora_runs.amounts(lora_runs.arrange([(path, facts)]).checkpoints)
        content, problem = lora_files.examined(path, base)
        if content is None:
            raise LoraFileError(problem)
        lora_slots.shape(content.low_rank, base)

    return Target(st.one_of(_headers(), st.binary(max_size=120)), look)


# Configurations of sd-scripts -----------------------------------------------------------------------------------------

_CONFIG = f"""\
pretrained_model_name_or_path = "{ASSETS / "micro-sd"}"
train_data_dir = "{ASSETS / "demo"}"
max_train_epochs = 4
network_dim = 8
network_args = ["conv_dim=4", "down_lr_weight=1,1,1"]
optimizer_type = "AdamW8bit"
optimizer_args = ["weight_decay=0.1", "betas=(0.9, 0.99)"]
[train]
learning_rate = 1e-4
lr_scheduler = "cosine_with_restarts"
resolution = "64,64"
keep_tokens = 1
shuffle_caption = true
"""
_DATASET = f"""\
[general]
shuffle_caption = true
[[datasets]]
resolution = 64
batch_size = 2
[[datasets.subsets]]
image_dir = "{next((ASSETS / "demo").glob("*_*"))}"
num_repeats = 2
class_tokens = "sks"
"""


def _sd_scripts(folder: Path) -> Target:
    config, data = folder / "config.toml", folder / "dataset.toml"
    keys = [
        *known_keys(),
        "dataset_config",
        "datasets",
        "general",
        "subsets",
        "image_dir",
        "metadata_file",
        "is_reg",
    ]

    def look(case: tuple[bytes, bytes | None]) -> None:
        config.write_bytes(case[0])
        data.write_bytes(case[1] or b"")
        recipe = importing.read(config, None if case[1] is None else data)
        listed = "c.json" if recipe.images.concepts is not None else None
        parse(study_file.text(recipe, "config.toml", listed), folder, "out.toml")
        study_name(recipe.name).encode()

    configs = st.one_of(mutated_toml([_CONFIG], keys), st.binary(max_size=100))
    return Target(st.tuples(configs, st.none() | mutated_toml([_DATASET], keys)), look)


# Configurations of other trainers -------------------------------------------------------------------------------------

_CONFIGURATIONS = LIBRARY.parents[1] / "tests" / "studies" / "sd_scripts" / "configurations"


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every value of a nested table stands."""
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, entry in entries:
        yield (*path, key)
        yield from _places(entry, (*path, key))


@st.composite
def _mutated_table(draw: st.DrawFn, tables: Sequence[dict[str, Any]]) -> bytes:
    """A table with some of its values replaced, or lost, as JSON."""
    table = json.loads(json.dumps(draw(st.sampled_from(tables))))
    for _ in range(draw(st.integers(1, 3))):
        *inner, last = draw(st.sampled_from(list(_places(table)) or [("x",)]))
        place = table
        for key in inner:
            place = place[key]
        if draw(st.integers(0, 4)):
            place[last] = draw(json_values)
        elif len(table) > 1:
            del place[last]
    return json.dumps(table).encode()


def _other_trainers(folder: Path) -> Target:
    marks = {"@BASE@": ASSETS / "micro-sd", "@TRAIN@": ASSETS / "demo", "@HERE@": folder}
    marks["@CAT@"] = next((ASSETS / "demo").glob("*_*"))
    texts: list[tuple[str, str]] = []
    for listed in sorted(_CONFIGURATIONS.glob("*.toml")):
        told = tomllib.loads(listed.read_text())
        for case in told["case"]:
            text = str(case["text"])
            for mark, value in marks.items():
                text = text.replace(mark, str(value))
            texts.append((case.get("suffix", told["suffix"]), text))
    tables = [files.table(text, f"config{suffix}") for suffix, text in texts]

    def look(case: tuple[str, bytes]) -> None:
        path = folder / f"config{case[0]}"
        path.write_bytes(case[1])
        recipe = importing.read(path)
        listed = "c.json" if recipe.images.concepts is not None else None
        parse(study_file.text(recipe, path.name, listed), folder, "out.toml")

    networks = [
        json.loads(content)
        for listed in _CONFIGURATIONS.glob("*.toml")
        for case in tomllib.loads(listed.read_text())["case"]
        for content in case.get("beside", {}).values()
    ]
    keeper = {"model_family": "sd1x", "lora_type": "lycoris", "lycoris_config": "network.json"}
    keeper["pretrained_model_name_or_path"] = str(ASSETS / "micro-sd")

    def look_beside(case: tuple[str, bytes]) -> None:
        if case[0] != "network":
            return look(case)
        (folder / "network.json").write_bytes(case[1])
        return look((".json", json.dumps(keeper).encode()))

    beside = st.tuples(st.just("network"), _mutated_table(networks))
    changed = st.sampled_from(texts).flatmap(
        lambda text: st.tuples(st.just(text[0]), mutated_bytes(text[1].encode()))
    )
    made = st.tuples(st.just(".json"), _mutated_table(tables))
    return Target(made | made | changed | beside, look_beside)


TARGETS: dict[str, Callable[[Path], Target]] = {
    "study files": _study_files,
    "captions": _captions,
    "LoRA headers": _lora_files,
    "sd-scripts": _sd_scripts,
    "other trainers": _other_trainers,
    **FILE_TARGETS,
}


# Running --------------------------------------------------------------------------------------------------------------


def fuzz(target: Target, seconds: float, first: int = 0, most: int | None = None) -> Outcome:
    """Reads cases until the time or their number is spent.

    Args:
        target: what is made up and read.
        seconds: time.
        first: seed of the first round.
        most: cases.
    """
    outcome = Outcome()
    ends = time.monotonic() + seconds
    for number in range(first, first + 10**9):
        if time.monotonic() > ends or (most is not None and outcome.cases >= most):
            return outcome
        _round(target, outcome, number, ends, min(ROUND, most or ROUND))
    return outcome


def _round(target: Target, outcome: Outcome, number: int, ends: float, count: int) -> None:
    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.cases)
    def each(case: Any) -> None:
        if time.monotonic() <= ends:
            _one(target.read, case, outcome)

    each()


def _one(read: Read, case: Any, outcome: Outcome) -> None:
    outcome.cases += 1
    try:
        read(case)
    except OWN:
        outcome.refused += 1
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
        said = "".join(traceback.format_exception(error))
        if place not in outcome.findings or len(repr(case)) < len(outcome.findings[place][0]):
            outcome.findings[place] = repr(case), said


def main() -> None:
    """Fuzzes one target after the other and prints what came of it."""
    asked = _arguments()
    found: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory() as scratch, chdir(scratch):
        for name in asked.target or list(TARGETS):
            folder = Path(scratch) / name.replace(" ", "-")
            folder.mkdir()
            found[name] = fuzz(TARGETS[name](folder), 60 * asked.minutes, asked.seed)
            for place, (case, said) in found[name].findings.items():
                print(f"{name}: {place}\n  case: {case[:2000]}\n{said}", file=sys.stderr)
    table = Table("target", "cases", "refused", "findings")
    for name, outcome in found.items():
        table.add_row(name, f"{outcome.cases:,}", f"{outcome.refused:,}", str(len(outcome.findings)))
    Console().print(table)
    print(f"seed {asked.seed}, {asked.minutes:g} minutes a target")
    facts = {
        "cases": {name: outcome.cases for name, outcome in found.items()},
        "tracebacks": sum(len(outcome.findings) for outcome in found.values()),
    }
    print(json.dumps(facts))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="time for each target, in minutes [default: 10]"
    )
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="one or more [default: all]")
    parser.add_argument("--seed", type=int, default=0, help="of the first round of 200 cases [default: 0]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
