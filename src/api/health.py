"""What operators and their monitoring ask: does it live, is it ready, how is every part, and the figures."""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import CollectorRegistry
from sanic import Blueprint, HTTPResponse, Request

from calipso.api.context import Context, context_of
from calipso.api.usage_metrics import usage_families, used_until_now
from calipso.api.wire import json
from calipso.errors import Unavailable
from calipso.parts import HEARTBEAT_SECONDS, Part
from calipso.projections.audit import AUDIT
from calipso.projections.container_counts import START_SECONDS, Counts, counts
from calipso.projections.registry import GUACAMOLE, read_models
from calipso.proof.chain import PART as CHAIN
from calipso.relay import DEAD
from calipso.relay import PART as RELAY
from calipso.secrecy import hide

blueprint = Blueprint("health")

_SILENT_AFTER = timedelta(seconds=3 * HEARTBEAT_SECONDS)
_READY_LAG = 10_000  # events that do not concern a read model may wait a second until it looks at them
_TARGET = "target:"
_NOT_NEEDED = frozenset({GUACAMOLE, AUDIT})  # users can work without them


@dataclass(frozen=True, kw_only=True)
class PartHealth:
    """A part as health tells it: `lag` is the number of positions that it is behind, None where that says nothing.

    `is_silent`: it was not heard of for so long that it cannot live, or never.
    """

    name: str
    ok: bool
    detail: str
    position: int | None = None
    lag: int | None = None
    is_silent: bool = False

    def body(self) -> dict[str, object]:
        """Its JSON object."""
        told = {"ok": self.ok, "detail": hide(self.detail), "position": self.position, "lag": self.lag}
        return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Health:
    """The health of the whole installation."""

    store: PartHealth
    relay: PartHealth
    chain: PartHealth
    projections: Sequence[PartHealth]
    targets: Sequence[PartHealth]
    dead_letters: int = 0

    @property
    def is_ready(self) -> bool:
        """Whether requests can be served: the store answers, and the read models follow closely."""
        read_models = [part for part in self.projections if part.name not in _NOT_NEEDED]
        return self.store.ok and all(part.ok and (part.lag or 0) <= _READY_LAG for part in read_models)

    @property
    def is_well(self) -> bool:
        """Whether every part works, and nothing was given up."""
        return not self.dead_letters and all(
            part.ok for part in (self.store, self.relay, self.chain, *self.projections, *self.targets)
        )


@blueprint.get("/health/live", ctx_open=True)
async def live(_: Request) -> HTTPResponse:
    """The process serves."""
    return json({"status": "ok"})


@blueprint.get("/health/ready", ctx_open=True)
async def ready(request: Request) -> HTTPResponse:
    """Requests can be served."""
    health = await examine(context_of(request))
    return json({"status": "ok" if health.is_ready else "not ready"}, status=200 if health.is_ready else 503)


@blueprint.get("/health", ctx_open=True)
async def whole(request: Request) -> HTTPResponse:
    """How every part is."""
    health = await examine(context_of(request))
    body = {
        "status": "ok" if health.is_well else "impaired" if health.is_ready else "failing",
        "store": health.store.body(),
        "bus": {"ok": health.relay.ok, "detail": hide(health.relay.detail)},
        "relay": health.relay.body(),
        "chain": health.chain.body(),
        "projections": {part.name: part.body() for part in health.projections},
        "targets": {part.name: part.body() for part in health.targets},
        "dead_letters": health.dead_letters,
    }
    return json(body, status=200 if health.is_ready else 503)


@blueprint.get("/metrics", ctx_open=True)
async def metrics(request: Request) -> HTTPResponse:
    """Figures for Prometheus."""
    context = context_of(request)
    families = list(_health_families(await examine(context)))
    with contextlib.suppress(Unavailable):  # told by calipso_part_ok
        families += _container_families(await context.query(counts))
        families += usage_families(await context.query(used_until_now))
    derived = CollectorRegistry()
    derived.register(_Families(families))
    text = generate_latest(context.metrics.registry) + generate_latest(derived)
    return HTTPResponse(text, content_type="text/plain; version=0.0.4; charset=utf-8")


async def examine(context: Context) -> Health:
    """Ask the store how far it is, and read what each part last told."""
    backend = context.backend
    try:
        head = await asyncio.to_thread(backend.store.head)
        parts = {part.name: part for part in await asyncio.to_thread(backend.parts.all)}
    except Unavailable as error:
        return _without_store(error)
    names = [model.name for model in read_models()] + ([GUACAMOLE] if backend.settings.has_guacamole else [])
    targets = [target.name for target in backend.settings.effective_targets()]
    return Health(
        store=PartHealth(name="store", ok=True, detail="", position=head),
        relay=_follower(RELAY, parts.get(RELAY), head),
        chain=_follower(CHAIN, parts.get(CHAIN), head),
        projections=[_follower(name, parts.get(name), head) for name in names],
        targets=[_part(name, parts.get(_TARGET + name)) for name in targets],
        dead_letters=_number(parts.get(DEAD)),
    )


def _number(part: Part | None) -> int:
    """The number of dead letters that was told last; whether it is still told, the health of the relay says."""
    return int(part.detail) if part is not None and part.detail.isdecimal() else 0


def _without_store(error: Unavailable) -> Health:
    store = PartHealth(name="store", ok=False, detail=str(error))
    return Health(store=store, relay=_part(RELAY, None), chain=_part(CHAIN, None), projections=[], targets=[])


def _part(name: str, part: Part | None) -> PartHealth:
    if part is None:
        return PartHealth(name=name, ok=False, detail="has never told of itself", is_silent=True)
    if datetime.now(UTC) - part.at > _SILENT_AFTER:
        silent = f"silent since {part.at.astimezone(UTC).isoformat()}"
        return PartHealth(name=name, ok=False, detail=silent, is_silent=True)
    return PartHealth(name=name, ok=part.ok, detail=part.detail)


def _follower(name: str, part: Part | None, head: int) -> PartHealth:
    health = _part(name, part)
    position = part.position if part else 0
    return replace(health, position=position, lag=max(0, head - position))


class _Families:
    """Metric families that were made beforehand, as a collector."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """The families."""
        return self._families


def _health_families(health: Health) -> Iterable[Metric]:
    ok = GaugeMetricFamily("calipso_part_ok", "Whether a part works.", labels=["kind", "name"])
    lag = GaugeMetricFamily("calipso_part_lag_events", "Positions that a part is behind.", labels=["name"])
    kinds = {
        "store": [health.store],
        "relay": [health.relay],
        "chain": [health.chain],
        "projection": health.projections,
        "target": health.targets,
    }
    for kind, parts in kinds.items():
        for part in parts:
            ok.add_metric([kind, part.name], float(part.ok))
            if part.lag is not None:
                lag.add_metric([part.name], part.lag)
    dead = GaugeMetricFamily("calipso_dead_letters", "Messages that were given up.", value=health.dead_letters)
    return ok, lag, dead


def _container_families(found: Counts) -> Iterable[Metric]:
    states = GaugeMetricFamily("calipso_containers", "Containers by state.", labels=["state"])
    for state, number in found.by_state.items():
        states.add_metric([state], number)
    failures = CounterMetricFamily("calipso_start_failures", "Containers that failed.", labels=["runtime", "reason"])
    for (runtime, reason), number in found.failures.items():
        failures.add_metric([runtime, reason], number)
    starts = HistogramMetricFamily(
        "calipso_start_seconds", "Seconds from a request until its container was usable.", labels=["runtime"]
    )
    for runtime, (numbers, seconds) in found.starts.items():
        bounds = [*(str(bound) for bound in START_SECONDS), "+Inf"]
        starts.add_metric([runtime], list(zip(bounds, map(float, numbers), strict=True)), seconds)
    return states, failures, starts
