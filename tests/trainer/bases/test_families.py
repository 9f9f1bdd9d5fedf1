"""The families' folders: their architectures at full size on the meta device, and what one more folder adds."""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests import ldm
from tests.bases import FULL, build_sd
from tests.trainer.driving import pack, steps
from trainer.adapters.targets import convolution_targets
from trainer.bases import base_model, families, find, skeleton
from trainer.bases.conditioning import Framing
from trainer.bases.errors import BaseModelError
from trainer.bases.families import FAMILIES
from trainer.bases.family import Family
from trainer.bases.find import Source
from trainer.bases.tokenizer import MERGES, clip_tokenizer
from trainer.data.caches import TensorCache
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.lora_files import file as lora_file
from trainer.lora_files import formats, spelling
from trainer.lora_files.kohya import Names
from trainer.outcome import EpochEnd
from trainer.plan import TrainingPlan
from trainer.plans.base import BasePlan
from trainer.training import saving

PARAMETERS = {
    "sd1": {"unet": 859_520_964, "text_encoder": 123_060_480},
    "sd2": {"unet": 865_910_724, "text_encoder": 340_387_840},
    "sdxl": {"unet": 2_567_463_684, "text_encoder": 123_060_480, "text_encoder_2": 694_659_840},
}
MODULES = {
    "sd1": {"lora_unet": 192, "lora_te": 72},
    "sd2": {"lora_unet": 192, "lora_te": 138},
    "sdxl": {"lora_unet": 722, "lora_te1": 72, "lora_te2": 192},
}
CONVOLUTIONS = {"sd1": (50, 14, 22), "sd2": (50, 14, 22), "sdxl": (38, 11, 17)}
"""Layers of the convolution blocks: 3x3 (two a ResNet block, one a resampler), 1x1 shortcuts, time embeddings."""


TRANSFORMERS = {
    "sd3": {
        "unet": 2_243_171_520,
        "text_encoder": 123_650_304,
        "text_encoder_2": 694_659_840,
        "text_encoder_3": 4_762_310_656,
    },
    "flux": {"unet": 11_901_408_320, "text_encoder": 123_060_480, "text_encoder_2": 4_762_310_656},
    "zimage": {"unet": 6_154_908_736, "text_encoder": 4_022_468_096},
    "flux2": {"unet": 3_875_544_576, "text_encoder": 4_022_468_096},
    "qwenimage": {"unet": 20_430_401_088, "text_encoder": 8_292_166_656},
    "krea2": {"unet": 12_820_073_036, "text_encoder": 4_437_815_808},
    "chroma": {"unet": 8_899_983_424, "text_encoder": 4_762_310_656},
}
"""SD 3.5 medium, FLUX.1 dev, Z-Image, FLUX.2 Klein 4B, Qwen-Image, Krea 2, Chroma.

LoRAs adapt so many layers: by default, at most.
"""
LAYERS = {
    "sd3": (24 * 8 - 1, 24 * 8 - 1 + 13 * 4 + 24 * 4 - 2),
    "flux": (19 * 12 + 38 * 3, 342 + 38 * 2),
    "zimage": (34 * 4, 34 * 7),
    "flux2": (5 * 4 + 20 * 2, 5 * 12 + 20 * 2),
    "qwenimage": (60 * 4, 60 * 12),
    "krea2": ((28 + 4) * 7 + 1 + 7, (28 + 4) * 8 + 1 + 7),
    "chroma": (19 * 12 + 38 * 3, 342 + 38 * 2),
}

WIDE = 40
"""Width of the text that the added family reads."""
TOY = {
    'name="sd1"': 'name="toy"',
    'title="SD 1.x"': 'title="Toy SD"',
    "generation=1": "generation=1000",
    "text_width=768": f'text_width={WIDE},\n    hub_words=("toy",)',
    "side_step=64": "side_step=8",
    '"sd_v1"': '"toy_v1"',
    '"stable-diffusion-v1"': '"toy-diffusion"',
    '"lora_te_text_model_"': '"lora_te_toy_"',
}
"""What differs in it from SD 1.x."""
CONV = "model.diffusion_model.input_blocks.0.0.weight"
KEY = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"


def source(family: Family) -> Source:
    return Source(family, family.configs, None, None, family.predictions[0], False)


@pytest.fixture(scope="module")
def full() -> dict[str, dict[str, nn.Module]]:
    return {name: skeleton.networks(source(family)) for name, family in FAMILIES.items()}


@pytest.mark.parametrize("family", PARAMETERS)
def test_parameter_counts_are_the_known_ones(family: str, full: dict[str, dict[str, nn.Module]]) -> None:
    counts = {part: sum(p.numel() for p in model.parameters()) for part, model in full[family].items()}
    assert counts == PARAMETERS[family]


@pytest.mark.parametrize("family", TRANSFORMERS)
def test_transformers_and_the_encoders_they_read_have_the_known_sizes_and_layers(family: str) -> None:
    found = source(FAMILIES[family])
    trained = skeleton.networks(found)
    networks = trained | skeleton.readers(found)
    assert {
        part: sum(p.numel() for p in each.parameters()) for part, each in networks.items()
    } == TRANSFORMERS[family]
    counts = tuple(
        sum(name.startswith("unet.") for name in names)
        for names in (skeleton.layers(trained), skeleton.adaptable(trained))
    )
    assert counts == LAYERS[family]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_lora_layer_has_its_own_kohya_key(family: str, full: dict[str, dict[str, nn.Module]]) -> None:
    names = Names.of(FAMILIES[family], full[family]["unet"].config)  # type: ignore[arg-type]
    layers = skeleton.adaptable(full[family])
    stems = [names.stem(layer) for layer in layers]
    assert len(set(stems)) == len(stems)
    spelled = spelling.layers(names, layers)
    assert [spelled[stem] for stem in stems] == list(layers)


@pytest.mark.parametrize("family", MODULES)
def test_there_are_as_many_lora_layers_as_known(family: str, full: dict[str, dict[str, nn.Module]]) -> None:
    names = Names.of(FAMILIES[family], full[family]["unet"].config)  # type: ignore[arg-type]
    stems = [names.stem(layer) for layer in skeleton.layers(full[family])]
    assert Counter("_".join(stem.split("_")[:2]) for stem in stems) == MODULES[family]


@pytest.mark.parametrize("family", PARAMETERS)
def test_convolution_blocks_have_as_many_layers_as_known_and_each_its_own_kohya_key(
    family: str, full: dict[str, dict[str, nn.Module]]
) -> None:
    unet = full[family]["unet"]
    names = Names.of(FAMILIES[family], unet.config)  # type: ignore[arg-type]
    layers = [unet.get_submodule(path) for path in convolution_targets(unet)]
    sizes = [layer.kernel_size if isinstance(layer, nn.Conv2d) else None for layer in layers]
    assert tuple(sizes.count(size) for size in ((3, 3), (1, 1), None)) == CONVOLUTIONS[family]
    adaptable = skeleton.adaptable(full[family])
    assert len({names.stem(layer) for layer in adaptable}) == len(adaptable)
    assert len(adaptable) == sum(MODULES[family].values()) + len(layers)


@pytest.mark.parametrize("family", PARAMETERS)
def test_files_of_others_may_hold_every_layer_with_weights_but_embeddings(
    family: str, full: dict[str, dict[str, nn.Module]]
) -> None:
    held = {
        f"{part}.{name}"
        for part, model in full[family].items()
        for name, module in model.named_modules()
        if dict(module.named_parameters(recurse=False)) and not isinstance(module, nn.Embedding)
    }
    readable = skeleton.readable(full[family])
    assert set(readable) == held
    assert len(readable) == len(set(readable))
    first = {"unet.conv_in", "unet.conv_out", "unet.time_embedding.linear_1", "unet.time_embedding.linear_2"}
    assert first <= set(skeleton.others(full[family]))


def test_sdxl_keys_are_those_of_stabilitys_blocks(full: dict[str, dict[str, nn.Module]]) -> None:
    """The blocks with attention of SDXL base: two transformers of depth 2 and of depth 10 each side."""
    names = Names.of(FAMILIES["sdxl"], full["sdxl"]["unet"].config)  # type: ignore[arg-type]
    stems = [names.stem(layer) for layer in skeleton.layers(full["sdxl"]) if layer.startswith("unet.")]
    wanted = set()
    depths = {f"input_blocks_{i}_1": depth for i, depth in ((4, 2), (5, 2), (7, 10), (8, 10))}
    depths |= {"middle_block_1": 10}
    depths |= {f"output_blocks_{i}_1": 10 if i < 3 else 2 for i in range(6)}
    for place, depth in depths.items():
        wanted |= {f"lora_unet_{place}_proj_in", f"lora_unet_{place}_proj_out"}
        for block in range(depth):
            for attention in ("attn1", "attn2"):
                for layer in ("to_q", "to_k", "to_v", "to_out_0"):
                    wanted.add(f"lora_unet_{place}_transformer_blocks_{block}_{attention}_{layer}")
            for layer in ("ff_net_0_proj", "ff_net_2"):
                wanted.add(f"lora_unet_{place}_transformer_blocks_{block}_{layer}")
    assert len(wanted) == 722
    assert set(stems) == wanted


def test_every_convolution_of_sdxl_has_the_name_that_its_checkpoint_gives_it(
    full: dict[str, dict[str, nn.Module]],
) -> None:
    """Against the enumeration of blocks in ``tests.ldm``."""
    from tests.ldm import unet

    model = full["sdxl"]["unet"]
    names = Names.of(FAMILIES["sdxl"], model.config)  # type: ignore[arg-type]
    wanted = dict(zip(model.state_dict(), unet(model), strict=True))
    convolutions = [
        name for name, module in model.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    assert len(convolutions) > 722
    for path in convolutions:
        theirs = wanted[f"{path}.weight"].removesuffix(".weight").replace(".", "_")
        assert names.stem(f"unet.{path}") == f"lora_unet_{theirs}"


def test_the_tokenizer_gives_clips_known_numbers() -> None:
    """Begin and end of text are 49406 and 49407; "a photo of a cat" is a fixture of CLIP's own documentation."""
    tokens = clip_tokenizer("<|endoftext|>")("a photo of a cat", padding="max_length").input_ids
    assert tokens[:7] == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert set(tokens[7:]) == {49407}
    assert len(tokens) == 77
    padded = clip_tokenizer("!")("a", padding="max_length").input_ids
    assert padded[3:] == [0] * 74
    assert len(clip_tokenizer("!")) == 49408


def test_the_shipped_merges_are_few_bytes_and_all_there() -> None:
    assert MERGES.stat().st_size < 250_000
    assert len(gzip.decompress(MERGES.read_bytes()).decode().splitlines()) == 48_894
    assert "OpenAI, MIT License" in (MERGES.parent / "LICENSE.txt").read_text()


def test_everything_that_is_shipped_is_package_data() -> None:
    import tomllib

    root = Path(__file__).parents[3]
    packaging = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    reached = {
        file
        for package, patterns in packaging["package-data"].items()
        for pattern in patterns
        for file in root.joinpath(*package.split(".")).glob(pattern)
    }
    configs = {file for family in FAMILIES.values() for file in family.configs.rglob("*.json")}
    assert len(configs) >= 3 * 5 + 1
    assert configs | {MERGES, MERGES.parent / "LICENSE.txt"} <= reached


def test_every_folder_with_sources_is_a_package_of_the_wheel() -> None:
    """setuptools finds packages by their ``__init__.py``, so a new folder is named nowhere."""
    import tomllib

    root = Path(__file__).parents[3]
    packaging = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = packaging["packages"]["find"]["include"]
    assert found == ["evaluation*", "search*", "studies*", "trainer*"]
    folders = {file.parent for top in found for file in (root / top.removesuffix("*")).rglob("*.py")}
    assert {root / "trainer" / "lora_files", FAMILIES["sdxl"].configs} <= folders
    assert all((folder / "__init__.py").is_file() for folder in folders)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_what_a_family_says_of_itself_is_what_its_configuration_says(family: Family) -> None:
    """Each fact that stands in the shipped configuration too."""
    index, own, vae = (
        json.loads((family.configs / file).read_text())
        for file in ("model_index.json", f"{family.denoiser.part}/config.json", "vae/config.json")
    )
    assert family.name == family.configs.name
    assert index["_class_name"] == family.pipeline
    encoders = {part: index[part][1] for part in family.parts if part.startswith("text_encoder")}
    assert encoders == {encoder.part: encoder.architecture for encoder in family.text_encoders}
    assert set(family.parts) <= index.keys()
    assert own["_class_name"] == family.denoiser.architecture
    assert own["in_channels"] == family.denoiser.packing * find.made_channels(vae)
    assert find.native_side(source(family)) == family.native_side
    assert find.side_step(source(family)) == family.side_step
    if not family.flows:
        assert own["cross_attention_dim"] == family.text_width
        assert own.get("use_linear_projection", False) == family.linear_projection
        sizes = family.functions.numbers(own, Framing.whole((64, 64)), 1.0)
        assert bool(sizes) == (family.name == "sdxl")
        assert vae["sample_size"] == family.native_side


@pytest.fixture(scope="module")
def micro_wide(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A micro SD 1.x that reads wider text than any family does."""
    folder = tmp_path_factory.mktemp("wide") / "micro-wide"
    return build_sd(folder, assets / "micro-sd", second=False, vocabulary=FULL, width=WIDE)


@pytest.fixture
def toy(micro_wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Family]:
    """A family added as a contributor adds one: the nearest family's folder, with what differs."""
    folder = tmp_path / "families" / "toy"
    shutil.copytree(micro_wide, folder, ignore=shutil.ignore_patterns("tokenizer", "*.safetensors"))
    facts = (FAMILIES["sd1"].configs / "__init__.py").read_text()
    for theirs, own in TOY.items():
        assert theirs in facts
        facts = facts.replace(theirs, own)
    (folder / "__init__.py").write_text(facts)
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(folder.parent)])
    monkeypatch.setattr(families, "FAMILIES", families.read())
    yield families.FAMILIES["toy"]
    del sys.modules["trainer.bases.families.toy"], families.toy  # type: ignore[attr-defined]


def test_a_folder_adds_a_family_whose_bases_are_found(
    toy: Family, micro_wide: Path, assets: Path, tmp_path: Path
) -> None:
    assert list(families.FAMILIES) == [*FAMILIES, "toy"]
    file = ldm.single_file(micro_wide, tmp_path / "wide.safetensors")
    assert find.find(BasePlan(path=micro_wide)).family == find.find(BasePlan(path=file)).family == toy
    assert find.find(BasePlan(path=assets / "micro-sd")).family == FAMILIES["sd1"]
    assert find.family_of("someone/toy-1.5") == toy
    assert base_model.size_step(file) == base_model.size_step(micro_wide) == toy.side_step
    other = tmp_path / "other.safetensors"
    save_file({CONV: torch.zeros(4, 4, 3, 3), KEY: torch.zeros(4, 4096)}, other)
    with pytest.raises(BaseModelError, match=r"SD 1\.x reads 768, SD 2\.x 1024, SDXL 2048.* and Toy SD 40\."):
        base_model.check(other)


def test_a_lora_of_an_added_family_is_trained_and_written_under_its_names(
    toy: Family,
    micro_wide: Path,
    tmp_path: Path,
    few_dataset: Dataset,
    make_plan: Callable[..., TrainingPlan],
) -> None:
    """Loaded from a single file, so with the configuration that lies in the family's folder."""
    path = ldm.single_file(micro_wide, tmp_path / "wide.safetensors")
    base = base_model.load(path, device=torch.device("cpu"))
    training = pack(Encoded(few_dataset, base, TensorCache(tmp_path / "cache")), 1)
    training.admit(0, make_plan(path=path, text_encoder=True, epochs=1))
    ends = [event for event in steps(training, 5) if isinstance(event, EpochEnd)]
    saving.save_lora(tmp_path / "lora.safetensors", training, ends[0], "no")
    lora = lora_file.read(tmp_path / "lora.safetensors")
    stems = {key.partition(".")[0] for key in lora.tensors}
    layers = skeleton.layers(skeleton.networks(source(toy)))
    assert stems == {Names.of(toy, base.unet.config).stem(layer) for layer in layers}
    assert sum(stem.startswith("lora_te_toy_") for stem in stems) == 3 * 6
    assert any(bool(value.any()) for key, value in lora.tensors.items() if "lora_up" in key)
    assert lora.metadata["ss_base_model_version"] == "toy_v1"
    assert lora.metadata["modelspec.architecture"] == "toy-diffusion/lora"
    assert formats.read(tmp_path / "lora.safetensors", base.kohya_names, layers).keys() == set(layers)


@pytest.mark.usefixtures("toy")
def test_a_family_that_takes_anothers_place_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "families" / "twin"
    folder.mkdir()
    shutil.copy(FAMILIES["sd2"].configs / "__init__.py", folder)
    with pytest.raises(ValueError, match=r"twin: name and generation must be its own, but got 'sd2' and 2"):
        families.read()
    del sys.modules["trainer.bases.families.twin"], families.twin  # type: ignore[attr-defined]
