"""How the databases are prepared."""

from typing import Annotated

import typer

from calipso import roles
from calipso.bootstrap import databases
from calipso.bootstrap.guacamole import guacamole_of
from calipso.cli.common import Data, running


def migrate(
    guacamole: Annotated[bool, typer.Option("--guacamole", help="Only what Guacamole's database needs.")] = False,
    print_sql: Annotated[
        bool, typer.Option("--print-sql", help="With --guacamole: print the statements for its administrator.")
    ] = False,
    print_roles: Annotated[
        bool,
        typer.Option("--print-roles", help="Print the statements that give each process a role with the least rights."),
    ] = False,
    data: Data = None,
) -> None:
    """Prepare the databases; harmless to repeat."""
    if print_roles:
        print("".join(f"{statement};\n" for statement in roles.statements()), end="")
        return
    with running(data) as backend:
        if guacamole and print_sql:
            engine = backend.guacamole_engine
            if engine is None:
                raise typer.BadParameter("CALIPSO_GUACAMOLE_DATABASE_URL names no database")
            print(guacamole_of(backend).ddl(engine.dialect))
            return
        databases.migrate(backend, make_guacamole=False)
    print("the databases are prepared")
