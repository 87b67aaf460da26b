"""Members of experiments."""

from typing import Annotated
from uuid import uuid4

import typer

from calipso.cli.common import Data, dispatch, running, user_id_of
from calipso.cli.experiments import PublicNumber
from calipso.commands.experiment import AddMember, RemoveMember

app = typer.Typer(help="Let users reach the data of experiments.", no_args_is_help=True)

Userlogin = Annotated[str, typer.Option("--userlogin", help="The user's name.")]


@app.command(epilog="Example: `calipso members add --userlogin ada --public-number P1`")
def add(userlogin: Userlogin, public_number: PublicNumber, data: Data = None) -> None:
    """Make an existing user a member of an experiment."""
    with running(data) as backend:
        command = AddMember(
            experiment_id=backend.installation.naming.experiment(public_number),
            proposal_id=public_number,
            user_id=user_id_of(backend, userlogin),
            membership_id=uuid4(),
        )
        dispatch(backend, command)
    print(f"Successfully added experiment {public_number} to user {userlogin}")


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
