"""Sessions of experiments."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from calipso.cli.common import Data, dispatch, running
from calipso.cli.experiments import PublicNumber
from calipso.commands.experiment import AddSession
from calipso.data_set_path import parse_data_set_path
from calipso.errors import Invalid
from calipso.events.experiment import SessionDetails

app = typer.Typer(help="Add sessions to experiments.", no_args_is_help=True)


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
    session = SessionDetails(
        session_number=session_number,
        start=parse_time(start_date, "start_date"),
        end=parse_time(end_date, "end_date"),
        subject=subject,
        body=body,
        volumes=parse_data_set_path(data_set_path),
    )
    with running(data) as backend:
        experiment_id = backend.installation.naming.experiment(public_number)
        dispatch(backend, AddSession(experiment_id=experiment_id, proposal_id=public_number, session=session))
    print(f'Successfully added session to experiment "{public_number}"')


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
