"""File names of a single training."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from studies.commands.train import train
from studies.commands.training import Training, open_training
from studies.commands.training_output import Output
from studies.errors import StudyError
from studies.spec.plan_file import PlanFile, parse
from studies.spec.sections import SaveSection
from trainer.bases import base_model
from trainer.data.caches import TensorCache
from trainer.data.dataset import read
from trainer.data.encoded import Encoded
from trainer.lora_files import kohya
from trainer.lora_files.layers import from_state
from trainer.outcome import EpochEnd
from trainer.training.pack import Pack

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


TEXT = """\
[study]
name = "hero"
seed = {seed}
[plan.base]
path = "{assets}/micro-sd"
[plan.data]
folder = "{folder}"
resolution = 64
epochs = {epochs}
batch_size = 3
[plan.lora]
rank = 2
[plan.ema]
decay = 0.9
[plan.optimiser]
unet_lr = 1e-3
[save]
precision = "no"
{more}
"""


MakeFile = Callable[..., PlanFile]


@pytest.fixture
def make_file(assets: Path, few_folder: Path, tmp_path: Path) -> MakeFile:
    def make(more: str = "", epochs: int = 2, seed: int = 3) -> PlanFile:
        text = TEXT.format(assets=assets, folder=few_folder, epochs=epochs, more=more, seed=seed)
        return parse(text, tmp_path / "hero.toml")

    return make


def run(training: Training, stop_after: int | None = None) -> list[int]:
    """Trains; epochs that ended. Killed after ``stop_after`` epochs."""
    ended: list[int] = []

    def on_epoch(end: EpochEnd, path: Path | None) -> None:
        ended.append(end.epoch)
        if end.epoch == stop_after:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        train(training, lambda *_: None, on_epoch)
    return ended


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob("*.safetensors"))


def test_every_epoch_leaves_a_file_equal_to_what_a_pack_of_one_trains(
    make_file: MakeFile, tmp_path: Path
) -> None:
    training = open_training(make_file(), tmp_path / "out", hold_out=False)
    assert run(training) == [1, 2]
    assert names(tmp_path / "out") == ["hero-000001.safetensors", "hero.safetensors", "state.safetensors"]
    plan = training.plan
    base = base_model.load(plan.base.path, device=torch.device("cpu"))
    dataset = read(plan.data, (0.0, 0.0), 0)
    pack = Pack(base, Encoded(dataset, base, TensorCache(tmp_path / "cache")), 1, plan.compute)
    live = pack.admit(0, plan)
    while not live.finished:
        for event in pack.step():
            assert isinstance(event, EpochEnd)
            with pack.shown([0]):
                layers = from_state(
                    pack.bank.state(live.slot), pack.bank.scales(live.slot), pack.bank.kernels
                )
            wanted = kohya.write(layers, base.kohya_names)
            stored = load_file(training.output.lora(event.epoch))
            assert stored.keys() == wanted.keys()
            for name, value in wanted.items():
                torch.testing.assert_close(stored[name], value, rtol=1e-4, atol=1e-6)


def test_no_image_is_held_out_unless_asked(make_file: MakeFile, tmp_path: Path) -> None:
    everyone = open_training(make_file(), tmp_path / "a", hold_out=False).dataset.split
    some = open_training(make_file(), tmp_path / "b", hold_out=True).dataset.split
    assert (len(everyone.train), everyone.validation, everyone.test) == (9, (), ())
    assert (len(some.train), len(some.validation), len(some.test)) == (7, 1, 1)


def test_a_training_that_was_stopped_goes_on_to_the_same_files(make_file: MakeFile, tmp_path: Path) -> None:
    file = make_file("[samples]\nprompts = ['a drum']\nsteps = 2", epochs=3)
    assert run(open_training(file, tmp_path / "whole", hold_out=False)) == [1, 2, 3]
    assert run(open_training(file, tmp_path / "cut", hold_out=False), stop_after=1) == [1]
    assert run(open_training(file, tmp_path / "cut", hold_out=False)) == [2, 3]
    for name in names(tmp_path / "whole"):
        if name != "state.safetensors":
            assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()
    assert run(open_training(file, tmp_path / "cut", hold_out=False)) == []
    pictures = [sorted((tmp_path / which / "samples").glob("*.png")) for which in ("whole", "cut")]
    assert [path.name for path in pictures[0]] == [f"hero-00000{epoch}-00.png" for epoch in (1, 2, 3)]
    assert [p.read_bytes() for p in pictures[0]] == [p.read_bytes() for p in pictures[1]]


def test_another_plan_in_the_same_folder_is_refused(make_file: MakeFile, tmp_path: Path) -> None:
    run(open_training(make_file(), tmp_path / "out", hold_out=False), stop_after=1)
    with pytest.raises(StudyError, match=r"plan\.data\.epochs was 2, is 4") as caught:
        open_training(make_file(epochs=4), tmp_path / "out", hold_out=False)
    assert "choose another --out" in str(caught.value)
    with pytest.raises(StudyError, match="images was 9, is 7"):
        open_training(make_file(), tmp_path / "out", hold_out=True)


def test_files_come_every_few_epochs_and_the_last_ones_stay(make_file: MakeFile, tmp_path: Path) -> None:
    more = "every_n_epochs = 2\nkeep_last = 1\n[samples]\nprompts = ['x']\nsteps = 1\nguidance = 1\nevery_n_epochs = 3"
    run(open_training(make_file(more, epochs=5), tmp_path, hold_out=False))
    assert names(tmp_path) == ["hero-000004.safetensors", "hero.safetensors", "state.safetensors"]
    assert [path.name for path in sorted((tmp_path / "samples").iterdir())] == [
        "hero-000003-00.png",
        "hero-000005-00.png",
    ]


def test_samples_have_their_size_and_differ_by_prompt_and_seed(make_file: MakeFile, tmp_path: Path) -> None:
    more = "[samples]\nprompts = ['a drum', 'a drum']\nsteps = 2\nwidth = 64\nheight = 32\nsampler = 'euler_a'\nseed = "
    pictures = []
    for seed in (1, 2):
        root = tmp_path / str(seed)
        training = open_training(make_file(more + str(seed), epochs=1), root, hold_out=False)
        run(training)
        pictures += [training.output.sample(1, place) for place in (0, 1)]
    assert Image.open(pictures[0]).size == (64, 32)
    assert len({path.read_bytes() for path in pictures}) == 4


def test_drawn_seeds_are_recorded_and_taken_again(make_file: MakeFile, tmp_path: Path) -> None:
    file = make_file("[samples]\nseed = -1", seed=-1)
    first = open_training(file, tmp_path, hold_out=False)
    again = open_training(file, tmp_path, hold_out=False)
    assert (again.plan.seed, again.samples_seed) == (first.plan.seed, first.samples_seed)
    record = json.loads((tmp_path / "training.json").read_text())
    assert (record["seed"], record["samples_seed"]) == (first.plan.seed, first.samples_seed)
    other = open_training(file, tmp_path / "other", hold_out=False)
    assert other.plan.seed != first.plan.seed


def test_epochs_follow_from_a_study_s_budget(make_file: MakeFile, tmp_path: Path) -> None:
    file = make_file("[budget]\ntrials = 3\nimages_per_trial = 40")
    assert open_training(file, tmp_path / "a", hold_out=False).plan.data.epochs == 2
    template = {**file.template, "data": {k: v for k, v in file.template["data"].items() if k != "epochs"}}
    from dataclasses import replace

    free = replace(file, template=template, images=40)
    training = open_training(free, tmp_path / "b", hold_out=False)
    assert (training.plan.data.epochs, training.output.epochs) == (4, 4)


def test_base_and_data_problems_are_told_together(make_file: MakeFile, tmp_path: Path) -> None:
    from dataclasses import replace

    file = make_file("[samples]\nprompts = ['x']\nwidth = 70")
    data = {**file.template["data"], "resolution": 65, "folder": tmp_path / "nowhere"}
    with pytest.raises(StudyError) as caught:
        open_training(
            replace(file, template={**file.template, "data": data}), tmp_path / "out", hold_out=False
        )
    told = "\n".join(caught.value.problems)
    for words in ("data.resolution must be a multiple", "samples.width must be a multiple", "nowhere"):
        assert words in told
    assert not (tmp_path / "out").exists()


def test_a_training_that_diverges_says_what_to_do(
    make_file: MakeFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = Pack._forward_backward
    monkeypatch.setattr(Pack, "_forward_backward", lambda self, runs: attempt(self, runs) * torch.nan)
    with pytest.raises(
        StudyError, match=r"Training diverged: the loss became nan.* lower optimiser\.unet_lr"
    ):
        run(open_training(make_file(), tmp_path, hold_out=False))


def test_memory_that_runs_out_is_told_with_what_to_lower(
    make_file: MakeFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Pack, runs: object) -> None:
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(Pack, "_forward_backward", full)
    with pytest.raises(StudyError, match=r"Memory ran out: lower lora\.rank"):
        run(open_training(make_file(), tmp_path, hold_out=False))
