"""Whether a database has Guacamole's tables in a layout that we can write, and the making of tables there."""

from sqlalchemy import Connection, Dialect, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from calipso.errors import Invalid
from calipso.projections.guacamole import tables

_DATABASE = "guacamole_database"
_POSTGRESQL_DENIAL = "42501"
_MYSQL_DENIALS = frozenset({1044, 1142})  # on a database, on a table


def check(connection: Connection) -> None:
    """Look whether Guacamole's tables are there.

    Raises:
        Invalid: they are not, or are those of a version before 1.0.0, or lack a column.
    """
    inspector = inspect(connection)
    present = set(inspector.get_table_names())
    if tables.entity.name not in present:
        raise Invalid(_DATABASE, _absence(is_older=tables.user.name in present))
    for table in tables.WRITTEN:
        columns = {column["name"] for column in inspector.get_columns(table.name)} if table.name in present else set()
        if missing := sorted({column.name for column in table.columns} - columns):
            raise Invalid(
                _DATABASE,
                f"the table {table.name} lacks {', '.join(missing)}: this is not the schema of Guacamole 1.0.0 to 1.6; "
                "complete it with the scripts of its release, then start again",
            )


def make_ours(connection: Connection) -> None:
    """Make our own two tables where they are missing.

    Raises:
        Invalid: the account may not make tables.
    """
    try:
        tables.ours.create_all(connection)
    except DBAPIError as error:
        if not _is_denial(error):
            raise
        raise Invalid(
            _DATABASE,
            "our tables are missing and the account may not make them; its administrator must run what "
            "`calipso migrate --guacamole --print-sql` prints",
        ) from error


def ddl_of_ours(dialect: Dialect) -> str:
    """The statements that make our own tables, for a database whose administrator runs them."""
    statements = (CreateTable(table, if_not_exists=True) for table in tables.ours.sorted_tables)
    return "".join(f"{str(made.compile(dialect=dialect)).strip()};\n\n" for made in statements)


def _absence(*, is_older: bool) -> str:
    if is_older:
        return "Guacamole's schema is older than 1.0.0; upgrade it with the scripts of its release, then start again"
    return "there are no Guacamole tables; make them with the schema scripts of its release"


def _is_denial(error: DBAPIError) -> bool:
    # psycopg gives the state, PyMySQL the number first; they have no class of it in common
    number = error.orig.args[:1] if error.orig else ()
    return not _MYSQL_DENIALS.isdisjoint(number) or getattr(error.orig, "sqlstate", None) == _POSTGRESQL_DENIAL
