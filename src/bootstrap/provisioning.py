"""Binds what serves a target."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial

import structlog

from calipso.backend import Backend
from calipso.bootstrap.targets import runtime_of, target_named
from calipso.errors import Unavailable
from calipso.projections.holdings import RecordedHoldings
from calipso.runtimes.protocol import ContainerRuntime, Target
from calipso.runtimes.provisioner import Provisioner
from calipso.runtimes.reconciler import Reconciler
from calipso.runtimes.service import Service

_log = structlog.get_logger()


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
