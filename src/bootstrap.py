"""Binds the parts to processes: what prepares the databases, projects, relays and provisions."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial

import structlog
from sqlalchemy import Engine

from calipso import installation
from calipso.accounts import ACCOUNTS_DDL
from calipso.backend import Backend
from calipso.database import STORED
from calipso.errors import Invalid, Unavailable
from calipso.events.envelope import EventLog
from calipso.events.values import Runtime
from calipso.installation import INSTALLATION_DDL
from calipso.login_tokens import LOGIN_TOKENS_DDL
from calipso.parts import PARTS_DDL, Report, Reporter
from calipso.projections.guacamole import Guacamole
from calipso.projections.holdings import RecordedHoldings
from calipso.projections.protocol import Projection
from calipso.projections.registry import read_models
from calipso.projections.runner import GATHER_SECONDS, Runner
from calipso.projections.shared_log import SharedLog
from calipso.proof import chain
from calipso.proof.chain import CHAIN_DDL, Chain
from calipso.relay import Relay
from calipso.relay import republish as renew_stream
from calipso.runtimes.docker import DockerRuntime
from calipso.runtimes.kubernetes import KubernetesRuntime
from calipso.runtimes.protocol import ContainerRuntime, Target
from calipso.runtimes.provisioner import Provisioner
from calipso.runtimes.reconciler import Reconciler
from calipso.runtimes.service import Service
from calipso.runtimes.static_link import StaticLinkRuntime
from calipso.settings import Settings
from calipso.snapshots import SNAPSHOTS_DDL
from calipso.vault import SUBJECT_KEYS_DDL

_log = structlog.get_logger()

_PATIENCE_SECONDS = 5.0  # of commands, for the bus


def migrate(backend: Backend, *, make_guacamole: bool) -> None:
    """Prepare the databases; harmless to repeat, also by several processes at once.

    Args:
        backend: whose databases.
        make_guacamole: whether Guacamole's own tables are made too (only in a database of ours).
    """
    with backend.database.connect() as connection:
        connection.execute("SELECT pg_advisory_lock(hashtext('calipso migrate'))")
        try:
            backend.store.migrate()
            tables = SUBJECT_KEYS_DDL, PARTS_DDL, ACCOUNTS_DDL, LOGIN_TOKENS_DDL, INSTALLATION_DDL, CHAIN_DDL
            for ddl in (*tables, SNAPSHOTS_DDL):
                connection.execute(ddl.encode())
            installation.make(backend.database, backend.keys)
            for read_model in read_models():
                with backend.engine.begin() as transaction:
                    read_model.prepare(transaction)
            _prepare_guacamole(backend, make=make_guacamole)
        finally:
            connection.execute("SELECT pg_advisory_unlock(hashtext('calipso migrate'))")


def _prepare_guacamole(backend: Backend, *, make: bool) -> None:
    if backend.guacamole_engine is None:
        return
    with backend.guacamole_engine.begin() as transaction:
        if make:
            guacamole_of(backend).create_schema(transaction)
        guacamole_of(backend).prepare(transaction)


def guacamole_of(backend: Backend) -> Guacamole:
    """The projection into Guacamole's tables."""
    targets = backend.settings.effective_targets()
    return Guacamole(backend.keys, {target.name: (target.guacd_host, target.guacd_port) for target in targets})


def runners(backend: Backend, told: Callable[[Report], None], log: EventLog | None = None) -> Sequence[Runner]:
    """A runner for every projection that this installation has.

    Args:
        backend: whose projections.
        told: hears how far each is.
        log: where they read events; None: in the store.
    """
    engines: list[tuple[Projection, Engine]] = [(model, backend.projecting_engine) for model in read_models()]
    if backend.guacamole_engine is not None:
        engines.append((guacamole_of(backend), backend.guacamole_engine))
    return [
        Runner(
            projection=projection,
            engine=engine,
            log=log or backend.store,
            report=partial(_report, told, projection.name),
        )
        for projection, engine in engines
    ]


def _report(told: Callable[[Report], None], name: str, position: int, ok: bool, detail: str) -> None:
    told(Report(name=name, position=position, ok=ok, detail=detail))


async def project(backend: Backend) -> None:
    """Keep every projection and the chain of hashes up to date, for ever."""
    reporter, log = Reporter(backend.parts), SharedLog(backend.store)
    following = [(runner, asyncio.Event()) for runner in runners(backend, reporter.report, log)]

    async def listen() -> None:
        async for channel, payload in backend.database.listen(STORED, gather=GATHER_SECONDS):
            log.renew()
            kinds = set(payload.split(",")) if channel else None
            for runner, woken in following:
                if kinds is None or runner.kinds is None or kinds & runner.kinds:
                    woken.set()

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        # those of one database take turns: side by side they would spend more on handing over than on their work
        engines = {runner.engine for runner, _ in following}
        threads = {engine: stack.enter_context(ThreadPoolExecutor(1)) for engine in engines}
        group.create_task(listen())
        group.create_task(reporter.run())
        group.create_task(Chain(backend.database).follow(partial(_report, reporter.report, chain.PART)))
        for runner, woken in following:
            group.create_task(runner.follow(woken, threads[runner.engine]))


async def relay(backend: Backend) -> None:
    """Relay events to the bus, for ever."""
    async with backend.bus("calipso relay") as connected:
        await Relay(backend.database, backend.public_store, connected, backend.parts).run()


async def republish(backend: Backend) -> None:
    """Empty the stream on the bus, and let the relay publish every event again.

    Raises:
        Conflict: a relay is publishing.
        Unavailable: the bus does not answer.
    """
    async with backend.bus("calipso republish", patience=_PATIENCE_SECONDS) as found:
        await renew_stream(backend.database, found, backend.parts)


async def stream_position(backend: Backend) -> int | None:
    """The position of the last event on the bus, 0 when there is none; None when the bus does not answer."""
    try:
        async with backend.bus("calipso restore", patience=_PATIENCE_SECONDS) as found:
            await found.ensure_streams()
            return (await found.tail()).position or 0
    except Unavailable:
        return None


def target_named(settings: Settings, name: str) -> Target:
    """The target of this name.

    Raises:
        Invalid: the settings know no such target.
    """
    known = {target.name: target for target in settings.effective_targets()}
    if name not in known:
        raise Invalid("target", f"{name!r} is none of {', '.join(sorted(known))}")
    return known[name]


def runtime_of(backend: Backend, target: Target) -> ContainerRuntime:
    """What makes containers on a target.

    Raises:
        Invalid: what the runtime needs is not installed.
    """
    if target.runtime is Runtime.STATIC_LINK:
        return StaticLinkRuntime(target)
    if target.runtime is Runtime.DOCKER:
        settings = backend.settings
        return DockerRuntime(
            target,
            installation=str(backend.installation.id),
            facility=settings.facility,
            pids_limit=settings.pids_limit,
            roots=settings.volume_roots(),
        )
    if target.runtime is Runtime.KUBERNETES:
        return KubernetesRuntime(
            target,
            grace=timedelta(seconds=backend.settings.stop_grace),
            installation=str(backend.installation.id),
            facility=backend.settings.facility,
            roots=backend.settings.volume_roots(),
        )
    return _virtual_machines(backend, target)


def _virtual_machines(backend: Backend, target: Target) -> ContainerRuntime:
    try:
        from calipso.runtimes.virtual_machine import VirtualMachineRuntime  # noqa: PLC0415 - needs an optional extra
    except ModuleNotFoundError as error:
        reason = (
            f"{target.name}: virtual machines need {error.name}, which is not installed: pip install calipso[libvirt]"
        )
        raise Invalid("targets", reason) from error
    settings = backend.settings
    return VirtualMachineRuntime(
        target,
        installation=str(backend.installation.id),
        facility=settings.facility,
        roots=settings.volume_roots(),
    )


async def provision(
    backend: Backend, target_name: str, *, make_runtime: Callable[[Backend, Target], ContainerRuntime] = runtime_of
) -> None:
    """Serve one target, for ever.

    Args:
        backend: the bound parts.
        target_name: which one.
        make_runtime: gives what makes containers there.

    Raises:
        Invalid: the settings know no such target, or what its runtime needs is not installed.
    """
    target = target_named(backend.settings, target_name)
    loop = asyncio.get_running_loop()

    def told(ok: bool, detail: str) -> None:
        loop.run_in_executor(None, _report_target, backend, target, ok, detail)

    async with AsyncExitStack() as stack:
        claimant, still_holding = await stack.enter_async_context(
            backend.database.holding_one_of(f"provisioner/{target.name}")
        )
        provisioner = Provisioner(
            target=target,
            runtime=make_runtime(backend, target),
            dispatcher=backend.dispatcher,
            keys=backend.keys,
            holdings=RecordedHoldings(backend.engine),
            capacity_lock=partial(backend.database.holding, f"capacity/{target.name}"),
            claimant=claimant,
            stop_grace=timedelta(seconds=backend.settings.stop_grace),
            web_base=backend.settings.web_base,
        )
        reconciler = Reconciler(
            provisioner=provisioner,
            target_id=backend.installation.naming.target(target.name),
            is_alive=backend.database.is_held,
            lost_grace=backend.settings.lost_grace,
            stopped_limit=timedelta(seconds=backend.settings.stopped_limit),
            told=told,
        )
        connected = await stack.enter_async_context(backend.bus(f"calipso {claimant}"))
        service = Service(
            provisioner=provisioner,
            reconciler=reconciler,
            bus=connected,
            period=backend.settings.reconcile_period,
            still_holding=still_holding,
            provisioners=partial(backend.database.count_held, f"provisioner/{target.name}"),
            told=told,
        )
        await service.run(backend.database.holding(f"reconcile/{target.name}"))


def _report_target(backend: Backend, target: Target, ok: bool, detail: str) -> None:
    try:
        backend.parts.report(f"target:{target.name}", ok=ok, detail=detail)
    except Unavailable as error:
        _log.warning("could not tell of the target", target=target.name, reason=str(error))
