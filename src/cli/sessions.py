"""Sessions of experiments."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer

from calipso.backend import Backend
from calipso.cli.common import Data, dispatch, running
from calipso.cli.experiments import PublicNumber
from calipso.cli.import_lines import Kind
from calipso.cli.importing import FileArgument, StrictOption, import_file
from calipso.commands.experiment import AddSession
from calipso.commands.handling import EXPERIMENT
from calipso.data_set_path import parse_data_set_path
from calipso.errors import Invalid
from calipso.events.experiment import SessionDetails

app = typer.Typer(help="Add sessions to experiments.", no_args_is_help=True)

_COLUMNS = ("public_number", "session_number", "start_date", "end_date", "subject", "body", "data_set_path")


@app.command(
    epilog="Example: `calipso sessions add --public-number P1 --session-number 7 --start-date 2026-11-20 "
    "--end-date 2026-11-23 --subject Tin --body Cold "
    '--data-set-path \'{"/tmp/data/p1": {"bind": "/p1", "mode": "ro"}}\'`'
)
def add(
    public_number: PublicNumber,
    session_number: Annotated[str, typer.Option(help="The session's number within the experiment.")],
    start_date: Annotated[str, typer.Option(help="When it begins, such as 2026-11-20T08:00:00Z; UTC without a zone.")],
    end_date: Annotated[str, typer.Option(help="When it ends.")],
    subject: Annotated[str, typer.Option(help="What it is called.")],
    body: Annotated[str, typer.Option(help="What it is about.")],
    data_set_path: Annotated[str, typer.Option(help="Its volumes, as JSON.")],
    data: Data = None,
) -> None:
    """Add a session to an experiment."""
    values = {
        "public_number": public_number,
        "session_number": session_number,
        "start_date": start_date,
        "end_date": end_date,
        "subject": subject,
        "body": body,
        "data_set_path": data_set_path,
    }
    with running(data) as backend:
        dispatch(backend, _addition(backend, values))
    print(f'Successfully added session to experiment "{public_number}"')


@app.command(
    "import",
    epilog="Example: `calipso sessions import sessions.csv`, of a file with the columns "
    + ", ".join(f"`{name}`" for name in _COLUMNS),
)
def import_(file: FileArgument, strict: StrictOption = False, data: Data = None) -> None:
    """Add a session for each line of a CSV file, to experiments that are there."""
    with running(data) as backend:
        import_file(backend, _LINES, file, strict=strict)


def parse_time(text: str, field: str) -> datetime | None:
    """A moment in UTC of an ISO 8601 text, None of an empty one.

    Raises:
        Invalid: it is not such a text.
    """
    if not text.strip():
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise Invalid(field, f"{text[:40]!r} is not a time such as 2026-11-20T08:00:00Z") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _addition(backend: Backend, values: Mapping[str, str]) -> AddSession:
    session = SessionDetails(
        session_number=values["session_number"],
        start=parse_time(values["start_date"], "start_date"),
        end=parse_time(values["end_date"], "end_date"),
        subject=values["subject"],
        body=values["body"],
        volumes=parse_data_set_path(values["data_set_path"]),
    )
    proposal_id = values["public_number"]
    experiment_id = backend.installation.naming.experiment(proposal_id)
    return AddSession(experiment_id=experiment_id, proposal_id=proposal_id, session=session)


def _known(backend: Backend, command: AddSession) -> SessionDetails | None:
    experiment = backend.dispatcher.state(EXPERIMENT, command.experiment_id)
    return experiment.sessions.get(command.session.session_number) if experiment else None


_LINES: Kind[AddSession] = Kind(
    columns=_COLUMNS,
    command=_addition,
    key=lambda command: (command.experiment_id, command.session.session_number),
    content=lambda command: command.session,
    known=_known,
)
