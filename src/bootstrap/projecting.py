"""Binds the projections."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial

from sqlalchemy import Engine

from calipso.backend import Backend
from calipso.bootstrap.guacamole import guacamole_of
from calipso.database import STORED
from calipso.events.envelope import EventLog
from calipso.parts import Report, Reporter
from calipso.projections.pace import Pace
from calipso.projections.protocol import Projection
from calipso.projections.registry import read_models
from calipso.projections.runner import Runner
from calipso.projections.shared_log import KEPT, SharedLog
from calipso.projections.together import GATHER_SECONDS, Group
from calipso.proof import chain
from calipso.proof.chain import Chain


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
    of_engines: defaultdict[Engine, list[Runner]] = defaultdict(list)
    for runner in runners(backend, reporter.report, log):
        of_engines[runner.engine].append(runner)
    following = [(Group(each), asyncio.Event()) for each in of_engines.values()]
    pace = Pace(lead=KEPT // 2)  # what is kept covers it, with the page in hand

    async def listen() -> None:
        async for channel, payload in backend.database.listen(STORED, gather=GATHER_SECONDS):
            log.renew()
            kinds = set(payload.split(",")) if channel else None
            for group, woken in following:
                if kinds is None or group.kinds is None or kinds & group.kinds:
                    woken.set()

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        tasks.create_task(listen())
        tasks.create_task(reporter.run())
        tasks.create_task(Chain(backend.database).follow(partial(_report, reporter.report, chain.PART)))
        for group, woken in following:
            tasks.create_task(group.follow(woken, pace, stack.enter_context(ThreadPoolExecutor(1))))
