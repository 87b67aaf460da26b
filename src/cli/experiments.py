"""Experiments."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import typer

from calipso.backend import Backend
from calipso.cli.common import Data, dispatch, parse_number, running
from calipso.cli.import_lines import Kind
from calipso.cli.importing import FileArgument, StrictOption, import_file
from calipso.cli.lazy import Lazy, lazily
from calipso.commands.experiment import AddExperiment, ChangeExperiment, RemoveExperiment
from calipso.commands.handling import EXPERIMENT
from calipso.errors import NotFound
from calipso.events.experiment import ExperimentDetails

COMMANDS = {
    "synchronize": Lazy(
        "calipso.cli.synchronizing:synchronize",
        "Take over all experiments of a user from the provider, and end the memberships that it does not give "
        "any more.",
        epilog="Example: `calipso experiments synchronize --all`",
    ),
}

app = typer.Typer(cls=lazily(COMMANDS), help="Add, update and remove experiments.", no_args_is_help=True)

PublicNumber = Annotated[str, typer.Option("--public-number", help="The experiment's public number (proposal id).")]
Uid = Annotated[int | None, typer.Option(help="Numeric account that owns the experiment's data.")]
Gid = Annotated[int | None, typer.Option(help="Numeric group that owns the experiment's data.")]


@app.command(
    epilog='Example: `calipso experiments add --public-number P1 --title Tin --description "Tin at 4 K" '
    "--beamline-code BL01 --uid 5001 --gid 5001`"
)
def add(
    public_number: PublicNumber,
    title: Annotated[str, typer.Option(help="What it is called.")],
    description: Annotated[str, typer.Option(help="What it is about.")],
    beamline_code: Annotated[str, typer.Option(help="Its instrument.")],
    uid: Uid = None,
    gid: Gid = None,
    data: Data = None,
) -> None:
    """Add an experiment."""
    details = ExperimentDetails(title=title, description=description, beam_line=beamline_code, uid=uid, gid=gid)
    with running(data) as backend:
        dispatch(backend, _addition(backend, public_number, details))
    print(f'Successfully added experiment "{public_number}"')


@app.command(
    "import",
    epilog="Example: `calipso experiments import experiments.csv`, of a file with the columns `public_number`, "
    "`title`, `description`, `beamline_code` and, where they are known, `uid` and `gid`",
)
def import_(file: FileArgument, strict: StrictOption = False, data: Data = None) -> None:
    """Add an experiment for each line of a CSV file."""
    with running(data) as backend:
        import_file(backend, _LINES, file, strict=strict)


@app.command(epilog="Example: `calipso experiments update --public-number P1 --title Lead`")
def update(
    public_number: PublicNumber,
    title: Annotated[str, typer.Option("--title", "--set-title", help="A new title.")] = "",
    description: Annotated[str, typer.Option("--description", "--set-description", help="A new description.")] = "",
    beamline_code: Annotated[
        str, typer.Option("--beamline-code", "--set-beamline-code", help="Another instrument.")
    ] = "",
    uid: Uid = None,
    gid: Gid = None,
    data: Data = None,
) -> None:
    """Change what is given of an experiment, and nothing else."""
    texts = {"title": title, "description": description, "beam_line": beamline_code}
    changes: dict[str, Any] = {field: text for field, text in texts.items() if text}
    changes |= {field: number for field, number in (("uid", uid), ("gid", gid)) if number is not None}
    with running(data) as backend:
        experiment_id = backend.installation.naming.experiment(public_number)
        known = backend.dispatcher.state(EXPERIMENT, experiment_id)
        if known is None:
            raise NotFound("experiment", public_number)
        details = replace(known.details, **changes)
        dispatch(backend, ChangeExperiment(experiment_id=experiment_id, proposal_id=public_number, details=details))
    print(f'Successfully updated experiment "{public_number}"')


@app.command(epilog="Example: `calipso experiments remove --public-number P1`")
def remove(public_number: PublicNumber, data: Data = None) -> None:
    """Remove an experiment with its sessions and memberships; what runs is not touched."""
    with running(data) as backend:
        experiment_id = backend.installation.naming.experiment(public_number)
        dispatch(backend, RemoveExperiment(experiment_id=experiment_id, proposal_id=public_number))
    print(f'Successfully removed experiment "{public_number}"')


def _addition(backend: Backend, public_number: str, details: ExperimentDetails) -> AddExperiment:
    experiment_id = backend.installation.naming.experiment(public_number)
    return AddExperiment(experiment_id=experiment_id, proposal_id=public_number, details=details)


def _of_line(backend: Backend, values: Mapping[str, str]) -> AddExperiment:
    details = ExperimentDetails(
        title=values["title"],
        description=values["description"],
        beam_line=values["beamline_code"],
        uid=parse_number(values.get("uid", ""), "uid"),
        gid=parse_number(values.get("gid", ""), "gid"),
    )
    return _addition(backend, values["public_number"], details)


def _known(backend: Backend, command: AddExperiment) -> ExperimentDetails | None:
    experiment = backend.dispatcher.state(EXPERIMENT, command.experiment_id)
    return experiment.details if experiment else None


_LINES: Kind[AddExperiment] = Kind(
    columns=("public_number", "title", "description", "beamline_code"),
    optional=("uid", "gid"),
    command=_of_line,
    key=lambda command: command.experiment_id,
    content=lambda command: command.details,
    known=_known,
)
