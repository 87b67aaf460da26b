"""Targets: what is known of them, and whether they take new containers."""

from typing import Annotated

import typer

from calipso.api.described_targets import DescribedTarget, describe_targets
from calipso.bootstrap.targets import target_named
from calipso.cli.common import Data, dispatch, running
from calipso.cli.lazy import Lazy, lazily
from calipso.cli.tables import AsJson, show
from calipso.commands.target import CordonTarget, OpenTarget

COMMANDS = {
    "unknown": Lazy(
        "calipso.cli.unknown:unknown",
        "List the containers of this installation that its record does not know: after a restore, those begun since.",
        epilog="Examples: `calipso targets unknown docker-a`, then `calipso targets unknown docker-a --remove`",
    ),
}

app = typer.Typer(cls=lazily(COMMANDS), help="Look at targets, and take them out of service.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The name of a target of the settings, such as `docker`.")]
_COLUMNS = ("name", "runtime", "cordoned", "held", "capacity", "ok", "told")


@app.command("list", epilog="Examples: `calipso targets list`, `calipso targets list --json`")
def list_(as_json: AsJson = False, data: Data = None) -> None:
    """Tell of each target: whether it is cordoned, what it holds, and what its provisioners told last."""
    with running(data) as backend:
        show(_COLUMNS, [_row(found) for found in describe_targets(backend)], as_json=as_json)


@app.command(epilog="Example: `calipso targets cordon docker-a --reason 'its disk is replaced on Monday'`")
def cordon(
    name: Name,
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    data: Data = None,
) -> None:
    """Let a target take no new containers; what runs there runs on."""
    with running(data) as backend:
        target = target_named(backend.settings, name)
        target_id = backend.installation.naming.target(target.name)
        dispatch(backend, CordonTarget(target_id=target_id, name=target.name, reason=reason))
    print(f"target {name} takes no new containers")


@app.command("open", epilog="Example: `calipso targets open docker-a`")
def open_(name: Name, data: Data = None) -> None:
    """Let a target take new containers again."""
    with running(data) as backend:
        target = target_named(backend.settings, name)
        dispatch(backend, OpenTarget(target_id=backend.installation.naming.target(target.name), name=target.name))
    print(f"target {name} takes new containers")


def _row(found: DescribedTarget) -> dict[str, object]:
    return {
        "name": found.name,
        "runtime": found.runtime.value,
        "cordoned": found.cordoned,
        "held": found.held,
        "capacity": found.capacity,
        "ok": found.ok,
        "told": f"{found.at:%Y-%m-%dT%H:%M:%SZ} {found.detail}" if found.at else None,
    }
