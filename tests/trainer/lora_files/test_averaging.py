from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainer.lora_files.averaging import averaged
from trainer.lora_files.layers import LoraFileError

OUTPUTS, INPUTS = 12, 10


def lora(seed: int, rank: int, alpha: float, kernel: tuple[int, ...] = ()) -> dict[str, Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    return {
        "x.lora_down.weight": torch.randn(rank, INPUTS, *kernel, generator=drawn),
        "x.lora_up.weight": torch.randn(OUTPUTS, rank, *(1 for _ in kernel), generator=drawn),
        "x.alpha": torch.tensor(alpha),
    }


def difference(member: dict[str, Tensor]) -> Tensor:
    down, up = member["x.lora_down.weight"].flatten(1), member["x.lora_up.weight"].flatten(1)
    return float(member["x.alpha"]) / len(down) * (up @ down)


def test_a_lora_averaged_with_itself_stays_what_it_does() -> None:
    one = lora(0, 4, 2.0)
    found = averaged([one, one, one])
    assert torch.allclose(difference(found), difference(one), atol=1e-5)
    assert {key: value.shape for key, value in found.items()} == {
        key: value.shape for key, value in one.items()
    }


def test_a_mean_that_fits_into_the_rank_is_exact_whatever_the_members_ranks_and_alphas() -> None:
    wide, narrow = lora(0, 8, 4.0), lora(1, 2, 6.0)
    wide["x.lora_up.weight"][:, 6:] = 0  # rank 6 and rank 2 make 8
    expected = (difference(wide) + difference(narrow)) / 2
    assert torch.allclose(difference(averaged([wide, narrow])), expected, atol=1e-5)


@pytest.mark.parametrize("kernel", [(), (3, 3)])
def test_a_mean_of_a_higher_rank_is_cut_to_the_nearest_by_singular_values(kernel: tuple[int, ...]) -> None:
    members = [lora(seed, 3, 3.0, kernel) for seed in range(4)]
    mean = sum(difference(one) for one in members) / 4
    left, sizes, right = torch.linalg.svd(mean)
    nearest = left[:, :3] * sizes[:3] @ right[:3]
    assert torch.allclose(difference(averaged(members)), nearest, atol=1e-4)


def test_a_layer_that_a_member_lacks_counts_as_unchanged_in_it() -> None:
    one, bare = lora(0, 4, 4.0), {key.replace("x.", "y."): value for key, value in lora(1, 4, 4.0).items()}
    found = averaged([one | bare, one])
    kept = {key.replace("y.", "x."): value for key, value in found.items() if key.startswith("y.")}
    whole = {key.replace("y.", "x."): value for key, value in bare.items()}
    assert torch.allclose(difference(kept), difference(whole) / 2, atol=1e-5)


@pytest.mark.parametrize("key", ["x.hada_w1_a", "z.lora_down.weight", "x.dora_scale"])
def test_what_is_no_plain_lora_or_has_other_layers_is_refused(key: str) -> None:
    one = lora(0, 4, 4.0)
    with pytest.raises(LoraFileError, match=key.replace(".", r"\.")):
        averaged([one, one | {key: torch.zeros(4, 4)}])


def test_layers_of_other_shapes_are_refused() -> None:
    one, other = lora(0, 4, 4.0), lora(1, 4, 4.0)
    other["x.lora_up.weight"] = torch.zeros(OUTPUTS + 1, 4)
    with pytest.raises(LoraFileError, match="shape"):
        averaged([one, other])


def test_diffusers_layout_is_averaged_alike() -> None:
    """Without alphas: B holds the scale."""
    members = [lora(seed, 3, 3.0) for seed in range(2)]
    names = {"x.lora_down.weight": "x.lora_A.weight", "x.lora_up.weight": "x.lora_B.weight"}
    theirs = [{new: member[old] for old, new in names.items()} for member in members]
    found, wanted = averaged(theirs), averaged(members)
    assert found.keys() == set(names.values())
    for old, new in names.items():
        assert torch.equal(found[new], wanted[old])
