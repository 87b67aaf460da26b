"""What an image says of the service in its containers: where it listens, and whether it asks for a password."""

from calipso.events.values import ImageSpec, Protocol

_PORTS = {Protocol.VNC: "5901/tcp", Protocol.RDP: "3389/tcp", Protocol.SSH: "22/tcp"}
_WEB_PORT = "8888/tcp"
_WITH_PASSWORD = frozenset({Protocol.VNC, Protocol.RDP, Protocol.SSH})


def service_port(image: ImageSpec) -> str:
    """The port on which an image's service listens, such as `5901/tcp`."""
    return image.port_hook or _PORTS.get(image.protocol, _WEB_PORT)


def has_secret(image: ImageSpec) -> bool:
    """Whether an image's service asks for a password."""
    return image.protocol in _WITH_PASSWORD or (image.protocol is Protocol.HTTP and "token" in image.parameters)
