"""Prepares the databases."""

from calipso import installation
from calipso.accounts import ACCOUNTS_DDL
from calipso.backend import Backend
from calipso.bootstrap.guacamole import guacamole_of
from calipso.installation import INSTALLATION_DDL
from calipso.login_tokens import LOGIN_TOKENS_DDL
from calipso.parts import PARTS_DDL
from calipso.projections.registry import read_models
from calipso.proof.chain import CHAIN_DDL
from calipso.snapshots import SNAPSHOTS_DDL
from calipso.vault import SUBJECT_KEYS_DDL


def migrate(backend: Backend, *, make_guacamole: bool) -> None:
    """Prepare the databases; harmless to repeat, also by several processes at once.

    Args:
        backend: whose databases.
        make_guacamole: whether Guacamole's own tables are made too (only in a database of ours).
    """
    with backend.database.connect() as connection:
        connection.execute("SELECT pg_advisory_lock(hashtext('calipso migrate'))")
        try:
            backend.store.migrate()
            tables = SUBJECT_KEYS_DDL, PARTS_DDL, ACCOUNTS_DDL, LOGIN_TOKENS_DDL, INSTALLATION_DDL, CHAIN_DDL
            for ddl in (*tables, SNAPSHOTS_DDL):
                connection.execute(ddl.encode())
            installation.make(backend.database, backend.keys)
            for read_model in read_models():
                with backend.engine.begin() as transaction:
                    read_model.prepare(transaction)
            _prepare_guacamole(backend, make=make_guacamole)
        finally:
            connection.execute("SELECT pg_advisory_unlock(hashtext('calipso migrate'))")


def _prepare_guacamole(backend: Backend, *, make: bool) -> None:
    if backend.guacamole_engine is None:
        return
    with backend.guacamole_engine.begin() as transaction:
        if make:
            guacamole_of(backend).create_schema(transaction)
        guacamole_of(backend).prepare(transaction)
