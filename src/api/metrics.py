"""What one API process counts, in Prometheus' format."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 240)


class Metrics:
    """Requests and commands of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._counters: dict[tuple[str, str, int], Callable[[float], None]] = {}
        self._requests = Histogram(
            "calipso_request_seconds",
            "Seconds from a request to its answer.",
            ("method", "route", "status"),
            registry=self.registry,
            buckets=_SECONDS,
        )
        self._commands = Histogram(
            "calipso_command_seconds",
            "Seconds until a command was stored or refused.",
            ("command",),
            registry=self.registry,
            buckets=_SECONDS,
        )
        self.held = Gauge(
            "calipso_held_requests", "Requests that wait for their outcome.", ("operation",), registry=self.registry
        )
        self._outcomes = Counter(
            "calipso_commands", "Commands by outcome.", ("command", "outcome"), registry=self.registry
        )

    def counter_of(self, method: str, route: str, status: int) -> Callable[[float], None]:
        """What counts requests of one kind; takes the seconds of each."""
        found = self._counters.get((method, route, status))
        if found is None:
            found = self._counters[method, route, status] = self._requests.labels(method, route, status).observe
        return found

    def command(self, name: str, outcome: str, seconds: float) -> None:
        """Count a command; its outcome is `stored`, `achieved`, or the kind of the error."""
        self._commands.labels(name).observe(seconds)
        self._outcomes.labels(name, outcome).inc()
