"""Projections made anew from the events: beside the live ones, up to a moment elsewhere, or only to compare."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC
from functools import partial
from typing import Annotated

import typer

from calipso.backend import Backend
from calipso.bootstrap.guacamole import guacamole_of
from calipso.cli.common import Data, running
from calipso.cli.position_progress import PositionProgress
from calipso.database import Database
from calipso.engines import engine_of
from calipso.errors import CalipsoError, Conflict, Invalid, NotFound
from calipso.moments import parse_moment
from calipso.projections import rebuilding
from calipso.projections.guacamole import rebuilding as guacamole_rebuilding
from calipso.projections.rebuilding import BoundedLog, Digest, Rebuild
from calipso.projections.registry import GUACAMOLE, read_models
from calipso.projections.runner import BATCH, OUTAGES, PoisonEvent
from calipso.projections.tables import ReadModel

_MODELS = {model.name: model for model in read_models()}


def rebuild(
    names: Annotated[list[str] | None, typer.Argument(help=f"Of: {', '.join([*_MODELS, GUACAMOLE])}.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; end with status 1 when one is not what its events say.")
    ] = False,
    anew: Annotated[bool, typer.Option("--anew", help="Do not go on where an earlier run was interrupted.")] = False,
    until: Annotated[
        str, typer.Option(help="With --into: up to this time (2026-11-20T14:03:00Z) or position; all by default.")
    ] = "",
    into: Annotated[
        str, typer.Option(help="The URL of an empty PostgreSQL database; the read models are made there instead.")
    ] = "",
    data: Data = None,
) -> None:
    """Make projections anew from the first event, compare them with the live ones, and put them in their place.

    Everything may run meanwhile. What was interrupted, or stopped at an event, goes on when it is called again.
    """
    if until and not into:
        raise Invalid("--until", "needs --into, a database of its own: the live ones are always up to date")
    if into and check:
        raise Invalid("--check", "compares with the live ones, and not with --into")
    chosen = _chosen(names or [], all_=all_)
    with running(data) as backend:
        if into:
            works = _replays(backend, chosen, until, into, is_all=all_)
        else:
            works = {name: partial(_work(name), backend, check=check, anew=anew) for name in chosen}
            if all_ and backend.guacamole_engine is None:
                del works[GUACAMOLE]
        failures = [name for name, work in works.items() if not _told(name, work)]
    if failures:
        raise typer.Exit(1)


def _chosen(names: Sequence[str], *, all_: bool) -> Sequence[str]:
    known = [*_MODELS, GUACAMOLE]
    if all_ == bool(names):
        raise Invalid("names", f"give --all, or some of {', '.join(known)}")
    for name in names:
        if name not in known:
            raise NotFound("projection", name)
    return known if all_ else list(dict.fromkeys(names))


def _told(name: str, work: Callable[[], bool]) -> bool:
    """Do the work for one projection; one that fails does not hinder the others."""
    try:
        return work()
    except PoisonEvent as error:
        print(f"{name}: {error}; mend the cause and call this again: it goes on there")
    except CalipsoError as error:
        print(f"{name}: {error}")
    except OUTAGES as error:
        print(f"{name}: a database does not answer: {str(error).splitlines()[0]}; call this again: it goes on there")
    return False


def _work(name: str) -> Callable[..., bool]:
    return _rebuild_guacamole if name == GUACAMOLE else partial(_rebuild, name)


def _rebuild(name: str, backend: Backend, *, check: bool, anew: bool) -> bool:
    began = time.monotonic()
    made, head = Rebuild(_MODELS[name], backend.engine, backend.store), backend.store.head()
    with made.alone():
        first = made.begin(anew=anew)
        upto = made.live_position() if check else head
        with PositionProgress(f"rebuilding {name}", first=first, last=upto) as progress:
            # as far as the live one is, so that they can be compared
            made.catch_up(made.live_position(), progress.at)
            compared = made.compare()
            if not check:
                made.catch_up(upto, progress.at)
        seconds = time.monotonic() - began
        if compared is None:
            print(f"{name}: not compared, for the live one is behind what was rebuilt")
        else:
            verdict = "the same as" if compared.is_same else "DIFFERS from"
            where = f"at position {compared.position}, from position {first} in {seconds:.1f} s"
            print(f"{name}: {verdict} the live one {where}: {_of(compared.rebuilt)}")
            _tell_differences(compared.only_live, compared.only_rebuilt)
        if check:
            made.drop()
            return compared is not None and compared.is_same and _is_up_to_date(name, backend, compared.position, head)
        made.analyze()
        print(f"{name}: in place at position {made.swap()}")
    return True


def _is_up_to_date(name: str, backend: Backend, position: int, head: int) -> bool:
    """Whether the live one has applied all that concerns it and was stored when this began; tells if not."""
    topics, log = _MODELS[name].topics, BoundedLog(backend.store, head)
    while (page := log.read(after=position, limit=BATCH, topics=topics, is_tolerant=True)).last > position:
        if page.events:
            missing = page.events[0].position
            print(f"{name}: the live one is BEHIND: position {missing} is not in it; see /health, or call this again")
            return False
        position = page.last
    return True


def _of(digests: Mapping[str, Digest]) -> str:
    return "; ".join(f"{name} {digest.rows:,} rows {digest.sha256[:16]}" for name, digest in digests.items())


def _tell_differences(only_live: Mapping[str, int], only_rebuilt: Mapping[str, int]) -> None:
    for name in sorted({*only_live, *only_rebuilt}):
        print(f"  {name}: {only_live.get(name, 0)} rows only live, {only_rebuilt.get(name, 0)} only rebuilt")


def _rebuild_guacamole(backend: Backend, *, check: bool, anew: bool) -> bool:
    del anew  # nothing is left of an interrupted run
    if backend.guacamole_engine is None:
        raise Invalid(GUACAMOLE, "this installation has none")
    head = backend.store.head()
    with PositionProgress("rebuilding guacamole", first=0, last=head) as progress:
        found = guacamole_rebuilding.rebuild(
            guacamole_of(backend),
            backend.guacamole_engine,
            backend.store,
            head=head,
            keep=not check,
            told=progress.at,
        )
    verdict = "the same as" if found.is_same else "DIFFERS from" if check else "mended, it differed from"
    print(f"{GUACAMOLE}: {verdict} its events at position {found.position}: {found.rows:,} rows {found.sha256[:16]}")
    _tell_differences(found.only_live, found.only_rebuilt)
    return found.is_same or not check


def _replays(
    backend: Backend, names: Sequence[str], until: str, into: str, *, is_all: bool
) -> Mapping[str, Callable[[], bool]]:
    if GUACAMOLE in names and not is_all:
        raise Invalid("--into", "Guacamole's tables are no read model; choose others")
    upto = _position(backend, until)
    return {name: partial(_replay, backend, _MODELS[name], upto, into) for name in names if name != GUACAMOLE}


def _position(backend: Backend, until: str) -> int:
    head = backend.store.head()
    if not until:
        return head
    if not until.isdecimal():
        return backend.store.position_at(parse_moment(until, "--until").astimezone(UTC))
    if int(until) > head:
        raise Invalid("--until", f"the last event is at position {head}")
    return int(until)


def _replay(backend: Backend, model: ReadModel, upto: int, into: str) -> bool:
    with closing(Database(into)) as database:
        engine = engine_of(database)
        try:
            first = rebuilding.prepare_elsewhere(model, engine)
            if first > upto:
                raise Conflict("--into", f"{model.name} is there already, up to position {first}, beyond {upto}")
            with PositionProgress(f"replaying {model.name}", first=first, last=upto) as progress:
                rebuilding.replay(model, engine, backend.store, upto, progress.at)
            print(f"{model.name}: up to position {upto}: {_of(rebuilding.digests(model, engine))}")
        finally:
            engine.dispose()
    return True
