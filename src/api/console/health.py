"""How every part is, in sentences, with what to do."""

import asyncio
from collections.abc import Mapping, Sequence

from sanic import Blueprint, HTTPResponse, Request

from calipso.api.console.findings import Finding, of_all
from calipso.api.console.shell import for_auditors, render
from calipso.api.context import Context, context_of
from calipso.api.described_targets import DescribedTarget, describe_targets
from calipso.api.health import examine
from calipso.backend import Backend
from calipso.bus.dead_letters import DeadLetters
from calipso.errors import Unavailable
from calipso.secrecy import hide

blueprint = Blueprint("console_health")

_PATIENCE_SECONDS = 2.0  # for NATS, which people wait for


@blueprint.get("/console/health/")
@for_auditors
async def health(request: Request) -> HTTPResponse:
    """How the store, NATS, the relay, each projection and each target are."""
    found = await find(context_of(request))
    troubles = [finding for findings in found.values() for finding in findings if not finding.is_well]
    return render(request, "health.html", found=found, troubles=troubles)


async def find(context: Context) -> Mapping[str, Sequence[Finding]]:
    """Every finding, by its heading."""
    known, (trouble, number) = await asyncio.gather(examine(context), _ask_nats(context.backend))
    targets: Sequence[DescribedTarget] = ()
    if known.store.ok:
        targets = await context.work(lambda: describe_targets(context.backend))
    return of_all(known, targets, hide(trouble), known.dead_letters if number is None else number)


async def _ask_nats(backend: Backend) -> tuple[str, int | None]:
    """What is wrong with NATS, and the number of dead letters where it answers."""
    try:
        async with backend.bus("calipso console", patience=_PATIENCE_SECONDS) as bus:
            return "", await DeadLetters(bus).number()
    except Unavailable as error:
        return error.reason, None
