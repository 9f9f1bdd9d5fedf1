"""The shipped micro models and demonstration images, as every test may use them."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    import torch

    from trainer.bases.base_model import BaseModel
    from trainer.data.caches import TensorCache
    from trainer.data.dataset import Dataset
    from trainer.data.encoded import Encoded
    from trainer.plan import TrainingPlan

settings.register_profile("steady", deadline=None, max_examples=60, derandomize=True, database=None)
settings.load_profile("steady")

ASSETS = Path(__file__).parent.parent / "studies" / "library" / "assets"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # the longest files first, so that no process is left alone at the end
        items.sort(key=lambda item: "scenarios" not in item.path.parts)
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="there is no CUDA device"))


@pytest.fixture(scope="session")
def assets() -> Path:
    """Folder of the shipped ``micro-sd``, ``micro-clip`` and ``demo``."""
    return ASSETS


@pytest.fixture(scope="session")
def pristine_base(assets: Path) -> BaseModel:
    """The micro Stable Diffusion in float32 on the CPU; never wrap its layers, take ``fresh_base``."""
    import torch

    from trainer.bases import base_model

    return base_model.load(assets / "micro-sd", device=torch.device("cpu"))


@pytest.fixture(scope="session")
def fresh_base(pristine_base: BaseModel) -> Callable[..., BaseModel]:
    """``fresh_base(dtype=float32, unet=None)``: a copy whose layers a bank may wrap."""
    import torch

    def make(dtype: torch.dtype = torch.float32, unet: Any = None) -> BaseModel:
        copied = copy.deepcopy(pristine_base.unet if unet is None else unet).to(dtype)
        text_encoder = copy.deepcopy(pristine_base.text_encoder).to(dtype)
        return replace(pristine_base, unet=copied, text_encoder=text_encoder, dtype=dtype)

    return make


@pytest.fixture(scope="session")
def tiny_unet(pristine_base: BaseModel) -> Any:
    """A U-Net with random weights and two levels, for tests in which only the arithmetic counts."""
    import torch
    from diffusers import UNet2DConditionModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(16, 32),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            attention_head_dim=4,
            norm_num_groups=8,
            cross_attention_dim=pristine_base.unet.config.cross_attention_dim,
        )
    return unet.requires_grad_(False).eval()


@pytest.fixture(scope="session")
def tiny_base(fresh_base: Callable[..., BaseModel], tiny_unet: Any) -> Callable[..., BaseModel]:
    """``tiny_base(dtype=float32)``: the micro Stable Diffusion around ``tiny_unet``."""
    import torch

    return lambda dtype=torch.float32: fresh_base(dtype, tiny_unet)


@pytest.fixture(scope="session")
def micro_sdxl(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A micro SDXL with random weights, in diffusers layout."""
    from tests.bases import build_sdxl

    return build_sdxl(tmp_path_factory.mktemp("bases") / "micro-sdxl", assets / "micro-sd")


@pytest.fixture(scope="session")
def micro_sd2(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A micro SD 2.x (v-prediction) with random weights, in diffusers layout."""
    from tests.bases import build_sd

    return build_sd(tmp_path_factory.mktemp("bases") / "micro-sd2", assets / "micro-sd", second=True)


@pytest.fixture(scope="session")
def load_base() -> Callable[..., BaseModel]:
    """``load_base(folder, dtype=float32, **plan)``: a base whose layers a bank may wrap."""
    import torch

    from trainer.bases import base_model
    from trainer.plans.base import BasePlan

    loaded: dict[str, BaseModel] = {}

    def make(folder: Path, dtype: torch.dtype = torch.float32, **values: Any) -> BaseModel:
        plan = BasePlan(path=folder, **values)
        key = plan.model_dump_json()
        if key not in loaded:
            loaded[key] = base_model.load(plan, device=torch.device("cpu"))
            loaded[key].bring_readers()
        made = copy.copy(loaded[key])
        made.load_readers = dict
        made.dtype = dtype
        made.unet = copy.deepcopy(made.unet).to(dtype)
        for part, encoder in made.encoders.items():
            setattr(made, part, copy.deepcopy(encoder).to(dtype))
        return made

    return make


@pytest.fixture(scope="session")
def demo_folder(assets: Path) -> Path:
    """The demonstration images: ``10_fluent/*.png`` with captions."""
    return assets / "demo"


@pytest.fixture(scope="session")
def demo_dataset(demo_folder: Path) -> Dataset:
    """The demonstration set, split as studies split it."""
    return read_dataset(demo_folder)


@pytest.fixture(scope="session")
def few_folder(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine demonstration images that an epoch shows once."""
    folder = tmp_path_factory.mktemp("few")
    (folder / "1_fluent").mkdir()
    for image in sorted(demo_folder.glob("*/*.png"))[:9]:
        for file in (image, image.with_suffix(".txt")):
            shutil.copy(file, folder / "1_fluent")
    return folder


@pytest.fixture(scope="session")
def few_dataset(few_folder: Path) -> Dataset:
    """Five training, two validation and two test images."""
    return read_dataset(few_folder, (0.2, 0.2))


@pytest.fixture(scope="session")
def tensor_cache(tmp_path_factory: pytest.TempPathFactory) -> TensorCache:
    """One cache of latents for the whole session."""
    from trainer.data.caches import TensorCache

    return TensorCache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def encode(tensor_cache: TensorCache) -> Callable[[Dataset, BaseModel], Encoded]:
    """``encode(dataset, base)``."""
    from trainer.data.encoded import Encoded

    return lambda dataset, base: Encoded(dataset, base, tensor_cache)


@pytest.fixture(scope="session")
def make_plan(few_folder: Path, assets: Path) -> Callable[..., TrainingPlan]:
    """``make_plan(rank=4, unet_lr=1e-3, …)``: a plan on the few images from field names alone."""
    from trainer.plan import TrainingPlan

    sections: dict[str, Any] = {
        name: field.annotation for name, field in TrainingPlan.model_fields.items() if name != "seed"
    }

    def make(
        seed: int = 0, optimiser: str = "adamw", schedule: str = "constant", **values: Any
    ) -> TrainingPlan:
        facts: dict[str, Any] = {
            "path": assets / "micro-sd",
            "folder": few_folder,
            "resolution": 64,
            "unet_lr": 1e-3,
            **values,
        }
        table: dict[str, Any] = {"seed": seed}
        for section, model in sections.items():
            table[section] = {name: facts.pop(name) for name in model.model_fields if name in facts}
        table["optimiser"]["name"], table["schedule"]["name"] = optimiser, schedule
        assert not facts, f"no plan has {sorted(facts)}"
        return TrainingPlan.model_validate(table)

    return make


def read_dataset(folder: Path, shares: tuple[float, float] = (0.15, 0.15)) -> Dataset:
    from trainer.data import dataset
    from trainer.plans.data import DataPlan

    return dataset.read(DataPlan(folder=folder, resolution=64), shares, seed=0)
