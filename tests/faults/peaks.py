"""The most memory and connections that a system took, looked at once a second."""

import contextlib
import threading

import psycopg
from tests.faults.report import Report
from tests.faults.system import System

_SECONDS = 1.0


class Peaks:
    """Watches a system in a thread of its own.

    Args:
        system: that is watched.
        report: that is told.
    """

    def __init__(self, system: System, report: Report) -> None:
        self._system = system
        self._report = report
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peaks")
        self._thread.start()

    def close(self) -> None:
        """Watch no more."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_SECONDS):
            memory = [process.memory for process in self._system.processes]
            self._report.memory = max(self._report.memory, sum(memory))
            self._report.largest = max(self._report.largest, *memory)
            with contextlib.suppress(psycopg.Error):
                self._report.connections = max(self._report.connections, self._connections())

    def _connections(self) -> int:
        with psycopg.connect(self._system.postgres.url("calipso"), connect_timeout=2) as connection:
            query = (
                "SELECT count(*) FROM pg_stat_activity WHERE client_addr IS NULL AND backend_type = 'client backend'"
            )
            row = connection.execute(query).fetchone()
        return int(row[0]) if row else 0
