"""Quotas of users."""

from typing import Annotated

import typer

from calipso import sizes
from calipso.cli.common import Data, dispatch, running, user_id_of
from calipso.commands.quota import AssignQuota
from calipso.events.values import Limits, Resources

app = typer.Typer(help="Give users limits of their own.", no_args_is_help=True)


@app.callback()
def quotas() -> None:
    """Give users limits of their own."""


@app.command("set", epilog="Example: `calipso quotas set ada --max-simultaneous 5 --cpu 10 --memory 30G --hdd 80G`")
def set_(
    name: Annotated[str, typer.Argument(help="The user's name.")],
    max_simultaneous: Annotated[int, typer.Option(min=0, help="Active containers.")],
    cpu: Annotated[str, typer.Option(help="Processors of all active containers, such as 10 or 2.5.")],
    memory: Annotated[str, typer.Option(help="Memory of all active containers, such as 30G.")],
    hdd: Annotated[str, typer.Option(help="Disk of all active containers, such as 80G.")],
    data: Data = None,
) -> None:
    """Set a user's limits; lowering them stops nothing that runs."""
    limits = Limits(
        containers=max_simultaneous,
        resources=Resources(
            millicores=sizes.parse_cpus(cpu, "cpu"),
            memory=sizes.parse_size(memory, "memory"),
            disk=sizes.parse_size(hdd, "hdd"),
        ),
    )
    with running(data) as backend:
        dispatch(backend, AssignQuota(user_id=user_id_of(backend, name), limits=limits))
    print(f"Successfully set the quota of {name}")
