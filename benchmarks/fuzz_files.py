"""Targets of ``benchmarks.fuzz`` that are files in folders: LoRA files of all dialects, names, pictures, captions."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save, save_file

from benchmarks.fuzz_cases import ASSETS, Target, json_values, mutated_bytes, odd_text
from studies.commands import export, survey
from studies.errors import StudyError
from studies.report import readers, usage
from studies.selection import base_outline, lora_files, lora_runs, lora_slots, sample_names
from trainer.bases import find
from trainer.data import images
from trainer.lora_files import spelling
from trainer.lora_files.layers import LoraFileError
from trainer.plan import TrainingPlan
from trainer.plan_paths import KEY, without_folders
from trainer.plans.base import BasePlan
from trainer.plans.data import DataPlan

_SIDES = st.integers(0, 5) | st.sampled_from([1, 8, 64, 96, 128, 256, 576])
_TYPES = st.sampled_from(
    [torch.float32, torch.float32, torch.float16, torch.bfloat16, torch.int8, torch.bool]
)
_MOST_VALUES = 200_000
"""Of one made-up tensor."""


@st.composite
def _tensors(draw: st.DrawFn, shape: tuple[int, ...]) -> torch.Tensor:
    """A tensor with the sides of a layer's weight, changed at most a little."""
    sides = list(shape)
    for _ in range(draw(st.integers(0, 2))):
        match draw(st.sampled_from(["change", "drop", "add"])):
            case "change" if sides:
                sides[draw(st.integers(0, len(sides) - 1))] = draw(_SIDES)
            case "drop" if sides:
                sides.pop(draw(st.integers(0, len(sides) - 1)))
            case _ if len(sides) < 6:
                sides.insert(draw(st.integers(0, len(sides))), draw(_SIDES))
    count = 1
    for side in sides:
        count *= side
    sides = sides if count <= _MOST_VALUES else [1]
    value = draw(st.sampled_from([0.0, 0.1, 1.0, -2.0, 1e30, float("nan"), float("inf")]))
    kind = draw(_TYPES)
    return torch.full(sides, value if kind.is_floating_point else 1.0).to(kind)


_RANKED: Mapping[str, Callable[[tuple[int, ...], int], tuple[int, ...]]] = {
    "lora_down.weight": lambda shape, rank: (rank, *shape[1:]),
    "lora_up.weight": lambda shape, rank: (shape[0], rank, *(1 for _ in shape[2:])),
    "lora_A.weight": lambda shape, rank: (rank, *shape[1:]),
    "lora_B.weight": lambda shape, rank: (shape[0], rank, *(1 for _ in shape[2:])),
    "lora_mid.weight": lambda shape, rank: (rank, rank, *shape[2:]),
    "lora_magnitude_vector": lambda shape, _: shape[:1],
    "dora_scale": lambda shape, _: (shape[0], *(1 for _ in shape[1:])),
    "hada_w1_a": lambda shape, rank: (shape[0], rank),
    "hada_w2_a": lambda shape, rank: (shape[0], rank),
    "hada_w1_b": lambda shape, rank: (rank, *shape[1:]),
    "hada_w2_b": lambda shape, rank: (rank, *shape[1:]),
    "hada_t1": lambda shape, rank: (rank, rank, *shape[2:]),
    "lokr_w1": lambda *_: (4, 4),
    "lokr_w1_a": lambda _, rank: (4, rank),
    "lokr_w1_b": lambda _, rank: (rank, 4),
    "lokr_w2": lambda shape, _: (shape[0] // 4, *(shape[1] // 4 for _ in shape[1:2]), *shape[2:]),
    "lokr_w2_a": lambda shape, rank: (shape[0] // 4, rank),
    "lokr_w2_b": lambda shape, rank: (rank, *(shape[1] // 4 for _ in shape[1:2])),
    "a1.weight": lambda shape, rank: (*shape[1:2], rank),
    "a2.weight": lambda shape, rank: (rank, *shape[1:2]),
    "b1.weight": lambda shape, rank: (shape[0], rank),
    "b2.weight": lambda shape, rank: (rank, *shape[1:]),
    "oft_blocks": lambda shape, rank: (max(1, shape[0] // max(rank, 1)), rank, rank),
    "rescale": lambda shape, _: shape[:1],
    "diff": lambda shape, _: shape,
    "diff_b": lambda shape, _: shape[:1],
    "w_norm": lambda shape, _: shape,
    "weight": lambda shape, _: shape[:1],
    "on_input": lambda *_: (),
    "alpha": lambda *_: (),
    "scalar": lambda *_: (),
}
"""Tensors that layers may have, and their shapes by the weight's and a rank."""
_SETS = (
    ("lora_down.weight", "lora_up.weight", "alpha"),
    ("lora_down.weight", "lora_up.weight", "lora_mid.weight"),
    ("lora_A.weight", "lora_B.weight", "lora_magnitude_vector"),
    ("lora_down.weight", "lora_up.weight", "alpha", "dora_scale"),
    ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "alpha"),
    ("lokr_w1", "lokr_w2_a", "lokr_w2_b", "alpha"),
    ("lokr_w1_a", "lokr_w1_b", "lokr_w2"),
    ("a1.weight", "a2.weight", "b1.weight", "b2.weight", "alpha"),
    ("oft_blocks", "alpha"),
    ("weight", "on_input"),
    ("diff", "diff_b"),
    ("w_norm",),
)


_PEFT_SETS = (
    ("lora_A.weight", "lora_B.weight"),
    ("lora_A.weight", "lora_B.weight", "lora_magnitude_vector"),
    ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"),
    ("lokr_w1", "lokr_w2_a", "lokr_w2_b"),
)


@st.composite
def _loras(
    draw: st.DrawFn, shapes: Mapping[str, tuple[int, ...]], sets: Sequence[tuple[str, ...]] = _SETS
) -> dict[str, torch.Tensor]:
    """A LoRA of a few layers, each with the tensors of an algorithm, some of them lost, added or misshapen.

    Args:
        draw: hypothesis'.
        shapes: of the base model's weights, by the file's name of their layers.
        sets: tensors of the algorithms.
    """
    found = {}
    for _ in range(draw(st.integers(1, 3))):
        layer, rank = draw(st.sampled_from(list(shapes))), draw(st.integers(1, 4))
        added = (
            st.lists(st.sampled_from(list(_RANKED)), max_size=1)
            if draw(st.integers(0, 3)) == 0
            else st.just([])
        )
        names = [*draw(st.sampled_from(list(sets))), *draw(added)]
        for name in dict.fromkeys(names):
            if draw(st.integers(0, 12)):
                wanted = _RANKED[name](shapes[layer], rank)
                value = torch.full(wanted, 0.1) if draw(st.integers(0, 5)) else draw(_tensors(wanted))
                found[f"{layer}{'.' if draw(st.integers(0, 30)) else '_'}{name}"] = value
    return found


def _spelled(base: base_outline.Outline) -> dict[str, tuple[int, ...]]:
    """The base model's layers as programs spell them, with the shapes of their weights."""
    wide = {name: shape for name, shape in base.shapes.items() if torch.Size(shape).numel() <= _MOST_VALUES}
    return {name: wide[layer] for name, layer in spelling.layers(base.names, wide).items()} | wide


def _base() -> base_outline.Outline:
    return base_outline.outline(find.find(BasePlan(path=ASSETS / "micro-sd")))


def _read(path: Path, base: base_outline.Outline) -> None:
    content, problem = lora_files.examined(path, base)
    if content is None:
        raise LoraFileError(problem)
    lora_slots.shape(content.low_rank, base)
    lora_slots.values(content, base)


def _dialects(folder: Path) -> Target:
    base = _base()
    path = folder / "x.safetensors"

    def look(tensors: dict[str, torch.Tensor]) -> None:
        save_file(tensors, path)
        _read(path, base)

    return Target(_loras(_spelled(base)), look)


_CONFIG: dict[str, Any] = {
    "peft_type": "LORA",
    "r": 4,
    "lora_alpha": 2,
    "target_modules": ["to_q"],
    "alpha_pattern": {"to_q": 3},
    "rank_pattern": {},
    "use_rslora": False,
    "use_dora": False,
    "bias": "none",
}


def _peft(folder: Path) -> Target:
    base = _base()
    named = {
        f"base_model.model.{layer.removeprefix('unet.')}": shape
        for layer, shape in base.shapes.items()
        if layer.startswith("unet.") and len(shape) > 1
    }
    place = folder / "lora" / "unet"
    place.mkdir(parents=True)
    kinds = ["LORA", "LOHA", "LOKR", "OFT", "BOFT", "IA3", "VERA", "PREFIX_TUNING", 3, None]
    extra = {
        "peft_type": st.sampled_from(kinds),
        "alpha": json_values,
        "r": json_values,
        "init_lora_weights": st.sampled_from([True, "pissa", "loftq"]) | json_values,
        "oft_block_size": st.integers(-1, 40),
        "module_dropout": st.just(0.0),
        "feedforward_modules": st.just(["ff.net.2"]),
    }
    values = {**dict.fromkeys(_CONFIG, json_values), **extra}
    one = st.sampled_from(list(values)).flatmap(lambda key: st.tuples(st.just(key), values[key]))
    changed = st.lists(one | st.tuples(odd_text, json_values), max_size=2).map(dict)
    plain = (st.just({}) | changed).map(lambda parts: json.dumps(_CONFIG | parts).encode(errors="replace"))
    configs = st.one_of(plain, plain, plain, plain.flatmap(mutated_bytes) | st.binary(max_size=40))

    def look(case: tuple[bytes, dict[str, torch.Tensor]]) -> None:
        (place / "adapter_config.json").write_bytes(case[0])
        save_file(case[1], place / "adapter_model.safetensors")
        _read(folder / "lora", base)

    return Target(st.tuples(configs, _loras(named, _PEFT_SETS)), look)


def _metadata(folder: Path) -> Target:
    """What export, its readers' notes and its advice make of what a file says of itself."""
    places = TrainingPlan(
        base=BasePlan(path=ASSETS / "micro-sd"), data=DataPlan(folder=ASSETS / "demo", resolution=64)
    )
    plan = json.loads(without_folders(places).model_dump_json())
    source, target = folder / "x.safetensors", folder / "out"
    stem = "lora_unet_mid_block_attentions_0_proj_in"
    tensors = {f"{stem}.lora_down.weight": torch.ones(2, 256), f"{stem}.lora_up.weight": torch.ones(256, 2)}

    def look(facts: dict[str, str]) -> None:
        source.write_bytes(save(tensors, metadata=facts))
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        usage.advice(facts)
        with suppress(StudyError):
            list(export.write_recipe(source, target, "x", places, force=True))
        said = export.write_lora(source, target / "x.safetensors", "kohya", places, force=True)
        readers.of_file(said)
        export.write_lora(source, target / "y.safetensors", "diffusers", places, force=True)

    sections = st.sampled_from(list(plan))
    plans = st.one_of(
        json_values,
        st.just(plan),
        st.tuples(sections, json_values).map(lambda part: plan | {part[0]: part[1]}),
        st.tuples(sections, st.sampled_from(["rank", "path", "folder", "name", "x"]), json_values).map(
            lambda part: plan | {part[0]: dict(_table(plan[part[0]]), **{part[1]: part[2]})}
        ),
    ).map(lambda value: json.dumps(value))
    other = st.dictionaries(
        st.sampled_from(["ss_tag_frequency", "ss_epoch", "ss_num_train_images", "ss_network_args"]),
        odd_text.map(_utf8) | json_values.map(json.dumps),
        max_size=3,
    )
    return Target(st.tuples(other, plans).map(lambda parts: {**parts[0], KEY: parts[1]}), look)


def _utf8(text: str) -> str:
    return text.encode(errors="replace").decode()


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


_NUMBERS = st.integers(0, 10**12).map(str) | st.sampled_from(
    ["000250", "000000250", "00", "7", "٣", "²", "-1"]
)
_WORDS = (
    st.sampled_from(
        [
            "cat",
            "epoch",
            "step",
            "steps",
            "checkpoint",
            "e",
            "s",
            "save",
            "backup",
            "sample",
            "training-sample",
            "last",
        ]
    )
    | odd_text
)
_PARTS = st.lists(
    st.one_of(_NUMBERS, _WORDS, st.sampled_from(["2026-11-30_10-15-00", "20261130101500", "v2"])), max_size=6
)


@st.composite
def _names(draw: st.DrawFn) -> str:
    """A file's stem as trainers may write it."""
    joined = "".join(part + draw(st.sampled_from(["-", "_", "__", " ", "."])) for part in draw(_PARTS))
    return joined.replace("/", "").replace("\0", "")[: draw(st.integers(1, 120))]


def _lora_names(_: Path) -> Target:
    facts = st.dictionaries(
        st.sampled_from(
            ["ss_output_name", "ss_epoch", "ss_steps", "ss_total_batch_size", "ss_num_batches_per_epoch"]
        ),
        st.one_of(_names(), _NUMBERS, odd_text),
        max_size=5,
    )
    folders = st.sampled_from(["", "a", "a/checkpoint-500", "2026", "."])
    files = st.tuples(folders, _names(), st.sampled_from([".safetensors", ".SAFETENSORS", ""]), facts)

    def look(case: list[tuple[str, str, str, dict[str, str]]]) -> None:
        found = lora_runs.arrange([(Path(place) / f"{name}{end}", said) for place, name, end, said in case])
        lora_runs.amounts(found.checkpoints)
        if not case:
            raise LoraFileError("no files")

    return Target(st.lists(files, max_size=6), look)


def _sample_names(_: Path) -> Target:
    def look(case: list[str]) -> None:
        found = sample_names.arrange([Path("sample") / f"{name}.png" for name in case])
        if not found.numbers:
            raise StudyError("no pictures")

    return Target(st.lists(_names(), max_size=12), look)


def _pictures() -> dict[str, bytes]:
    """A small picture in every format that Pillow reads by itself."""
    found, picture = {}, Image.effect_noise((24, 24), 60).convert("RGB")
    for form in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"):
        stream = io.BytesIO()
        picture.save(stream, form)
        found[form] = stream.getvalue()
    return found


def _image_files(folder: Path) -> Target:
    path = folder / "x.png"
    contents = st.sampled_from(list(_pictures().values())).flatmap(mutated_bytes)

    def look(content: bytes) -> None:
        path.write_bytes(content)
        images.open_rgb(path)

    return Target(contents | st.binary(max_size=60), look)


_ENDS = (
    *(".png", ".PNG", ".jpg", "-masklabel.png", "-condlabel.png", ".heic", ".jxl"),
    *(".txt", ".caption", ".png.txt", ".jpeg.caption", ".json", ".npz", ""),
)


def _image_folders(folder: Path) -> Target:
    """Names of pictures, masks and captions in a folder."""
    place, small = folder / "set", _pictures()["PNG"]
    ends = st.sampled_from(list(_ENDS))
    files = st.lists(st.tuples(_names(), ends, st.binary(max_size=40)), max_size=8)
    inner = st.sampled_from(["2_cat", "cat", "0_cat", "img/3_cat", "", "-1_x", "٣_x"])

    def look(case: tuple[str, list[tuple[str, str, bytes]]]) -> None:
        shutil.rmtree(place, ignore_errors=True)
        target = place / case[0]
        target.mkdir(parents=True)
        for number in range(3):
            (target / f"{number}.png").write_bytes(small + bytes([number]))
        for name, end, content in case[1]:
            with suppress(OSError):
                picture = end.lower() in (".png", "-masklabel.png", "-condlabel.png")
                (target / f"{name}{end}").write_bytes(small + content if picture else content)
        found = images.read([place])
        survey.trigger([example.caption for example in found.examples])

    return Target(st.tuples(inner, files), look)


def _caption_tables(folder: Path) -> Target:
    """``metadata.jsonl`` and concept lists."""
    place = folder / "set" / "2_cat"
    place.mkdir(parents=True)
    for number in range(3):
        Image.effect_noise((24, 24), 60 + number).convert("RGB").save(place / f"{number}.png")
    keys = st.sampled_from(["file_name", "text", "caption", "prompt"]) | odd_text
    values = st.sampled_from(["0.png", "1.png", "./2.png", "set\\0.png"]) | json_values
    lines = st.lists(st.dictionaries(keys, values, max_size=3) | json_values, max_size=4).map(
        lambda entries: "\n".join(map(json.dumps, entries)).encode(errors="replace")
    )
    concepts = st.lists(
        st.fixed_dictionaries(
            {"instance_data_dir": st.just(str(place))},
            optional={
                "class_data_dir": json_values,
                "instance_prompt": json_values,
                "metadata_file": json_values,
                "repeats": json_values,
                "num_repeats": json_values,
                "keep_tokens": json_values,
                "caption_dropout": json_values,
            },
        )
        | json_values,
        max_size=2,
    ).map(lambda entries: json.dumps(entries).encode(errors="replace"))

    def look(case: tuple[str, bytes]) -> None:
        kind, content = case
        table = place / "metadata.jsonl"
        table.unlink(missing_ok=True)
        (folder / "concepts.json").write_bytes(content)
        if kind == "lines":
            table.write_bytes(content)
            images.read([folder / "set"])
        else:
            images.read([], folder / "concepts.json")

    made = st.one_of(st.tuples(st.just("lines"), lines), st.tuples(st.just("concepts"), concepts))
    return Target(made | made.flatmap(lambda one: st.tuples(st.just(one[0]), mutated_bytes(one[1]))), look)


FILE_TARGETS: dict[str, Callable[[Path], Target]] = {
    "LoRA dialects": _dialects,
    "PEFT folders": _peft,
    "LoRA metadata": _metadata,
    "LoRA names": _lora_names,
    "sample names": _sample_names,
    "image files": _image_files,
    "image folders": _image_folders,
    "caption tables": _caption_tables,
}
