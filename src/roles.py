"""What each process may do in the store's database: group roles with the least rights, as statements of SQL.

A login of the database is made a member of the role of its process. Events are appended through a function of the
server that runs as their owner: no process may write, change or delete the table itself.
"""

from collections.abc import Iterator, Mapping

from calipso.projections.registry import read_models

ROLES = {
    "calipso_api": "calipso api",
    "calipso_projector": "calipso project",
    "calipso_relay": "calipso relay",
    "calipso_provisioner": "calipso provision",
    "calipso_operator": "the command line",
}
_WRITERS = frozenset({"calipso_api", "calipso_provisioner", "calipso_operator"})
_ORDINARY: Mapping[str, Mapping[str, str]] = {
    "calipso_api": {
        "parts": "SELECT",
        "event_chain": "SELECT",
        "passwords": "SELECT",
        # a lock on a login's row, while its tokens are put beside it, needs the right to change one column
        "logins": "SELECT, INSERT, DELETE, UPDATE (expires)",
        "login_tokens": "SELECT, INSERT",
        "sign_in_attempts": "SELECT, INSERT, DELETE",
        "sign_in_flows": "SELECT, INSERT, DELETE",
        "subject_keys": "SELECT, INSERT",
        "snapshots": "SELECT, INSERT, UPDATE",
    },
    "calipso_projector": {
        "parts": "SELECT, INSERT, UPDATE",
        "event_chain": "SELECT, INSERT",
        "subject_keys": "SELECT",
    },
    "calipso_relay": {"parts": "SELECT, INSERT, UPDATE"},
    "calipso_provisioner": {
        "parts": "SELECT, INSERT, UPDATE",
        "subject_keys": "SELECT, INSERT",
        "snapshots": "SELECT, INSERT, UPDATE",
    },
    "calipso_operator": {
        "parts": "SELECT, INSERT, UPDATE, DELETE",
        "event_chain": "SELECT, INSERT",
        "passwords": "SELECT, INSERT, UPDATE, DELETE",
        "logins": "SELECT, DELETE",
        "login_tokens": "SELECT, DELETE",
        "sign_in_attempts": "SELECT, DELETE",
        "sign_in_flows": "SELECT, DELETE",
        "subject_keys": "SELECT, INSERT, UPDATE",
        "snapshots": "SELECT, INSERT, UPDATE",
        "installation": "UPDATE (key_number, naming_key)",
    },
}


def statements() -> Iterator[str]:
    """The statements that make the roles and give them their rights.

    They are run by the owner of the tables, who may make roles, and again after each `calipso migrate`.
    """
    yield from _roles()
    for role in ROLES:
        yield f"GRANT USAGE ON SCHEMA public TO {role}"
        yield f"GRANT SELECT ON stored_events, installation TO {role}"
        for table, rights in _ORDINARY[role].items():
            yield f"GRANT {rights} ON {table} TO {role}"
    for role in sorted(_WRITERS):
        yield f"GRANT EXECUTE ON ROUTINE calipso_append TO {role}"
    # the past is shown from temporary tables
    lookers = "calipso_api, calipso_operator"
    grant = f"format('GRANT TEMPORARY ON DATABASE %I TO {lookers}', current_database())"
    yield f"DO $$ BEGIN EXECUTE {grant}; END $$"
    for model in read_models():
        yield from _read_model(f"rm_{model.name}")


def _roles() -> Iterator[str]:
    for role in ROLES:
        yield f"DO $$ BEGIN CREATE ROLE {role} NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"


def _read_model(schema: str) -> Iterator[str]:
    """The projector writes it, those who are asked read it; the relay has no business there."""
    yield f"GRANT USAGE ON SCHEMA {schema} TO calipso_projector, {', '.join(sorted(_WRITERS))}"
    yield f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO calipso_projector"
    yield f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {', '.join(sorted(_WRITERS))}"
