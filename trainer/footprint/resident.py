"""What a training keeps in memory, counted from configurations on the meta device; no weights are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from trainer.adapters.bank import AdapterBank
from trainer.bases import find, layers, skeleton
from trainer.bases.base_model import DTYPES
from trainer.bases.find import Source
from trainer.plan import TrainingPlan
from trainer.plans.optimiser import OptimiserPlan
from trainer.plans.optimiser_kinds import OPTIMISERS
from trainer.training import optimisers
from trainer.training.run import shape_of

_SAMPLE = 2**20
"""Most numbers of the flat tensor that an optimiser is tried on."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes that stay resident while a plan is trained; activations come on top."""

    base_parameters: int
    """Of U-Net and text encoders."""
    base_bytes: int
    """U-Net and text encoders in the plan's number format."""
    vae_bytes: int
    """The autoencoder, always in float32."""
    lora_parameters: int
    """That one trial trains."""
    weight_bytes: int
    """One trial's place in the bank."""
    gradient_bytes: int
    optimiser_bytes: int
    """What the optimiser remembers of one trial; of several, the hungriest."""
    average_bytes: int
    """The moving average of one trial."""

    @property
    def trial_bytes(self) -> int:
        """What each further trial of a pack adds."""
        return self.weight_bytes + self.gradient_bytes + self.optimiser_bytes + self.average_bytes

    def total(self, trials: int) -> int:
        """Base model and so many trials."""
        return self.base_bytes + self.vae_bytes + trials * self.trial_bytes


def footprint(
    plan: TrainingPlan, others: Sequence[OptimiserPlan] = (), source: Source | None = None
) -> Footprint:
    """Counts what ``plan`` keeps in memory.

    Args:
        plan: what is trained.
        others: optimisers that other trials use; the hungriest of all counts.
        source: in place of the plan's base model.

    Raises:
        BaseModelError: there is no base model.
    """
    source = source or find.find(plan.base)
    networks = skeleton.networks(source)
    base = sum(_count(model) for model in (*networks.values(), *skeleton.readers(source).values()))
    targets = {part: layers.targets(part, model) for part, model in networks.items()}
    beside = {part: layers.beside(part, model) for part, model in networks.items()}
    bank = AdapterBank(networks, targets, 1, beside)
    bank.open(0, shape_of(plan), plan.seed)
    leaves = [tuple(leaf.shape) for leaf in bank.leaves(0).values()]
    trained = sum(torch.Size(shape).numel() for shape in leaves)
    reserved = bank.gradients(0).numel() * bank.dtype.itemsize
    return Footprint(
        base_parameters=base,
        base_bytes=base * DTYPES[plan.compute.mixed_precision].itemsize,
        vae_bytes=_count(skeleton.vae(source)) * torch.float32.itemsize,
        lora_parameters=trained,
        weight_bytes=reserved,
        gradient_bytes=reserved,
        optimiser_bytes=max(state_bytes(own, leaves) for own in (plan.optimiser, *others)),
        average_bytes=0 if plan.ema.decay is None else trained * bank.dtype.itemsize,
    )


def state_bytes(plan: OptimiserPlan, shapes: Iterable[tuple[int, ...]]) -> int:
    """What an optimiser remembers of leaf tensors, seen after it has taken one step on one of each shape.

    One that sees them as one flat tensor has taken it on a small one; what it remembers of a number is the same.
    """
    if not OPTIMISERS[plan.name].leafwise:
        numbers = sum(torch.Size(shape).numel() for shape in shapes)
        tried = min(numbers, _SAMPLE)
        return round(numbers * _state_of(plan, Counter([(tried,)])) / tried)
    return _state_of(plan, Counter(shapes))


def _state_of(plan: OptimiserPlan, counts: Counter[tuple[int, ...]]) -> int:
    leaves = {shape: nn.Parameter(torch.zeros(shape)) for shape in counts}
    for leaf in leaves.values():
        leaf.grad = torch.ones_like(leaf)
    optimiser = optimisers.build(plan, [{"params": list(leaves.values()), "lr": plan.unet_lr}])
    optimiser.step()
    kept = {
        shape: [value for value in optimiser.state[leaf].values() if isinstance(value, torch.Tensor)]
        for shape, leaf in leaves.items()
    }
    owners = Counter(tensor.data_ptr() for tensors in kept.values() for tensor in tensors)
    shared = {
        t.data_ptr(): t.nbytes for tensors in kept.values() for t in tensors if owners[t.data_ptr()] > 1
    }
    own = {
        shape: sum(t.nbytes for t in tensors if owners[t.data_ptr()] == 1) for shape, tensors in kept.items()
    }
    return sum(shared.values()) + sum(counts[shape] * size for shape, size in own.items())


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
