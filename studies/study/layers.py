"""What a network asks of layers that the base model does not have; told from its configuration alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from pydantic import ValidationError
from torch import nn

from search.space import Parameter
from studies.spec.plan_fields import build, extremes
from trainer.adapters.shape import Shape, check_shape, nearest
from trainer.bases import skeleton
from trainer.bases.find import Source
from trainer.plan import TrainingPlan
from trainer.plans.algorithms import divides, smallest_rank, wholly_kept
from trainer.plans.network import MOST_DIMENSIONS
from trainer.training.run import shape_of

_DIVIDING = {"boft", "diag-oft"}
"""Algorithms that divide a layer's outputs into blocks by the rank."""
_SEARCHED = ("lora.algorithm", "lora.rank", "lora.conv_rank")


@dataclass(frozen=True, slots=True)
class _Layer:
    name: str
    kernel: int
    resnet: bool
    outputs: int
    inputs: int


def layer_problems(
    template: Mapping[str, Any], parameters: Mapping[str, Parameter], base: Callable[[], Source]
) -> Iterator[str]:
    """Blocks that the base model lacks, and ranks by which its layers cannot be divided, once for each field.

    Args:
        template: the plan's fixed fields as they were written.
        parameters: what is searched.
        base: finds the base model; its configuration is read where a plan depends on it.
    """
    asked = [plan for plan in _plans(template, parameters) if _depends(plan)]
    if not asked:
        return
    layers, told = _layers(skeleton.networks(base())), set[str]()
    for plan in asked:
        for field, problem in _problems(plan, layers):
            if field not in told:
                told.add(field)
                yield problem


def layer_notes(
    template: Mapping[str, Any], parameters: Mapping[str, Parameter], base: Callable[[], Source]
) -> Iterator[str]:
    """What of a network will not act as its author may think: LoKr's ranks at which its factors are whole matrices.

    Args:
        template: the plan's fixed fields as they were written.
        parameters: what is searched.
        base: finds the base model.
    """
    asked = [plan for plan in _plans(template, parameters) if plan.lora.algorithm == "lokr"]
    if not asked:
        return
    layers = _layers(skeleton.networks(base()))
    plan = min(asked, key=lambda one: one.lora.rank)
    arguments, shape = plan.lora.algorithm_args.get("lokr", {}), shape_of(plan)
    ranks = {layer: rank for layer in layers if (rank := shape.rank_of(layer))}
    whole = [
        layer for layer, rank in ranks.items() if wholly_kept(rank, arguments, layer.outputs, layer.inputs)
    ]
    if whole:
        yield (
            f"lokr keeps whole matrices at lora.rank = {plan.lora.rank} in {len(whole)} of {len(ranks)} layers, where "
            "neither rank nor alpha has an effect; a smaller rank, or a small algorithm_args.lokr.factor such as 4, "
            "factors them."
        )


def _plans(template: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> Iterator[TrainingPlan]:
    """The plan with every choice of algorithm and both ends of the ranks, where they apply together."""
    names = [name for name in _SEARCHED if name in parameters]
    for values in product(*(extremes(parameters[name]) for name in names)):
        chosen = dict(zip(names, values, strict=True))
        applying = {
            name: value
            for name, value in chosen.items()
            if all(chosen[key] in allowed for key, allowed in parameters[name].when.items() if key in chosen)
        }
        try:
            yield build(template, applying)
        except ValidationError:
            continue


def _depends(plan: TrainingPlan) -> bool:
    lora = plan.lora
    return lora.algorithm in _DIVIDING or bool(lora.freeze or lora.block_ranks or lora.block_lrs)


def _layers(made: dict[str, nn.Module]) -> tuple[_Layer, ...]:
    """All layers that can be trained."""
    plain = frozenset(skeleton.layers(made))
    found = []
    for name in skeleton.adaptable(made):
        part, _, path = name.partition(".")
        module = made[part].get_submodule(path)
        kernel = module.kernel_size[0] if isinstance(module, nn.Conv2d) else 1
        outputs, inputs = module.get_parameter("weight").shape[:2]
        found.append(_Layer(name, kernel, name not in plain, outputs, inputs))
    return tuple(found)


def _problems(plan: TrainingPlan, layers: Sequence[_Layer]) -> Iterator[tuple[str, str]]:
    """(field, sentence)."""
    shape = shape_of(plan)
    try:
        check_shape(shape, [layer.name for layer in layers])
    except ValueError as error:
        yield str(error).partition(":")[0], f"{error}."
        return
    if plan.lora.algorithm not in _DIVIDING:
        return
    fields: dict[tuple[str, int], list[_Layer]] = {}
    for layer in layers:
        if rank := shape.rank_of(layer):
            fields.setdefault((_field(shape, layer), rank), []).append(layer)
    for (field, rank), members in fields.items():
        if problem := _undivided(plan.lora.algorithm, field, rank, members):
            yield field, problem


def _field(shape: Shape, layer: _Layer) -> str:
    """Where a layer's rank stands."""
    if layer.kernel > 1:
        return "lora.conv_rank"
    part, _, path = layer.name.partition(".")
    named = part == "unet" and nearest(path, shape.block_ranks, 0)
    return "lora.block_ranks" if named else "lora.rank"


def _undivided(algorithm: str, field: str, rank: int, layers: Sequence[_Layer]) -> str | None:
    unfit = [layer for layer in layers if not divides(algorithm, rank, layer.outputs)]
    if not unfit:
        return None
    least = smallest_rank(algorithm, {layer.outputs for layer in layers}, MOST_DIMENSIONS)
    advice = f"{least} or more fit" if least else "choose another algorithm"
    return (
        f"{field} = {rank} does not fit lora.algorithm = '{algorithm}' on this base model: {len(unfit)} of "
        f"{len(layers)} layers, such as {unfit[0].name} with {unfit[0].outputs} outputs, have no blocks of at most "
        f"{rank} outputs that it could turn; {advice}."
    )
