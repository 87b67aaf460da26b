"""Members of experiments."""

from typing import Annotated
from uuid import uuid4

import typer

from calipso.backend import Backend
from calipso.cli.common import Data, dispatch, running, user_id_of
from calipso.cli.experiments import PublicNumber
from calipso.cli.import_lines import Kind
from calipso.cli.importing import FileArgument, StrictOption, import_file
from calipso.commands.experiment import AddMember, RemoveMember
from calipso.commands.handling import EXPERIMENT

app = typer.Typer(help="Let users reach the data of experiments.", no_args_is_help=True)

Userlogin = Annotated[str, typer.Option("--userlogin", help="The user's name.")]


@app.command(epilog="Example: `calipso members add --userlogin ada --public-number P1`")
def add(userlogin: Userlogin, public_number: PublicNumber, data: Data = None) -> None:
    """Make an existing user a member of an experiment."""
    with running(data) as backend:
        dispatch(backend, _addition(backend, public_number, userlogin))
    print(f"Successfully added experiment {public_number} to user {userlogin}")


@app.command(
    "import",
    epilog="Example: `calipso members import members.csv`, of a file with the columns `public_number`, `userlogin`",
)
def import_(file: FileArgument, strict: StrictOption = False, data: Data = None) -> None:
    """Make a user a member of an experiment for each line of a CSV file; both must be there."""
    with running(data) as backend:
        import_file(backend, _LINES, file, strict=strict)


@app.command(epilog="Example: `calipso members remove --userlogin ada --public-number P1`")
def remove(userlogin: Userlogin, public_number: PublicNumber, data: Data = None) -> None:
    """End a user's membership of an experiment."""
    with running(data) as backend:
        command = RemoveMember(
            experiment_id=backend.installation.naming.experiment(public_number),
            proposal_id=public_number,
            user_id=user_id_of(backend, userlogin),
        )
        dispatch(backend, command)
    print(f"Successfully removed user {userlogin} from experiment:{public_number}")


def _addition(backend: Backend, public_number: str, userlogin: str) -> AddMember:
    return AddMember(
        experiment_id=backend.installation.naming.experiment(public_number),
        proposal_id=public_number,
        user_id=user_id_of(backend, userlogin),
        membership_id=uuid4(),
    )


def _known(backend: Backend, command: AddMember) -> bool:
    experiment = backend.dispatcher.state(EXPERIMENT, command.experiment_id)
    return experiment is not None and command.user_id in experiment.members


_LINES: Kind[AddMember] = Kind(
    columns=("public_number", "userlogin"),
    command=lambda backend, values: _addition(backend, values["public_number"], values["userlogin"]),
    key=lambda command: (command.experiment_id, command.user_id),
    content=lambda _: True,
    known=_known,
)
