"""Every algorithm's difference against its own formula, then against LyCORIS' forward pass."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from trainer.lora_files.algorithms import difference, rank
from trainer.lora_files.layers import LoraFileError

OUT, IN, R = 12, 8, 4
LINEAR, CONV = (OUT, IN), (OUT, IN, 3, 3)
Tensors = dict[str, Tensor]
Formula = Callable[[Tensors, Tensor], Tensor]
"""From tensors without alpha and a weight to the difference at alpha = rank."""


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape) * 7 + len(shape)))


def at_every_place(matrix: Callable[[int, int], Tensor]) -> Tensor:
    """A 3x3 kernel of matrices."""
    return torch.stack([torch.stack([matrix(y, x) for x in range(3)], -1) for y in range(3)], -2)


def lora(t: Tensors, w: Tensor) -> Tensor:
    return (t["lora_up.weight"].flatten(1) @ t["lora_down.weight"].flatten(1)).view(w.shape)


def tucker_lora(t: Tensors, _w: Tensor) -> Tensor:
    up, core, down = t["lora_up.weight"][..., 0, 0], t["lora_mid.weight"], t["lora_down.weight"][..., 0, 0]
    return at_every_place(lambda y, x: up @ core[..., y, x] @ down)


def loha(t: Tensors, w: Tensor) -> Tensor:
    return ((t["hada_w1_a"] @ t["hada_w1_b"]) * (t["hada_w2_a"] @ t["hada_w2_b"])).view(w.shape)


def tucker_loha(t: Tensors, _w: Tensor) -> Tensor:
    halves = [
        torch.einsum("ijhw,io,jn->onhw", t[f"hada_t{k}"], t[f"hada_w{k}_a"], t[f"hada_w{k}_b"])
        for k in (1, 2)
    ]
    return halves[0] * halves[1]


def lokr(t: Tensors, w: Tensor) -> Tensor:
    small = t["lokr_w1"] if "lokr_w1" in t else t["lokr_w1_a"] @ t["lokr_w1_b"]
    large = t["lokr_w2"] if "lokr_w2" in t else t["lokr_w2_a"] @ t["lokr_w2_b"]
    return torch.kron(small, large.flatten(1)).view(w.shape)


def lokr_at_every_place(t: Tensors, _w: Tensor) -> Tensor:
    large = (t["lokr_w2_a"] @ t["lokr_w2_b"]).view(4, 4, 3, 3)
    return at_every_place(lambda y, x: torch.kron(t["lokr_w1"], large[..., y, x].contiguous()))


def tucker_lokr(t: Tensors, _w: Tensor) -> Tensor:
    large = torch.einsum("ijhw,ik,jn->knhw", t["lokr_t2"], t["lokr_w2_a"], t["lokr_w2_b"])
    return at_every_place(lambda y, x: torch.kron(t["lokr_w1"], large[..., y, x].contiguous()))


def glora(t: Tensors, w: Tensor) -> Tensor:
    moved = t["a1.weight"] @ t["a2.weight"]
    return w @ moved + t["b1.weight"] @ t["b2.weight"]


SCALED: dict[str, tuple[tuple[int, ...], dict[str, tuple[int, ...]], Formula]] = {
    "LoRA": (LINEAR, {"lora_up.weight": (OUT, R), "lora_down.weight": (R, IN)}, lora),
    "LoCon": (CONV, {"lora_up.weight": (OUT, R, 1, 1), "lora_down.weight": (R, IN, 3, 3)}, lora),
    "LoCon, Tucker": (
        CONV,
        {
            "lora_up.weight": (OUT, R, 1, 1),
            "lora_mid.weight": (R, R, 3, 3),
            "lora_down.weight": (R, IN, 1, 1),
        },
        tucker_lora,
    ),
    "LoHa": (
        LINEAR,
        {"hada_w1_a": (OUT, R), "hada_w1_b": (R, IN), "hada_w2_a": (OUT, R), "hada_w2_b": (R, IN)},
        loha,
    ),
    "LoHa of a convolution": (
        CONV,
        {"hada_w1_a": (OUT, R), "hada_w1_b": (R, IN * 9), "hada_w2_a": (OUT, R), "hada_w2_b": (R, IN * 9)},
        loha,
    ),
    "LoHa, Tucker": (
        CONV,
        {
            "hada_w1_a": (R, OUT),
            "hada_w1_b": (R, IN),
            "hada_t1": (R, R, 3, 3),
            "hada_w2_a": (R, OUT),
            "hada_w2_b": (R, IN),
            "hada_t2": (R, R, 3, 3),
        },
        tucker_loha,
    ),
    "LoKr": (LINEAR, {"lokr_w1": (3, 2), "lokr_w2_a": (4, R), "lokr_w2_b": (R, 4)}, lokr),
    "LoKr, both factored": (
        LINEAR,
        {"lokr_w1_a": (3, R), "lokr_w1_b": (R, 2), "lokr_w2_a": (4, R), "lokr_w2_b": (R, 4)},
        lokr,
    ),
    "LoKr of a convolution": (
        CONV,
        {"lokr_w1": (3, 2), "lokr_w2_a": (4, R), "lokr_w2_b": (R, 4 * 9)},
        lokr_at_every_place,
    ),
    "LoKr, Tucker": (
        CONV,
        {"lokr_w1": (3, 2), "lokr_w2_a": (R, 4), "lokr_w2_b": (R, 4), "lokr_t2": (R, R, 3, 3)},
        tucker_lokr,
    ),
    "GLoRA": (
        LINEAR,
        {"a1.weight": (IN, R), "a2.weight": (R, IN), "b1.weight": (OUT, R), "b2.weight": (R, IN)},
        glora,
    ),
}
"""Weight, tensors and formula of each algorithm that alpha / rank scales."""


def tensors_of(shapes: dict[str, tuple[int, ...]]) -> Tensors:
    return {name: draw(*shape) * 0.3 for name, shape in shapes.items()}


@pytest.mark.parametrize("share", [1, 1 / 2, 1 / 4])
@pytest.mark.parametrize("name", SCALED)
def test_alpha_over_rank_scales_the_formula_once(name: str, share: float) -> None:
    shape, shapes, formula = SCALED[name]
    tensors, weight = tensors_of(shapes), draw(*shape)
    found, bias = difference("x", {**tensors, "alpha": torch.tensor(share * R)}, weight)
    torch.testing.assert_close(found, share * formula(tensors, weight), rtol=1e-5, atol=1e-5)
    assert bias is None
    assert rank("x", tensors) == R


@pytest.mark.parametrize("on_output", [True, False])
@pytest.mark.parametrize("name", [name for name in SCALED if name != "GLoRA"])
def test_dora_gives_every_output_or_input_the_norm_of_the_file(name: str, on_output: bool) -> None:
    shape, shapes, formula = SCALED[name]
    tensors, weight = tensors_of(shapes), draw(*shape)
    side = (OUT, 1) if on_output else (1, IN)
    norms = draw(*side).abs().view(*side, *(1 for _ in shape[2:])) + 0.5
    given = {**tensors, "alpha": torch.tensor(0.5 * R), "dora_scale": norms}
    found = weight + difference("x", given, weight)[0]
    merged = weight + 0.5 * formula(tensors, weight)
    kept = 0 if on_output else 1
    others = [i for i in range(weight.ndim) if i != kept]
    wanted = merged / merged.square().sum(others, keepdim=True).sqrt() * norms
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.square().sum(others).sqrt(), norms.flatten(), rtol=1e-5, atol=1e-5)


def test_two_whole_matrices_of_lokr_are_never_scaled() -> None:
    tensors = tensors_of({"lokr_w1": (3, 2), "lokr_w2": (4, 4)})
    found, _ = difference("x", {**tensors, "alpha": torch.tensor(1e10)}, draw(*LINEAR))
    torch.testing.assert_close(found, torch.kron(tensors["lokr_w1"], tensors["lokr_w2"]))


@pytest.mark.parametrize("name", ["LoRA", "LoHa", "LoKr"])
def test_a_scalar_multiplies_the_difference(name: str) -> None:
    """LyCORIS' ``use_scalar``, in files of versions that do not multiply it out."""
    _, shapes, formula = SCALED[name]
    tensors, weight = tensors_of(shapes), draw(*LINEAR)
    found, _ = difference("x", {**tensors, "scalar": torch.tensor(0.5)}, weight)
    torch.testing.assert_close(found, 0.5 * formula(tensors, weight))


def test_glora_of_lycoris_1_has_its_factors_the_other_way() -> None:
    tensors, weight = tensors_of(SCALED["GLoRA"][1]), draw(*LINEAR)
    swapped = {
        f"{part}{j}.weight": tensors[f"{part}{i}.weight"] for part in "ab" for i, j in ((1, 2), (2, 1))
    }
    alpha = torch.tensor(1.0)
    new, old = (difference("x", {**given, "alpha": alpha}, weight)[0] for given in (tensors, swapped))
    torch.testing.assert_close(old, new)


@pytest.mark.parametrize("on_input", [True, False])
@pytest.mark.parametrize("shape", [LINEAR, CONV])
def test_ia3_multiplies_inputs_or_outputs(shape: tuple[int, ...], on_input: bool) -> None:
    weight, factors = draw(*shape), draw(IN if on_input else OUT)
    found, _ = difference("x", {"weight": factors, "on_input": torch.tensor(int(on_input))}, weight)
    side = 1 if on_input else 0
    rows = [row * factor for row, factor in zip(weight.unbind(side), factors, strict=True)]
    wanted = torch.stack(rows, side)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("alpha", [0.0, 0.001])
def test_oft_rotates_blocks_of_outputs(alpha: float) -> None:
    """R = (I + Q)(I - Q)^-1 of Q = B - B^T, held below alpha times the outputs (Qiu et al. 2023)."""
    weight, blocks = draw(*LINEAR), draw(3, 4, 4) * 0.1
    found, _ = difference("x", {"oft_blocks": blocks, "alpha": torch.tensor(alpha)}, weight)
    skew = blocks - blocks.mT
    if alpha:
        skew = skew * alpha * OUT / skew.norm()
    one = torch.eye(4)
    turned = torch.cat(
        [((one + q) @ torch.linalg.inv(one - q)).T @ w for q, w in zip(skew, weight.split(4), strict=True)]
    )
    torch.testing.assert_close(weight + found, turned, rtol=1e-4, atol=1e-5)


def test_whole_differences_norms_and_biases_are_as_they_are() -> None:
    full, bias = draw(*CONV), draw(OUT)
    found = difference("x", {"diff": full, "diff_b": bias}, draw(*CONV))
    assert torch.equal(found[0], full)
    assert found[1] is not None and torch.equal(found[1], bias)
    alone = difference("x", {"diff_b": bias}, draw(*LINEAR))
    assert not alone[0].any()
    assert alone[1] is not None and torch.equal(alone[1], bias)
    norm = difference("x", {"w_norm": draw(OUT), "b_norm": bias}, torch.ones(OUT))
    assert torch.equal(norm[0], draw(OUT))
    assert norm[1] is not None and torch.equal(norm[1], bias)


def test_a_bias_of_b_is_scaled_with_it() -> None:
    tensors = {**tensors_of(SCALED["LoRA"][1]), "lora_up.bias": draw(OUT), "alpha": torch.tensor(1.0)}
    _, bias = difference("x", tensors, draw(*LINEAR))
    torch.testing.assert_close(bias, draw(OUT) / R)


MODULES: dict[str, tuple[str, dict[str, Any]]] = {
    "LoCon": ("locon.LoConModule", {}),
    "LoCon, Tucker": ("locon.LoConModule", {"use_tucker": True}),
    "LoHa": ("loha.LohaModule", {}),
    "LoHa, Tucker": ("loha.LohaModule", {"use_tucker": True}),
    "LoKr": ("lokr.LokrModule", {"factor": 4}),
    "LoKr, Tucker": ("lokr.LokrModule", {"factor": 4, "use_tucker": True}),
    "GLoRA": ("glora.GLoRAModule", {}),
    "IA3": ("ia3.IA3Module", {}),
    "IA3 on inputs": ("ia3.IA3Module", {"train_on_input": True}),
    "OFT": ("diag_oft.DiagOFTModule", {"rescaled": True, "constraint": 0.001}),
    "BOFT": ("boft.ButterflyOFTModule", {"rescaled": True}),
}
DORA = ("LoCon", "LoCon, Tucker", "LoHa", "LoHa, Tucker", "LoKr", "LoKr, Tucker")


def lycoris(name: str, inner: nn.Module, **more: Any) -> Any:
    """LyCORIS' module of a layer with drawn weights, dim 4 and alpha 1."""
    place, arguments = MODULES[name]
    file, _, kind = place.partition(".")
    module = getattr(import_module(f"lycoris.modules.{file}"), kind)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        found = module("", inner, lora_dim=4, alpha=1.0, **{**arguments, **more})
        for parameter in found.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return found.eval()


@pytest.mark.parametrize("wd", [None, True, False])
@pytest.mark.parametrize("kind", ["linear", "conv"])
@pytest.mark.parametrize("name", MODULES)
def test_it_is_what_lycoris_own_forward_pass_adds(name: str, kind: str, wd: bool | None) -> None:
    if wd is not None and name not in DORA:
        pytest.skip("LyCORIS has no DoRA of it")
    torch.manual_seed(0)
    inner: Any = nn.Linear(32, 64) if kind == "linear" else nn.Conv2d(32, 64, 3, padding=1)
    x = torch.randn(2, 32) if kind == "linear" else torch.randn(2, 32, 5, 5)
    more = {} if wd is None else {"weight_decompose": True, "wd_on_out": wd}
    module = lycoris(name, inner, bypass_mode=False, **more)
    held = {key: torch.as_tensor(value).detach() for key, value in file_of(module).items()}
    weight, _ = difference("x", held, inner.weight)
    module.org_forward = inner.forward
    with torch.no_grad():
        theirs = module(x)
        ours = functional_call(inner, {"weight": inner.weight + weight}, (x,))
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
        assert float((theirs - inner(x)).abs().max()) > 1e-3, "it changes something"


def file_of(module: Any) -> dict[str, Any]:
    """What the library writes for a module."""
    return module.custom_state_dict() or module.state_dict()


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"hada_w1_a": (OUT, R), "hada_w2_a": (OUT, R)}, r"not hada_w1_b, which belongs to LoHa"),
        (
            {"lora_up.weight": (OUT, R), "hada_w1_a": (OUT, R)},
            "no algorithm has the tensors hada_w1_a, lora_up",
        ),
        (
            {"diff": (IN, OUT)},
            r"diff \(8, 12\) do not fit the base model's weight \(12, 8\); was it made for another",
        ),
        ({"lokr_w1": (2, 3), "lokr_w2": (4, 4)}, "do not fit"),
        ({"oft_blocks": (5, 4, 4)}, "do not fit"),
        ({"diff": (OUT, IN), "dora_scale": (IN, 1)}, "do not fit"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_told(tensors: dict[str, tuple[int, ...]], told: str) -> None:
    with pytest.raises(LoraFileError, match=told):
        difference("x", tensors_of(tensors), draw(*LINEAR))


def test_weights_that_are_no_numbers_are_told() -> None:
    with pytest.raises(LoraFileError, match="its weights are not finite"):
        difference("x", {"diff": torch.full(LINEAR, torch.nan)}, draw(*LINEAR))
    with pytest.raises(LoraFileError, match="its weights are not finite"):
        difference("x", {"diff_b": torch.full((OUT,), torch.inf)}, draw(*LINEAR))
    with pytest.raises(LoraFileError, match="diff is in int8, no floating type"):
        difference("x", {"diff": torch.zeros(LINEAR, dtype=torch.int8)}, draw(*LINEAR))
    with pytest.raises(LoraFileError, match="alpha must be one finite number"):
        difference("x", {**tensors_of(SCALED["LoHa"][1]), "alpha": torch.tensor(torch.inf)}, draw(*LINEAR))


@pytest.mark.parametrize(
    "tensors",
    [
        {"lora_up.weight": (2**20, 1), "lora_down.weight": (1, 2**20), "dora_scale": (OUT, 1)},
        {"hada_w1_a": (2**20, 1), "hada_w1_b": (1, 2**20), "hada_w2_a": (2**20, 1), "hada_w2_b": (1, 2**20)},
        {"lokr_w1": (2**10, 2**10), "lokr_w2": (2**10, 2**10)},
    ],
)
def test_a_product_that_would_fill_the_memory_is_not_computed(tensors: dict[str, tuple[int, ...]]) -> None:
    """Four TiB each."""
    with pytest.raises(LoraFileError, match="do not fit the base model's weight"):
        difference("x", {name: torch.ones(shape) for name, shape in tensors.items()}, draw(*LINEAR))
