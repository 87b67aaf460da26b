"""The container as clients see it."""

from sanic import Request

from calipso import credentials, sizes
from calipso.api.context import Caller, caller_of, context_of
from calipso.api.objects import ContainerObject, Status
from calipso.api.proxies import absolute_url
from calipso.credentials import MasterKeys
from calipso.events.container import State
from calipso.events.values import Protocol, Runtime
from calipso.moments import format_time
from calipso.projections.containers import ContainerRow

STATUS: dict[State, Status] = {
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


def container_object(row: ContainerRow, request: Request) -> ContainerObject:
    """The JSON object of a container; its credentials are filled for its owner only."""
    caller, keys = caller_of(request), context_of(request).backend.keys
    username, password = _credentials(row, caller, keys)
    return ContainerObject(
        id=row.id,
        calipso_user=row.user_wire_id,
        calipso_experiment=row.label,
        container_id=row.runtime_id or "not created yet",
        container_name=row.name,
        container_status=STATUS[row.state],
        container_logs="...",
        guacamole_username=username,
        guacamole_password=password,
        creation_date=format_time(row.created),
        host_port=address_of(row, request) or str(row.port or 0),
        public_name=row.image_name,
        container_info=row.info,
        image=row.image_wire_id,
        num_cpus=sizes.format_cpus(row.resources.millicores),
        memory_allocated=sizes.format_size(row.resources.memory),
        hdd_allocated=sizes.format_size(row.resources.disk),
    )


def address_of(row: ContainerRow, request: Request) -> str:
    """Where a browser opens a container without Guacamole: through us, or at its own address; empty when nowhere.

    What lets in whoever knows it, such as a token, is in it for the owner only.
    """
    link, _, query = row.link.partition("?")
    if is_passed_on(row) and row.port and not context_of(request).backend.settings.web_direct:
        link = absolute_url(request, f"/web/{row.container_id}/")
    if not link or caller_of(request).user_id != row.user_id:
        return link
    if row.web_token:
        secret = credentials.vnc_password(context_of(request).backend.keys, row.key_number, row.container_id)
        query = "&".join(filter(None, (query, f"{row.web_token}={secret}")))
    return f"{link}?{query}" if query else link


def is_passed_on(row: ContainerRow) -> bool:
    """Whether a container has a web service of its own, and not only a link to somewhere."""
    return row.protocol is Protocol.HTTP and row.runtime is not Runtime.STATIC_LINK


def _credentials(row: ContainerRow, caller: Caller, keys: MasterKeys) -> tuple[str, str]:
    if caller.user_id != row.user_id or row.protocol not in THROUGH_GUACAMOLE:
        return "", ""
    return (
        credentials.guacamole_username(row.container_id),
        credentials.guacamole_password(keys, row.key_number, row.container_id),
    )
