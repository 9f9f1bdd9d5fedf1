"""Headers of safetensors files, against the library that defines the format, and against lies."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.bad_input.scene import entry, tensor_file
from trainer import tensor_header
from trainer.tensor_header import MOST_BYTES, MOST_TENSORS, HeaderError, weights_problem


def problem(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(HeaderError) as caught:
        tensor_header.read(path)
    return str(caught.value)


@pytest.mark.parametrize(
    "kind", [torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.float8_e4m3fn]
)
def test_a_true_header_is_read_as_safetensors_reads_it(kind: torch.dtype, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tensors = {"a": torch.ones(2, 3).to(kind), "": torch.ones(()).to(kind), "ä": torch.ones(0, 4).to(kind)}
    save_file(tensors, path, {"name": "Äpfel\n", "empty": ""})
    header = tensor_header.read(path)
    with safe_open(path, framework="pt") as file:
        shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
        assert header.shapes == shapes
        assert header.metadata == file.metadata()
        assert {key: file.get_slice(key).get_dtype() for key in shapes} == header.types


def test_every_whole_file_in_the_shipped_models_passes(assets: Path) -> None:
    files = sorted(assets.rglob("*.safetensors"))
    assert len(files) >= 4
    assert all(tensor_header.read(file).shapes for file in files)


@pytest.mark.parametrize("cut", [0, 7, 8, 20, -1])
def test_a_cut_off_file_is_refused_wherever_it_is_cut(cut: int, tmp_path: Path) -> None:
    save_file({"a": torch.ones(2, 3)}, tmp_path / "x.safetensors")
    whole = (tmp_path / "x.safetensors").read_bytes()
    assert problem(tmp_path / "y.safetensors", whole[:cut])


def test_what_a_header_claims_is_not_allocated(tmp_path: Path) -> None:
    claims = [
        tensor_file(b"{}", length=2**63),
        tensor_file({"a": entry([2**40, 2**20], 0, 2**62)}, bytes(8)),
        tensor_file({"a": entry([2**62] * 8, 0, 8)}, bytes(8)),
    ]
    tracemalloc.start()
    for content in claims:
        assert problem(tmp_path / "x.safetensors", content)
    sparse = tmp_path / "sparse.safetensors"
    sparse.write_bytes((2**33).to_bytes(8, "little"))
    os.truncate(sparse, 2**34)
    with pytest.raises(HeaderError, match=f"more than {MOST_BYTES} are not read"):
        tensor_header.read(sparse)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_more_tensors_than_any_model_has_are_refused(tmp_path: Path) -> None:
    many = {str(i): entry([0], 0, 0) for i in range(MOST_TENSORS + 1)}
    assert "tensors" in problem(tmp_path / "x.safetensors", tensor_file(many))


@pytest.mark.parametrize("metadata", [[1], "x", {"a": 1}, {"a": None}, {"a": {"b": "c"}}])
def test_metadata_is_text_by_name(metadata: object, tmp_path: Path) -> None:
    assert "__metadata__" in problem(tmp_path / "x.safetensors", tensor_file({"__metadata__": metadata}))


@pytest.mark.parametrize("length", [0x280, 0x380, 0x480, 0x580, 0x10280])
def test_a_header_whose_length_looks_like_a_pickle_is_read(length: int, tmp_path: Path) -> None:
    text = b'{"__metadata__": {"name": "x"}}'.ljust(length)
    path = tmp_path / "x.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + text)
    assert tensor_header.read(path).metadata == {"name": "x"}


@pytest.mark.parametrize("beginning", [b"PK\x03\x04", b"\x80\x02", b"\x80\x04\x95"])
def test_a_pickle_is_known_by_its_first_bytes(beginning: bytes, tmp_path: Path) -> None:
    assert "could run code" in problem(tmp_path / "x.safetensors", beginning + bytes(100))


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "x.safetensors"
    os.mkfifo(pipe)
    with pytest.raises(HeaderError, match="no regular file"):
        tensor_header.read(pipe)


def test_folders_of_weights_must_hold_whole_safetensors(assets: Path, tmp_path: Path) -> None:
    assert weights_problem(assets / "micro-clip") is None
    assert "no .safetensors file in this folder;" in str(weights_problem(tmp_path))
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02")
    assert "pytorch_model.bin, which could run code" in str(weights_problem(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(json.dumps({}).encode())
    assert "not a whole .safetensors file" in str(weights_problem(tmp_path))
    assert "give the folder" in str(weights_problem(tmp_path / "model.safetensors"))
    assert "can run code" in str(weights_problem(tmp_path / "clip.pt"))


def test_the_advised_conversion_works_and_loads_no_code(tmp_path: Path) -> None:
    import shlex
    import subprocess
    import sys

    torch.save({"state_dict": {"a": torch.ones(2)}}, tmp_path / "in.ckpt")
    command = tensor_header.CONVERT.split("`")[1].replace("IN", "in.ckpt").replace("OUT", "out")
    subprocess.run([sys.executable, *shlex.split(command)[1:]], cwd=tmp_path, check=True)
    assert tensor_header.read(tmp_path / "out.safetensors").shapes == {"a": (2,)}
