"""Flow-matching families in the pack, against diffusers' pipelines and a plain PEFT loop; one tiny base each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from evaluation.rendering import RenderSettings, render
from evaluation.subject import Subject
from evaluation.validation import cells, measure
from tests.evaluation.conftest import fill
from tests.flows import MEMBERS, Member
from tests.trainer.driving import pack, relative_difference, state, steps, train
from tests.trainer.training.test_pack import with_peft
from trainer.adapters.bank import AdapterBank, Shape
from trainer.adapters.stored import StoredLinear
from trainer.adapters.wrapping import bank_for, bank_for_files
from trainer.bases import base_model
from trainer.bases.base_model import BaseModel
from trainer.bases.family import DENOISER
from trainer.data.caches import TensorCache
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.data.order import epoch_batches
from trainer.lora_files import formats, merging
from trainer.lora_files.layers import from_state
from trainer.outcome import EpochEnd
from trainer.plan import TrainingPlan
from trainer.seeds import generator
from trainer.training import noise, saving

Load = Callable[..., BaseModel]
Encode = Callable[[Dataset, BaseModel], Encoded]
Plans = Callable[..., TrainingPlan]
CAPTIONS = ["a red heart", "a drum, blue"]
SETTINGS = RenderSettings(steps=3, guidance=3.0, width=64, height=64)
MIXED: dict[int, dict[str, Any]] = {
    1: {"rank": 3, "alpha_over_rank": 0.3, "schedule": "cosine", "warmup_share": 0.1},
    2: {"rank": 8, "batch_size": 2, "optimiser": "lion", "timestep_density": "uniform", "layers": "all"},
    3: {"rank": 1, "batch_size": 3, "optimiser": "prodigy", "unet_lr": 1.0, "loss_weighting": "cosmap"},
    4: {"rank": 5, "batch_size": 2, "timestep_density": "mode", "timestep_shift": 2.0, "min_timestep": 100},
}


@dataclass(frozen=True)
class Case:
    member: Member
    folder: Path

    @property
    def parts(self) -> set[str]:
        return {child.name for child in self.folder.iterdir()}


@pytest.fixture(scope="module", params=MEMBERS)
def case(request: pytest.FixtureRequest, assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    member = MEMBERS[request.param]
    return Case(member, member.build(tmp_path_factory.mktemp("flows") / "base", assets / "micro-sd"))


@pytest.fixture(scope="module")
def two_shapes(few_dataset: Dataset) -> Dataset:
    """Images of two aspect buckets."""
    sizes = tuple((96, 48) if i % 2 else (64, 64) for i in range(len(few_dataset.examples)))
    return replace(few_dataset, sizes=sizes)


def test_the_family_is_found_and_says_what_sides_it_takes(case: Case) -> None:
    assert base_model.family(case.folder).name == case.member.family
    assert base_model.size_step(case.folder) == 8


@torch.no_grad()
def test_text_is_what_the_diffusers_pipeline_encodes_to_the_transformers_eye(
    case: Case, load_base: Load
) -> None:
    """The same prediction of the same latents: embeddings, masks and poolings have no other use."""
    base, pipe = load_base(case.folder, torch.float64), case.member.pipeline(case.folder, torch.float64)
    channels, _ = case.member.latents
    noisy = torch.randn(2, channels, 16, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor([0.3, 0.9], dtype=torch.float64)
    found = base.predict(noisy, sigma * 1000, base.encode_text(CAPTIONS, [1, 1]), guided(base, 2))
    wanted = case.member.direct(pipe, CAPTIONS, noisy, sigma)
    assert float((found - wanted).abs().max()) < 1e-9 * float(wanted.abs().max())


def guided(base: BaseModel, rows: int) -> Tensor | None:
    from trainer.bases.conditioning import Framing

    return base.numbers([Framing.whole((64, 64))] * rows, [1.0] * rows)


@torch.no_grad()
def test_time_keeps_its_precision_where_the_base_computes_in_bfloat16(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Z-Image's pipeline hands it over in float32; bfloat16 knows eight bits, which are several timesteps."""
    if case.member.family != "zimage":
        pytest.skip("the pipelines of other families round it, too")
    base, seen = base_model.load(case.folder, "bf16"), list[Tensor]()
    embed = base.unet.t_embedder.forward
    monkeypatch.setattr(base.unet.t_embedder, "forward", lambda t: (seen.append(t), embed(t))[1])
    noisy = torch.randn(1, 4, 16, 16, dtype=torch.bfloat16)
    base.predict(noisy, torch.tensor([333.0]), base.encode_text(CAPTIONS[:1], [1]), guided(base, 1))
    assert float(seen[0]) == pytest.approx(667.0, abs=1e-3)


def test_default_and_all_layers_are_those_of_diffusers_examples(case: Case, load_base: Load) -> None:
    bank = bank_for(load_base(case.folder), 2)
    bank.open(0, Shape(2, 1.0, (DENOISER,)), 0)
    bank.open(1, Shape(2, 1.0, (DENOISER,), conv_rank=1), 0)
    counts = [sum(name.endswith(".down") for name in bank.leaves(slot)) for slot in (0, 1)]
    assert counts == [case.member.layers, case.member.all_layers]


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@torch.no_grad()
def test_the_base_renders_what_the_pipeline_renders(
    case: Case, load_base: Load, few_dataset: Dataset, encode: Encode, guidance: float
) -> None:
    base = load_base(case.folder)
    found = render(
        encode(few_dataset, base),
        bank_for(base, 1),
        [Subject(None)],
        CAPTIONS,
        [5, 6],
        replace(SETTINGS, guidance=guidance),
        8,
    )[0]
    pipe = case.member.pipeline(case.folder)
    torch.testing.assert_close(found, picture(case, pipe, guidance), rtol=0, atol=1e-3)


def picture(case: Case, pipe: Any, guidance: float = 3.0) -> Tensor:
    channels, scale = case.member.latents
    shape = channels, 64 // scale, 64 // scale
    start = torch.stack([torch.randn(shape, generator=generator(seed, "render")) for seed in (5, 6)])
    drawn: Tensor = pipe(
        prompt=CAPTIONS,
        latents=case.member.packed(start),
        num_inference_steps=3,
        height=64,
        width=64,
        output_type="pt",
        **case.member.call(guidance),
    ).images
    return drawn


def test_packed_trials_equal_the_same_trials_alone(
    case: Case, load_base: Load, two_shapes: Dataset, encode: Encode, make_plan: Plans
) -> None:
    text = {"text_encoder": True} if case.member.trains_text else {}
    plans = {
        trial: make_plan(epochs=99, **case.member.fields, **fields, **(text if trial in (1, 4) else {}))
        for trial, fields in MIXED.items()
    }
    training = pack(encode(two_shapes, load_base(case.folder, torch.float64)), 5)
    training.admit(100, make_plan(rank=4, epochs=99, **case.member.fields))
    for trial, plan in plans.items():
        training.admit(trial, plan)
    steps(training, 3)
    training.evict(100)
    taken = {trial: training.runs[trial].progress.steps for trial in plans}
    while min(taken.values()) < 5:
        training.step()
        taken = {trial: training.runs[trial].progress.steps for trial in plans}
    for trial, plan in plans.items():
        alone = train(encode(two_shapes, load_base(case.folder, torch.float64)), plan, taken[trial])
        assert relative_difference(state(training, trial), alone) < 1e-8


@pytest.mark.parametrize("layers", ["default", "all"])
def test_one_slot_equals_peft_in_a_plain_loop(
    case: Case, load_base: Load, two_shapes: Dataset, encode: Encode, make_plan: Plans, layers: str
) -> None:
    plan = make_plan(
        rank=3,
        alpha_over_rank=0.7,
        batch_size=2,
        epochs=9,
        layers=layers,
        max_grad_norm=0.05,
        weight_decay=0.01 if layers == "default" else 0.0,
        **case.member.fields,
        **({"text_encoder": True, "text_lr_over_unet_lr": 0.5} if trained_text(case, layers) else {}),
    )
    data = encode(two_shapes, load_base(case.folder, torch.float64))
    training = pack(data, 2)
    training.admit(0, plan)
    expected = peft_loop(case, data, plan, state(training, 0), 6)
    steps(training, 6)
    assert relative_difference(state(training, 0), expected) < 1e-8


def trained_text(case: Case, layers: str) -> bool:
    return case.member.trains_text and layers == "all"


def peft_loop(
    case: Case, data: Encoded, plan: TrainingPlan, start: dict[str, Tensor], count: int
) -> dict[str, Tensor]:
    """Textbook training as in diffusers' examples: its pipeline, PEFT, AdamW and clip_grad_norm_.

    What gets no gradient at all, as a last block's text does, decays here but not there.
    """
    pipe = case.member.pipeline(case.folder, torch.float64)
    models = {DENOISER: pipe.transformer}
    if plan.lora.text_encoder:
        models |= {part: getattr(pipe, part) for part in data.base.text_encoders}
    factors = {
        part: with_peft(part, model.requires_grad_(False), plan, start) for part, model in models.items()
    }
    everything = {name: value for found in factors.values() for name, value in found.items()}
    groups = [
        {"params": list(found.values()), "lr": plan.optimiser.unet_lr * (1 if part == DENOISER else 0.5)}
        for part, found in factors.items()
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=plan.optimiser.weight_decay)
    dataset = data.dataset
    epochs = (epoch_batches(dataset.deck, dataset.sizes, epoch, None, 2, plan.seed) for epoch in range(99))
    for batch in [batch for epoch in epochs for batch in epoch][:count]:
        clean = torch.stack([data.latents(i) for i in batch.examples]).double()
        draws = [noise.draw(plan.seed, p, tuple(clean.shape[1:]), 1000) for p in batch.presentations]
        added = torch.stack([draw.noise.double() for draw in draws])
        fractions = [
            torch.rand((), dtype=torch.float64, generator=generator(plan.seed, "timestep", p))
            for p in batch.presentations
        ]
        places = (torch.tensor([draw.timestep for draw in draws]) + torch.stack(fractions)) / 1000
        sigma = case.member.sigma(places, clean[0, 0].numel() // case.member.patch**2)
        mixed = sigma.view(-1, 1, 1, 1)
        captions = [dataset.examples[i].caption for i in batch.examples]
        said = case.member.direct(pipe, captions, (1 - mixed) * clean + mixed * added, sigma)
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(said, added - clean).backward()
        torch.nn.utils.clip_grad_norm_(list(everything.values()), plan.optimiser.max_grad_norm)
        optimiser.step()
    return {name: value.detach().view(start[name].shape) for name, value in everything.items()}


@torch.no_grad()
def test_a_trials_file_loads_with_diffusers_and_renders_what_our_adapter_renders(
    case: Case, load_base: Load, few_dataset: Dataset, encode: Encode, make_plan: Plans, tmp_path: Path
) -> None:
    data = encode(few_dataset, load_base(case.folder))
    text = {"text_encoder": True} if case.member.trains_text else {}
    training = pack(data, 2)
    run = training.admit(
        0,
        make_plan(
            rank=4,
            layers="all",
            epochs=9,
            block_ranks={case.member.block: 2},
            **case.member.fields,
            **text,
        ),
    )
    fill(training.bank, run.slot, 0.2)
    file = tmp_path / "trial.safetensors"
    saving.save_lora(file, training, EpochEnd(0, 1, 5, 5, 0.1, False), "no")
    ours = render(data, training.bank, [Subject(None), Subject(run.slot)], CAPTIONS, [5, 6], SETTINGS, 16)
    pipe = case.member.pipeline(case.folder)
    pipe.load_lora_weights(str(file))
    theirs = picture(case, pipe)
    assert float((ours[1] - ours[0]).abs().max()) > 0.005
    torch.testing.assert_close(ours[1], theirs, rtol=0, atol=1e-3)
    saving.load_lora(file, training.bank, 1, data.base.kohya_names)
    again, held = training.bank.state(1), training.bank.state(run.slot)
    assert again.keys() == held.keys()
    for name, value in held.items():
        torch.testing.assert_close(again[name], value)


@pytest.mark.parametrize("layout", ["kohya", "diffusers", "peft"])
def test_every_layout_comes_back_as_it_was_written(
    case: Case, load_base: Load, tmp_path: Path, layout: formats.Format
) -> None:
    base = load_base(case.folder)
    bank, path = filled(base), tmp_path / "lora.safetensors"
    layers = from_state(bank.state(0), bank.scales(0), bank.kernels)
    formats.write(path, layers, layout, base.kohya_names, {}, "no")
    found = formats.read(path, base.kohya_names, bank.layers)
    assert found.keys() == layers.keys()
    for name, layer in layers.items():
        torch.testing.assert_close(
            found[name].scale * found[name].up @ found[name].down, layer.scale * layer.up @ layer.down
        )


def filled(base: BaseModel) -> AdapterBank:
    bank = bank_for_files(base, 1)
    bank.open(0, Shape(3, 0.5, (DENOISER, *base.text_encoders)), 0)
    fill(bank, 0)
    return bank


@torch.no_grad()
def test_subjects_are_judged_together_as_each_alone_and_as_in_a_plain_loop(
    case: Case, load_base: Load, two_shapes: Dataset, encode: Encode
) -> None:
    base = load_base(case.folder)
    bank, data = filled(base), encode(two_shapes, base)
    grid = [cells(data, i, 3, seed=0) for i in (0, 1)]
    together = measure(data, bank, [Subject(0), Subject(None)], grid, max_rows=4)
    alone = measure(data, bank, [Subject(0)], grid, max_rows=99)
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(together[0], together[1], rtol=2e-4)
    pipe = case.member.pipeline(case.folder)
    for i, image in enumerate(grid):
        sigma = (image.timesteps / 1000).float()
        assert (sigma.diff() > 0).all() and sigma[0] > 0 and sigma[-1] < 1
        mixed = sigma.view(-1, 1, 1, 1)
        noisy = (1 - mixed) * image.latents + mixed * image.noise
        said = case.member.direct(pipe, [image.caption] * 3, noisy, sigma)
        wanted = (said - (image.noise - image.latents)).square().mean(dim=(1, 2, 3)).double()
        torch.testing.assert_close(together[1, i], wanted, rtol=1e-4, atol=1e-6)


def test_large_text_encoders_leave_memory_before_training_and_texts_are_read_once_for_all_runs(
    case: Case, few_dataset: Dataset, make_plan: Plans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = base_model.load(case.folder, device=torch.device("cpu"))
    large = [each.part for each in base.family.text_encoders if not each.trained and each.part in case.parts]
    if not large:
        pytest.skip("this base has none")
    assert not any(getattr(base, part) for part in large)
    data = Encoded(few_dataset, base, TensorCache(tmp_path / "cache"))
    data.prepare(1, False)
    assert all(getattr(base, part) for part in large)
    training = pack(data, 1)
    training.admit(0, make_plan(rank=2, epochs=2, **case.member.fields))
    steps(training, 2)
    assert not any(getattr(base, part) for part in large)
    again = base_model.load(case.folder, device=torch.device("cpu"))
    monkeypatch.setattr(again, "load_readers", lambda: pytest.fail("the texts are on disk"))
    monkeypatch.setattr(again, "text_encoder", base.text_encoder)
    second = Encoded(few_dataset, again, TensorCache(tmp_path / "cache"))
    second.prepare(1, False)
    caption = few_dataset.examples[0].caption
    for name, tensor in data.text([caption], [1]).tensors.items():
        assert torch.equal(second.text([caption], [1]).tensors[name], tensor)


def test_activations_that_are_computed_again_change_nothing(
    case: Case, load_base: Load, two_shapes: Dataset, encode: Encode, make_plan: Plans
) -> None:
    plain, again = (
        train(
            encode(two_shapes, load_base(case.folder, torch.float64)),
            make_plan(rank=2, batch_size=2, epochs=9, gradient_checkpointing=again, **case.member.fields),
            3,
        )
        for again in (False, True)
    )
    assert relative_difference(plain, again) < 1e-8


@pytest.mark.parametrize("form", ["nf4", "int8"])
def test_a_quantised_base_predicts_nearly_the_same_and_trains_packed_as_alone(
    case: Case, few_dataset: Dataset, encode: Encode, make_plan: Plans, load_base: Load, form: str
) -> None:
    plans = [
        make_plan(
            path=case.folder, base_format=form, rank=rank, batch_size=size, epochs=9, **case.member.fields
        )
        for rank, size in ((2, 1), (4, 2))
    ]
    data = encode(few_dataset, merging.loaded(plans[0]))
    packed = pack(data, 2)
    for trial, plan in enumerate(plans):
        packed.admit(trial, plan)
    steps(packed, 3)
    alone = train(encode(few_dataset, merging.loaded(plans[1])), plans[1], 3)
    assert relative_difference(state(packed, 1), alone) < 1e-3
    stored = [module for module in data.base.unet.modules() if isinstance(module, StoredLinear)]
    assert len(stored) >= (case.member.stored or case.member.all_layers)
    whole = load_base(case.folder)
    noisy = torch.randn(1, case.member.latents[0], 16, 16, generator=torch.Generator().manual_seed(0))
    said = [
        each.predict(noisy, torch.tensor([500.0]), whole.encode_text(["a heart"], [1]), guided(whole, 1))
        for each in (whole, merging.loaded(plans[0]))
    ]
    error = float((said[1] - said[0]).norm() / said[0].norm())
    assert 0 < error < 0.2
