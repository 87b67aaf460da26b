"""The container as clients see it."""

from calipso import credentials, sizes
from calipso.api.context import Caller
from calipso.api.objects import ContainerObject, Status
from calipso.api.wire import format_time
from calipso.credentials import MasterKeys
from calipso.events.container import State
from calipso.events.values import Protocol
from calipso.projections.containers import ContainerRow

_STATUS: dict[State, Status] = {
    State.REQUESTED: "busy",
    State.STARTING: "busy",
    State.RUNNING: "created",
    State.STOPPING: "busy",
    State.STOPPED: "stopped",
    State.REMOVED: "removed",
    State.FAILED: "error",
    State.LOST: "error",
}
THROUGH_GUACAMOLE = {Protocol.VNC, Protocol.RDP, Protocol.SSH}


def container_object(row: ContainerRow, caller: Caller, keys: MasterKeys) -> ContainerObject:
    """The JSON object of a container; its credentials are filled for its owner only.

    Args:
        row: the read model's row.
        caller: who asks.
        keys: from which the credentials derive.
    """
    username, password = _credentials(row, caller, keys)
    return ContainerObject(
        id=row.id,
        calipso_user=row.user_wire_id,
        calipso_experiment=row.label,
        container_id=row.runtime_id or "not created yet",
        container_name=row.name,
        container_status=_STATUS[row.state],
        container_logs="...",
        guacamole_username=username,
        guacamole_password=password,
        creation_date=format_time(row.created),
        host_port=row.link or str(row.port or 0),
        public_name=row.image_name,
        container_info=row.info,
        image=row.image_wire_id,
        num_cpus=sizes.format_cpus(row.resources.millicores),
        memory_allocated=sizes.format_size(row.resources.memory),
        hdd_allocated=sizes.format_size(row.resources.disk),
    )


def _credentials(row: ContainerRow, caller: Caller, keys: MasterKeys) -> tuple[str, str]:
    if caller.user_id != row.user_id or row.protocol not in THROUGH_GUACAMOLE:
        return "", ""
    return (
        credentials.guacamole_username(row.container_id),
        credentials.guacamole_password(keys, row.key_number, row.container_id),
    )
