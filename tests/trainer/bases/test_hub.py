"""Bases by hub name: the local cache first, the network only where it is allowed."""

from __future__ import annotations

import shutil
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from trainer.bases import base_model, hub
from trainer.bases.base_model import BaseModelError
from trainer.plans.base import BasePlan

NAME = Path("someone/micro")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def put(cache: Path, folder: Path, *without: str) -> Path:
    """Lays a diffusers folder into the cache as the hub does."""
    root = cache / "models--someone--micro"
    snapshot = root / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(folder, snapshot, ignore=shutil.ignore_patterns(*without))
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(snapshot.name)
    return snapshot


def test_a_model_in_the_cache_is_used_without_network(
    cache: Path, assets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cache, assets / "micro-sd")
    monkeypatch.chdir(cache)
    base_model.check(NAME)
    assert base_model.size_step(NAME) == base_model.size_step(assets / "micro-sd")
    assert base_model.fingerprint(NAME) == base_model.fingerprint(assets / "micro-sd")


@pytest.mark.usefixtures("cache")
def test_a_model_that_is_nowhere_is_told_with_the_remedy() -> None:
    with pytest.raises(BaseModelError, match=r"not in the hub cache.*diffusers folder.*HF_HUB_OFFLINE"):
        base_model.check(NAME)


def test_what_an_incomplete_cache_lacks_is_named(cache: Path, assets: Path) -> None:
    put(cache, assets / "micro-sd", "vae")
    with pytest.raises(BaseModelError, match="lacks the folder vae/"):
        base_model.check(NAME)


def test_what_is_fetched_leaves_pickles_and_single_files_out(
    cache: Path, assets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, object]] = []

    def download(name: str, **how: object) -> str:
        if how.get("local_files_only"):
            raise FileNotFoundError(name)
        asked.append(how)
        return str(assets / "micro-sd")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    base_model.check(NAME)
    (how,) = asked
    assert "unet/*.safetensors" in how["allow_patterns"]  # type: ignore[operator]
    assert not any("bin" in pattern or pattern.startswith("*") for pattern in how["allow_patterns"])  # type: ignore[attr-defined]
    assert how["ignore_patterns"] == ["*.fp16.safetensors", "*non_ema*"]


def test_weights_that_come_in_half_precision_only_are_loaded(cache: Path, assets: Path) -> None:
    snapshot = put(cache, assets / "micro-sd")
    for file in snapshot.glob("*/*.safetensors"):
        file.rename(file.with_name(file.name.replace(".safetensors", ".fp16.safetensors")))
    loaded = base_model.load(BasePlan(path=NAME))
    assert loaded.unet.config.in_channels == 4


@pytest.mark.parametrize(
    ("text", "is_name"),
    [
        ("org/model", True),
        ("stabilityai/stable-diffusion-xl-base-1.0", True),
        ("model", False),
        ("a/b/c", False),
        ("/a/b", False),
        ("../b", False),
        ("./model", False),
        ("models/base.safetensors", False),
    ],
)
def test_hub_names_are_told_from_paths(text: str, is_name: bool) -> None:
    assert hub.is_name(Path(text)) is is_name
