"""File names of a single training."""

from pathlib import Path

from studies.output import Output
from studies.sections import SaveSection

OUTPUT = Output(Path("out"), "lora", 7)


def test_epochs_are_numbered_and_the_last_has_the_plain_name() -> None:
    assert OUTPUT.lora(3) == Path("out/lora-000003.safetensors")
    assert OUTPUT.lora(7) == Path("out/lora.safetensors")


def test_what_comes_every_other_epoch_comes_at_the_last_too() -> None:
    assert [epoch for epoch in range(1, 8) if OUTPUT.writes(epoch, 2)] == [2, 4, 6, 7]


def surplus(epoch: int, **save: int) -> list[str]:
    return [path.stem[-1] for path in OUTPUT.surplus(epoch, SaveSection.model_validate(save))]


def test_the_last_files_are_kept_and_the_final_one_does_not_count() -> None:
    assert surplus(6) == []
    assert surplus(3, keep_last=2) == ["1"]
    assert surplus(7, keep_last=2) == ["1", "2", "3", "4"]
    assert surplus(7, keep_last=2, every_n_epochs=2) == ["2"]
    assert surplus(1, keep_last=2) == []
