"""What is refused before any engine starts."""

from __future__ import annotations

import socket

import click
import pytest

from studies.cli.main import cli
from studies.engines import choice
from studies.engines.choice import ENGINES, EngineChoice
from studies.engines.ray_cluster import cluster
from studies.errors import StudyError


def test_the_command_line_offers_every_engine() -> None:
    command = cli.get_command(click.Context(cli), "run")
    assert command is not None
    (option,) = [option for option in command.params if option.name == "engine"]
    assert isinstance(option.type, click.Choice) and list(option.type.choices) == list(ENGINES)


@pytest.mark.parametrize("asked", [EngineChoice(workers=2), EngineChoice(address="auto")])
def test_what_only_ray_can_do_is_refused_without_it(asked: EngineChoice) -> None:
    with pytest.raises(StudyError, match="need --engine ray"):
        asked.check()


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "find_spec", lambda name: None)
    with pytest.raises(StudyError, match=r"pip install 'lorasearch\[ray\]'"):
        EngineChoice("ray").check()


@pytest.mark.parametrize("address", ["ray://10.0.0.5:10001", "10.0.0.5", "", "a b:1", "head:port"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(StudyError, match="--ray-address must be HOST:PORT"):
        EngineChoice("ray", address).check()


@pytest.mark.parametrize("address", [None, "auto", "10.0.0.5:6379", "gpu-1.example.org:6379", "[::1]:6379"])
def test_addresses_are_taken(address: str | None) -> None:
    EngineChoice("ray", address, 3).check()


def test_an_address_where_nobody_answers_is_told_at_once() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with (
        pytest.raises(StudyError, match=f"127.0.0.1:{port}: nobody answers"),
        cluster(f"127.0.0.1:{port}", None),
    ):
        pass
