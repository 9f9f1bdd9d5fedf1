"""``lorasearch init``."""

from __future__ import annotations

from pathlib import Path
from shutil import copy

from tests.studies.cli.conftest import Run


def test_it_tells_what_it_saw_and_what_comes_next(
    run: Run, assets: Path, demo_folder: Path, tmp_path: Path
) -> None:
    out_file = tmp_path / "new.toml"
    words = ("init", demo_folder, "--base", assets / "micro-sd", "--out", out_file)
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    assert (
        "60 images, 60 with captions" in out
        and "Trigger word: fluentflat (the first tag; in 60 of 60 captions)." in out
    )
    assert f"  lorasearch check {out_file}\n" in out and f"  lorasearch run {out_file}\n" in out
    assert run("check", out_file)[0] == 0
    code, _, err = run(*words)
    assert code == 2 and "not overwritten" in err


def test_broken_images_are_told_and_nothing_is_written(run: Run, assets: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "set" / f"{name}.png").write_bytes(b"no picture")
    out_file = tmp_path / "new.toml"
    code, _, err = run("init", tmp_path / "set", "--base", assets / "micro-sd", "--out", out_file)
    assert code == 2 and err.count("cannot be read") == 3
    assert not out_file.exists()


def test_too_few_images_are_told_with_the_folder_that_was_given(
    run: Run, assets: Path, demo_folder: Path, tmp_path: Path
) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for image in sorted(demo_folder.rglob("*.png"))[:2]:
        copy(image, few)
    code, _, err = run("init", few, "--base", assets / "micro-sd", "--out", tmp_path / "x.toml")
    assert code != 0
    assert err.startswith(f"error: {few}: 2 image(s) found")
