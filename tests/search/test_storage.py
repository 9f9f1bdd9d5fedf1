from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from search.driver import Driver
from search.memory import Memory
from search.settings import SearchSettings
from search.shared_leases import Shared
from search.space import parse_space
from search.storage import StorageError, open_storage, reach, redacted, translated
from search.storage_url import EndedError
from search.trial import Finished, Point
from tests.proxy import proxied
from tests.search.conftest import SPACE, Clock


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:s3cret@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("postgresql://me:p@ss/w:rd@host/db", "postgresql://me:***@host/db"),
        ("postgresql+psycopg://:s3cret@host/db", "postgresql+psycopg://:***@host/db"),
        ("postgresql://host/db?user=me&password=s3cret&x=1", "postgresql://host/db?user=me&password=***&x=1"),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
        ("sqlite:///a/study.db", "sqlite:///a/study.db"),
    ],
)
def test_passwords_are_never_shown(url: str, shown: str) -> None:
    assert redacted(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "not a url s3cret",
        "nosuchdb://me:s3cret@host/db",
        "postgresql://me:s3cret@127.0.0.1:1/db?connect_timeout=1",
        "sqlite:////proc/none/s3cret.db",
    ],
)
def test_storage_trouble_is_one_sentence_without_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError) as raised:
        Memory.open(url, "study", tmp_path)
    assert "\n" not in str(raised.value)
    assert "me:s3cret" not in str(raised.value)


def test_the_cause_that_may_hold_the_password_is_not_chained(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as raised:
        Memory.open("nosuchdb://me:s3cret@host/db", "study", tmp_path)
    assert raised.value.__cause__ is None and raised.value.__suppress_context__


def test_a_missing_file_is_not_made_unless_wanted(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "study.db"
    with pytest.raises(StorageError, match="There is no study database at sqlite:///"):
        open_storage(f"sqlite:///{path}", create=False)
    assert not path.parent.exists()


def test_sqlite_waits_for_others_and_writes_ahead(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/study.db", create=True)
    with storage.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000


def test_reaching_a_database_says_what_is_there_and_makes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "study.sqlite3"
    assert reach(f"sqlite:///{path}") == "will be made when a study begins"
    assert not path.exists()
    Memory.open(f"sqlite:///{path}", "one", tmp_path / "artifacts")
    assert reach(f"sqlite:///{path}") == "reached, holds studies"


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[str]:
    with proxied(tmp_path) as address:
        yield address


def test_a_study_is_driven_through_the_grpc_proxy(proxy: str, tmp_path: Path) -> None:
    assert reach(proxy) == "reached, no study yet"
    one, other = (Memory.open(proxy, "study", tmp_path / "artifacts") for _ in range(2))
    assert one.is_shared
    leases = [Shared(memory, name, ttl=0.1) for memory, name in ((one, "one"), (other, "other"))]
    for runner in leases:
        runner.enter()
    settings = SearchSettings.model_validate(
        {"sampler": "random", "pruner": {"name": "asha", "min_images": 50}, "budget": {"trials": 2}}
        | {"horizon_images": 200}
    )
    drivers = [
        Driver(m, parse_space(SPACE), settings, 7, Clock(), leases=of)
        for m, of in zip((one, other), leases, strict=True)
    ]
    first, second = (driver.ask() for driver in drivers)
    assert first and second and {first.number, second.number} == {0, 1}
    assert drivers[0].report(0, {"epoch": 1}, Point(100, 1.0)) == "continue"
    assert drivers[1].report(0, {"epoch": 2}, Point(200, 1.0)) == "lost"
    assert drivers[0].tell(0, Finished())
    leases[1].leave()
    leases[0].look()
    assert (taken := drivers[0].ask()) and taken.values == second.values and taken.resumed
    with pytest.raises(EndedError):
        other.annotate(0, "late", 1)
    with pytest.raises(StorageError, match="There is no study 'other' in grpc://"):
        Memory.open(proxy, "other", tmp_path, create=False)
    assert reach(proxy) == "reached, holds studies"


def test_a_proxy_that_ends_is_told_in_a_sentence(
    tmp_path: Path, proxy: str, request: pytest.FixtureRequest
) -> None:
    memory = Memory.open(proxy, "study", tmp_path)
    memory._study._storage._stub = _Refusing()  # type: ignore[attr-defined]
    with pytest.raises(StorageError, match=r"through its gRPC proxy: failed to connect") as caught:
        memory.recall("seed")
    assert "\n" not in str(caught.value)


class _Refusing:
    def __getattr__(self, name: str) -> Any:
        def call(request: Any) -> Any:
            raise _Unavailable

        return call


class _Unavailable(grpc.RpcError):
    def code(self) -> Any:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return "failed to connect to all addresses\nmore"


def test_no_proxy_at_an_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.storage._REACH_SECONDS", 0.2)
    with pytest.raises(StorageError, match="no gRPC proxy answers there"):
        open_storage("grpc://127.0.0.1:1", create=True)
    with pytest.raises(StorageError, match=r"A gRPC storage is written grpc://HOST:PORT"):
        open_storage("grpc://me:s3cret@host:1", create=True)


@pytest.mark.parametrize("extra", ["postgresql", "grpc"])
def test_a_missing_driver_says_what_to_install(extra: str) -> None:
    with (
        pytest.raises(StorageError, match=rf"pip install 'lorasearch\[{extra}\]'"),
        translated(f"{extra}://host/x"),
    ):
        raise ImportError("No module named 'x'")
