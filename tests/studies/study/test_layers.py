"""Ranks and blocks that a base model's layers cannot have are told before anything is loaded."""

from __future__ import annotations

from typing import Any

import pytest

from search.parameter import Choice, Integer
from studies.errors import StudyError
from studies.study.layers import layer_notes, layer_problems
from studies.study.preflight import examine
from tests.trainer.bases.test_families import source
from trainer.bases import skeleton
from trainer.bases.families import FAMILIES
from trainer.plans.algorithms import module_class, wholly_kept

FAMILY = ["sd1", "sd2", "sdxl"]
NEEDED = {"base": {"path": "base"}, "data": {"folder": "images"}}


def problems(family: str, lora: dict[str, Any], parameters: dict[str, Any] | None = None) -> list[str]:
    return list(layer_problems({**NEEDED, "lora": lora}, parameters or {}, lambda: source(FAMILIES[family])))


@pytest.mark.parametrize("family", FAMILY)
def test_boft_at_rank_4_is_refused_with_the_rank_that_fits(family: str) -> None:
    (told,) = problems(family, {"algorithm": "boft", "rank": 4})
    assert told.startswith("lora.rank = 4 does not fit lora.algorithm = 'boft' on this base model: ")
    assert told.endswith("have no blocks of at most 4 outputs that it could turn; 10 or more fit.")
    assert not problems(family, {"algorithm": "boft", "rank": 10})


@pytest.mark.parametrize("family", FAMILY)
@pytest.mark.parametrize("rank", [9, 10])
def test_lycoris_itself_agrees_layer_by_layer(family: str, rank: int) -> None:
    made = skeleton.networks(source(FAMILIES[family]))
    refused, seen = False, set()
    for name in skeleton.layers(made):
        part, _, path = name.partition(".")
        inner: Any = made[part].get_submodule(path)
        if part == "unet" and (size := inner.weight.shape[0]) not in seen:
            seen.add(size)
            try:
                module_class("boft")("", inner, lora_dim=rank, bypass_mode=False)
            except ValueError:
                refused = True
    assert refused == bool(problems(family, {"algorithm": "boft", "rank": rank}))


def test_text_encoders_convolutions_and_blocks_are_told_by_their_own_fields() -> None:
    lora = {
        "algorithm": "boft",
        "rank": 12,
        "conv_rank": 2,
        "text_encoder": True,
        "block_ranks": {"mid_block": 3},
    }
    told = problems("sd1", lora)
    assert [one.partition(" ")[0] for one in told] == ["lora.block_ranks", "lora.conv_rank"]
    only_text = {"algorithm": "boft", "rank": 4, "unet": False, "text_encoder": True}
    (one,) = problems("sd1", only_text)
    assert "72 of 72 layers" in one and one.endswith("6 or more fit.")


def test_oft_of_single_outputs_would_change_nothing() -> None:
    (told,) = problems("sd1", {"algorithm": "diag-oft", "rank": 1})
    assert told.startswith("lora.rank = 1 does not fit lora.algorithm = 'diag-oft'")
    assert told.endswith("; 2 or more fit.")
    assert not problems("sd1", {"algorithm": "diag-oft", "rank": 2})


@pytest.mark.parametrize("algorithm", ["lora", "loha", "lokr", "ia3", "full", "glora", "dylora"])
def test_other_algorithms_divide_every_layer(algorithm: str) -> None:
    assert not problems("sd1", {"algorithm": algorithm, "rank": 4})


def test_both_ends_of_a_searched_rank_are_looked_at_where_they_apply() -> None:
    algorithms = Choice(choices=("lora", "boft"))
    (told,) = problems("sd1", {}, {"lora.algorithm": algorithms, "lora.rank": Integer(low=8, high=64)})
    assert told.startswith("lora.rank = 8 does not fit")
    assert not problems("sd1", {}, {"lora.algorithm": algorithms, "lora.rank": Integer(low=16, high=64)})
    of_lora = Integer(low=4, high=64, when={"lora.algorithm": ("lora",)})
    assert not problems("sd1", {"rank": 16}, {"lora.algorithm": algorithms, "lora.rank": of_lora})


def test_blocks_that_the_base_lacks_are_told_with_the_choices() -> None:
    (told,) = problems("sd1", {"block_ranks": {"up_blocks.7": 4}})
    assert told.startswith("lora.block_ranks: the U-Net has no block 'up_blocks.7'")
    assert "up_blocks.3" in told
    assert not problems("sdxl", {"freeze": ["down_blocks.1.attentions.0"]})


def test_a_study_is_refused_with_its_plan(small_study) -> None:  # type: ignore[no-untyped-def]
    path = small_study()
    searched = '"lora.algorithm" = { choices = ["lora", "boft"] }\n"lora.rank"'
    path.write_text(path.read_text().replace('"lora.rank"', searched))
    with pytest.raises(StudyError, match=r"lora\.rank = \d+ does not fit lora\.algorithm = 'boft'"):
        examine(path)


@pytest.mark.parametrize(
    "arguments", [{}, {"factor": 4}, {"factor": 8, "unbalanced_factorization": True}, {"full_matrix": True}]
)
def test_lokrs_whole_matrices_are_those_that_lycoris_makes_unasked(arguments: dict[str, Any]) -> None:
    made = skeleton.networks(source(FAMILIES["sd1"]))
    for name in skeleton.adaptable(made)[::9]:
        part, _, path = name.partition(".")
        inner: Any = made[part].get_submodule(path)
        for rank in (4, 16, 64):
            module = module_class("lokr")("", inner, lora_dim=rank, bypass_mode=False, **arguments)
            whole = module.use_w1 and module.use_w2 and not arguments.get("full_matrix")
            assert wholly_kept(rank, arguments, *inner.weight.shape[:2]) == whole, (name, rank)


def test_a_rank_that_means_nothing_to_lokr_is_told_with_how_many_layers() -> None:
    def notes(**lora: Any) -> list[str]:
        return list(layer_notes({**NEEDED, "lora": lora}, {}, lambda: source(FAMILIES["sd1"])))

    (told,) = notes(algorithm="lokr", rank=16)
    assert told.startswith("lokr keeps whole matrices at lora.rank = 16 in ")
    assert "of 192 layers" in told
    assert not notes(algorithm="lokr", rank=4)
    assert not notes(algorithm="lokr", rank=16, algorithm_args={"lokr": {"full_matrix": True}})
    assert not notes(algorithm="loha", rank=16)
