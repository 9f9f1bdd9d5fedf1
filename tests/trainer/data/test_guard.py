"""What may be read as training data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.bad_input.scene import bomb
from trainer.data import guard, images
from trainer.data.folders import SUFFIXES
from trainer.data.images import DataError, open_rgb


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "set" / "2_thing"
    place.mkdir(parents=True)
    for i in range(4):
        Image.new("RGB", (32, 32), f"hsl({i * 90}, 80%, 50%)").save(place / f"{i}.png")
    return tmp_path / "set"


def strays(folder: Path) -> list[str]:
    return list(guard.strays(folder / "2_thing", folder, frozenset(SUFFIXES)))


def test_links_within_the_data_folder_are_read(folder: Path) -> None:
    (folder / "2_thing" / "again.png").symlink_to("0.png")
    (folder / "2_thing" / "again.txt").symlink_to("again.png")
    (folder / "2_thing" / "again.txt").unlink()
    (folder / "3_more").mkdir()
    (folder / "3_more" / "a.png").symlink_to("../2_thing/1.png")
    assert strays(folder) == []
    assert len(images.read([folder]).examples) == 5, "again.png is 0.png"


def test_a_data_folder_may_itself_be_a_link(folder: Path) -> None:
    (folder.parent / "linked").symlink_to(folder)
    assert len(images.read([folder.parent / "linked"]).examples) == 4


def test_links_that_lead_out_are_named_wherever_they_stand(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    shutil.copy(folder / "2_thing" / "0.png", secret)
    (folder / "2_thing" / "a.png").symlink_to(secret)
    (folder / "2_thing" / "b.PNG").symlink_to("../../secret.png")
    (folder / "loose.png").symlink_to(secret)
    (folder / "9_dir").symlink_to(tmp_path)
    with pytest.raises(DataError) as caught:
        images.read([folder])
    named = {problem.partition(":")[0] for problem in caught.value.problems if "leads out" in problem}
    wanted = {"2_thing/a.png", "2_thing/b.PNG", "loose.png", "9_dir"}
    assert named == {str(folder / name) for name in wanted}


def test_a_link_loop_is_told(folder: Path) -> None:
    (folder / "2_thing" / "a.png").symlink_to("a.png")
    assert len(strays(folder)) == 1


@pytest.mark.parametrize(
    ("size", "fits"), [((9000, 9000), True), ((10_000, 10_000), False), ((320, 10), True)]
)
def test_pixels_and_aspect_ratio_have_limits(size: tuple[int, int], fits: bool) -> None:
    assert (guard.size_problem(size) is None) == fits
    assert guard.size_problem((330, 10)) is not None


@pytest.mark.parametrize("side", [10_000, 50_000])
def test_a_bomb_is_refused_before_it_is_unpacked(side: int, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(bomb(side, side))
    with pytest.raises(DataError, match="decompression bomb has; scale it down"):
        open_rgb(path)


@pytest.mark.parametrize("cut", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tif"])
def test_truncated_images_of_every_format_are_named(suffix: str, cut: float, tmp_path: Path) -> None:
    path = tmp_path / f"x.{suffix}"
    Image.effect_noise((64, 64), 80).convert("RGB").save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
    with pytest.raises(DataError, match=rf"x\.{suffix}: this image cannot be read"):
        open_rgb(path)


def test_a_huge_file_is_refused_by_its_size_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    with path.open("wb") as file:
        file.truncate(guard.MOST_FILE_BYTES + 1)
    with pytest.raises(DataError, match=f"at most {guard.MOST_FILE_BYTES} are read"):
        open_rgb(path)


def test_folders_that_vanish_while_they_are_walked_are_passed_over(tmp_path: Path) -> None:
    for place in ("a", "b/c", "d"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "x.png").touch()
    (tmp_path / "first.png").touch()
    found = guard.below(tmp_path)
    assert next(found).name == "first.png"
    shutil.rmtree(tmp_path / "b" / "c")
    assert {path.relative_to(tmp_path).as_posix() for path in found} == {"a/x.png", "d/x.png"}
    assert not list(guard.below(tmp_path / "nowhere"))


def test_a_whole_disk_is_not_walked_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MOST_FILES", 3)
    for number in range(5):
        (tmp_path / f"{number}.png").touch()
    assert len(list(guard.below(tmp_path))) == 3
