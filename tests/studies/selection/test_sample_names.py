"""Which checkpoint and prompt a picture shows, by every trainer's names."""

from __future__ import annotations

from pathlib import Path

import pytest

from studies.selection.sample_names import arrange, sample


@pytest.mark.parametrize(
    ("name", "number", "unit", "prompt"),
    [
        ("1764500000000__000000250_0.jpg", 250, "step", "0"),
        ("1764500000000__000001000_12.jpg", 1000, "step", "12"),
        ("cat_e000003_00_20261130101500_42.png", 3, "epoch", "0"),
        ("cat_e000003_01_20261130101500.png", 3, "epoch", "1"),
        ("000500_02_20261130101500.png", 500, "step", "2"),
        ("my_cat_v2_001500_02_20261130101500_7.png", 1500, "step", "2"),
        ("0 - a cat/2026-11-30_10-15-00-training-sample-500-5-0.png", 500, "step", "0 - a cat"),
        ("step_500_3.webp", 500, "step", "3"),
        ("cat-750-1.png", 750, "step", "1"),
    ],
)
def test_names_are_read(name: str, number: int, unit: str, prompt: str) -> None:
    found = sample(Path("samples") / name)
    assert found is not None
    assert (found.number, found.unit, found.prompt) == (number, unit, prompt)


@pytest.mark.parametrize("name", ["final.png", "cat.png", "grid 3x3.png"])
def test_other_names_say_nothing(name: str) -> None:
    assert sample(Path(name)) is None


def test_only_prompts_that_every_checkpoint_shows_make_the_table() -> None:
    paths = [Path(f"1__{step:09d}_{prompt}.jpg") for step in (500, 0, 250) for prompt in range(11)]
    paths = [path for path in paths if path.name != "1__000000250_1.jpg"] + [Path("final.png")]
    found = arrange(paths)
    assert found.numbers == (0, 250, 500)
    assert found.prompts == ("0", *map(str, range(2, 11))), "in the order of numbers, not of letters"
    assert found.pictures[1][0] == Path("1__000000250_0.jpg")
    assert set(found.left_out) == {"final.png", "1__000000000_1.jpg", "1__000000500_1.jpg"}


def test_the_commoner_unit_is_taken_and_the_last_of_two_pictures() -> None:
    epochs = [Path(f"c_e{epoch:06d}_00_2026113010150{epoch}.png") for epoch in (1, 2)]
    again, steps = Path("c_e000001_00_20261130101509.png"), Path("c_000300_00_20261130101500.png")
    found = arrange([*epochs, again, steps])
    assert (found.unit, found.numbers) == ("epoch", (1, 2))
    assert found.pictures[0] == (again,)
    assert set(found.left_out) == {epochs[0].name, steps.name}


def test_nothing_makes_an_empty_table() -> None:
    assert arrange([]).numbers == ()
