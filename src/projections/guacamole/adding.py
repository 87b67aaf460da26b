"""All rows of containers that Guacamole does not show yet, by one statement, on PostgreSQL.

A statement for each table would wait seven times for an answer, four of them to learn a number for the next.
"""

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Connection, text

from calipso.projections.guacamole.fold import OUR_ATTRIBUTE, Wanted

_ADD = text("""
WITH given AS (
    SELECT * FROM json_to_recordset(CAST(:given AS json)) AS given (
        container text, account text, password_hash bytea, password_salt bytea, password_date timestamptz,
        connection_name text, protocol text, proxy_hostname text, proxy_port integer, parameters json)
), entities AS (
    INSERT INTO guacamole_entity (name, type) SELECT account, 'USER' FROM given RETURNING entity_id, name
), users AS (
    INSERT INTO guacamole_user (entity_id, password_hash, password_salt, password_date)
    SELECT entity_id, password_hash, password_salt, password_date FROM given JOIN entities ON name = account
    RETURNING entity_id, user_id
), own AS (
    INSERT INTO guacamole_user_permission (entity_id, affected_user_id, permission)
    SELECT entity_id, user_id, 'READ' FROM users
), connections AS (
    INSERT INTO guacamole_connection (connection_name, protocol, proxy_hostname, proxy_port)
    SELECT connection_name, protocol, proxy_hostname, proxy_port FROM given
    RETURNING connection_id, connection_name
), shown AS (
    SELECT * FROM given JOIN entities ON name = account JOIN connections USING (connection_name)
), parameters AS (
    INSERT INTO guacamole_connection_parameter (connection_id, parameter_name, parameter_value)
    SELECT connection_id, key, value FROM shown, json_each_text(parameters)
), attributes AS (
    INSERT INTO guacamole_connection_attribute (connection_id, attribute_name, attribute_value)
    SELECT connection_id, :attribute, container FROM shown
), granted AS (
    INSERT INTO guacamole_connection_permission (entity_id, connection_id, permission)
    SELECT entity_id, connection_id, 'READ' FROM shown
)
SELECT account, entity_id, connection_id FROM shown
""")

Ids = Sequence[tuple[Wanted, int, int]]
"""What rows should be, with the numbers of their entity and their connection."""


def add(connection: Connection, wanted: Sequence[Wanted]) -> Ids:
    """Insert the rows of containers that have none; gives the numbers that the database gave them.

    Raises:
        IntegrityError: there is an account of one of these names.
    """
    parameters = {"given": msgspec.json.encode([_given(one) for one in wanted]).decode(), "attribute": OUR_ATTRIBUTE}
    found = {row.account: row for row in connection.execute(_ADD, parameters)}
    return [(one, found[one.account].entity_id, found[one.account].connection_id) for one in wanted]


def _given(one: Wanted) -> Mapping[str, object]:
    return {
        "container": str(one.kept.container_id),
        "account": one.account,
        "password_hash": f"\\x{one.password_hash.hex()}",
        "password_salt": f"\\x{one.password_salt.hex()}",
        "password_date": one.password_date,
        **one.connection,
        "parameters": one.parameters,
    }
