from pathlib import Path

import pytest

from search.memory import Memory
from search.storage import StorageError, open_storage, reach, redacted


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
