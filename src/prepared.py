"""Whether the store's database has all that this version of the program looks for."""

from calipso.database import Database, unprepared
from calipso.errors import Unavailable
from calipso.installation import NOT_PREPARED
from calipso.projections.registry import read_models

_COLUMNS = """
SELECT n.nspname || '.' || c.relname || '.' || a.attname AS name FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname = ANY(%s)
"""


def require(database: Database) -> None:
    """Refuse a database that an older version of the program prepared.

    One that does not answer is none of ours: each process waits for it in its own way.

    Raises:
        Unavailable: nothing was ever prepared, or a table or a column of a read model is missing.
    """
    tables = [table for model in read_models() for table in model.metadata.tables.values()]
    needed = {f"{table.schema}.{table.name}.{column.name}" for table in tables for column in table.columns}
    try:
        with database.connect() as connection:
            rows = connection.execute(_COLUMNS, ([str(table.schema) for table in tables],)).fetchall()
    except Unavailable:
        return
    if not rows:
        raise Unavailable("the database", NOT_PREPARED)
    missing = sorted(needed - {row["name"] for row in rows})
    if missing:
        raise unprepared(f"{missing[0]} is missing")
