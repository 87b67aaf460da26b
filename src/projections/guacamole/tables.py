"""Apache Guacamole's tables, 1.0.0 to 1.6.x, as its JDBC extensions read them; and the two that we keep beside them.

The layout is Guacamole's, on PostgreSQL and on MySQL or MariaDB. Most tables are only declared so that a database of
ours can serve Guacamole; the projection writes the tables of `WRITTEN`, and nothing else.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Date,
    DateTime,
    Enum,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Time,
    UniqueConstraint,
    false,
)
from sqlalchemy.dialects import mysql

from calipso.projections.protocol import position_table

guacamole = MetaData()
ours = MetaData()

_BYTES = LargeBinary(32).with_variant(mysql.BINARY(32), "mysql", "mariadb")
_INSTANT = DateTime(timezone=True)
_ENTITY = Enum("USER", "USER_GROUP", name="guacamole_entity_type")
_PERMISSION = Enum("READ", "UPDATE", "DELETE", "ADMINISTER", name="guacamole_object_permission_type")
_SYSTEM = Enum(
    "CREATE_CONNECTION",
    "CREATE_CONNECTION_GROUP",
    "CREATE_SHARING_PROFILE",
    "CREATE_USER",
    "CREATE_USER_GROUP",
    "AUDIT",
    "ADMINISTER",
    name="guacamole_system_permission_type",
)
_GROUP = Enum("ORGANIZATIONAL", "BALANCING", name="guacamole_connection_group_type")
_ENCRYPTION = Enum("NONE", "SSL", name="guacamole_proxy_encryption_method")


def _key(name: str) -> Column[int]:
    return Column(name, Integer, primary_key=True)


def _reference(name: str, target: str, **options: Any) -> Column[int]:  # noqa: ANN401 - options of any column
    ondelete = options.pop("ondelete", "CASCADE")
    return Column(name, Integer, ForeignKey(target, ondelete=ondelete), **options)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=false())


entity = Table(
    "guacamole_entity",
    guacamole,
    _key("entity_id"),
    Column("name", String(128), nullable=False),
    Column("type", _ENTITY, nullable=False),
    UniqueConstraint("type", "name", name="guacamole_entity_name_scope"),
)
user = Table(
    "guacamole_user",
    guacamole,
    _key("user_id"),
    _reference("entity_id", "guacamole_entity.entity_id", nullable=False, unique=True),
    Column("password_hash", _BYTES, nullable=False),
    Column("password_salt", _BYTES),
    Column("password_date", _INSTANT, nullable=False),
    _flag("disabled"),
    _flag("expired"),
    Column("access_window_start", Time),
    Column("access_window_end", Time),
    Column("valid_from", Date),
    Column("valid_until", Date),
    Column("timezone", String(64)),
    Column("full_name", String(256)),
    Column("email_address", String(256)),
    Column("organization", String(256)),
    Column("organizational_role", String(256)),
)
user_group = Table(
    "guacamole_user_group",
    guacamole,
    _key("user_group_id"),
    _reference("entity_id", "guacamole_entity.entity_id", nullable=False, unique=True),
    _flag("disabled"),
)
Table(
    "guacamole_user_group_member",
    guacamole,
    _reference("user_group_id", "guacamole_user_group.user_group_id", primary_key=True),
    _reference("member_entity_id", "guacamole_entity.entity_id", primary_key=True, index=True),
)
connection_group = Table(
    "guacamole_connection_group",
    guacamole,
    _key("connection_group_id"),
    _reference("parent_id", "guacamole_connection_group.connection_group_id", index=True),
    Column("connection_group_name", String(128), nullable=False),
    Column("type", _GROUP, nullable=False, server_default="ORGANIZATIONAL"),
    Column("max_connections", Integer),
    Column("max_connections_per_user", Integer),
    _flag("enable_session_affinity"),
    UniqueConstraint("connection_group_name", "parent_id", name="connection_group_name_parent"),
)
connection = Table(
    "guacamole_connection",
    guacamole,
    _key("connection_id"),
    Column("connection_name", String(128), nullable=False),
    _reference("parent_id", "guacamole_connection_group.connection_group_id", index=True),
    Column("protocol", String(32), nullable=False),
    Column("max_connections", Integer),
    Column("max_connections_per_user", Integer),
    Column("connection_weight", Integer),
    _flag("failover_only"),
    Column("proxy_port", Integer),
    Column("proxy_hostname", String(512)),
    Column("proxy_encryption_method", _ENCRYPTION),
    UniqueConstraint("connection_name", "parent_id", name="connection_name_parent"),
)
sharing_profile = Table(
    "guacamole_sharing_profile",
    guacamole,
    _key("sharing_profile_id"),
    Column("sharing_profile_name", String(128), nullable=False),
    _reference("primary_connection_id", "guacamole_connection.connection_id", nullable=False, index=True),
    UniqueConstraint("sharing_profile_name", "primary_connection_id", name="sharing_profile_name_primary"),
)


def _named_values(owner: str, reference: str, kind: str) -> Table:
    """A table of named texts of an object: its parameters or its attributes."""
    return Table(
        f"guacamole_{owner}_{kind}",
        guacamole,
        _reference(reference, f"guacamole_{owner}.{reference}", primary_key=True),
        Column(f"{kind}_name", String(128), primary_key=True),
        Column(f"{kind}_value", String(4096), nullable=False),
    )


connection_parameter = _named_values("connection", "connection_id", "parameter")
connection_attribute = _named_values("connection", "connection_id", "attribute")
_named_values("connection_group", "connection_group_id", "attribute")
_named_values("sharing_profile", "sharing_profile_id", "parameter")
_named_values("sharing_profile", "sharing_profile_id", "attribute")
_named_values("user", "user_id", "attribute")
_named_values("user_group", "user_group_id", "attribute")


def _permission(name: str, column: str, target: str) -> Table:
    """A table of what entities may do with the objects of one kind."""
    return Table(
        f"guacamole_{name}_permission",
        guacamole,
        _reference("entity_id", "guacamole_entity.entity_id", primary_key=True),
        _reference(column, target, primary_key=True, index=True),
        Column("permission", _PERMISSION, primary_key=True),
    )


connection_permission = _permission("connection", "connection_id", "guacamole_connection.connection_id")
user_permission = _permission("user", "affected_user_id", "guacamole_user.user_id")
_permission("connection_group", "connection_group_id", "guacamole_connection_group.connection_group_id")
_permission("sharing_profile", "sharing_profile_id", "guacamole_sharing_profile.sharing_profile_id")
_permission("user_group", "affected_user_group_id", "guacamole_user_group.user_group_id")
Table(
    "guacamole_system_permission",
    guacamole,
    _reference("entity_id", "guacamole_entity.entity_id", primary_key=True),
    Column("permission", _SYSTEM, primary_key=True),
)

connection_history = Table(
    "guacamole_connection_history",
    guacamole,
    _key("history_id"),
    _reference("user_id", "guacamole_user.user_id", ondelete="SET NULL", index=True),
    Column("username", String(128), nullable=False),
    Column("remote_host", String(256)),
    _reference("connection_id", "guacamole_connection.connection_id", ondelete="SET NULL", index=True),
    Column("connection_name", String(128), nullable=False),
    _reference("sharing_profile_id", "guacamole_sharing_profile.sharing_profile_id", ondelete="SET NULL", index=True),
    Column("sharing_profile_name", String(128)),
    Column("start_date", _INSTANT, nullable=False, index=True),
    Column("end_date", _INSTANT, index=True),
    Index("guacamole_connection_history_connection_id_start_date", "connection_id", "start_date"),
)
user_history = Table(
    "guacamole_user_history",
    guacamole,
    _key("history_id"),
    _reference("user_id", "guacamole_user.user_id", ondelete="SET NULL", index=True),
    Column("username", String(128), nullable=False),
    Column("remote_host", String(256)),
    Column("start_date", _INSTANT, nullable=False, index=True),
    Column("end_date", _INSTANT, index=True),
    Index("guacamole_user_history_user_id_start_date", "user_id", "start_date"),
)
Table(
    "guacamole_user_password_history",
    guacamole,
    _key("password_history_id"),
    _reference("user_id", "guacamole_user.user_id", nullable=False, index=True),
    Column("password_hash", _BYTES, nullable=False),
    Column("password_salt", _BYTES),
    Column("password_date", _INSTANT, nullable=False),
)

WRITTEN = (
    entity,
    user,
    user_permission,
    connection,
    connection_parameter,
    connection_attribute,
    connection_permission,
)

# what is kept of each container from its request until its end; the ids are set once its rows are there
kept = Table(
    "calipso_connection",
    ours,
    Column("container_id", String(36), primary_key=True),
    Column("protocol", String(32), nullable=False),
    Column("key_number", Integer, nullable=False),
    Column("target", String(128), nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("connection_id", Integer),
    Column("entity_id", Integer),
)
position = position_table(ours, None, "calipso_position")
