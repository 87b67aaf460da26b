"""What an image may say of its connection: the parameters of each protocol.

guacd is silent about names that it does not know and about values that it cannot read, so both are refused here. What
would be a secret, and where the container is, are no affair of the catalogue. The names are those of the chapter
"Configuring connections" of Guacamole's manual. Those of http are ours: `prefix` says whether a service keeps the path
under which the API passes it on or wants it stripped, `token` under which name it takes its password in an address.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches

from calipso.commands.texts import TEXT_LIMIT, check_text
from calipso.errors import Invalid
from calipso.events.values import Protocol

_SWITCH, _NUMBER, _TEXT, _DEPTH = "true|false", "[0-9]{1,9}", ".+", "8|16|24|32"


def _all(kind: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), kind)


_COMMON = {
    **_all(_SWITCH, "read-only disable-copy disable-paste create-recording-path recording-exclude-output"),
    **_all(_SWITCH, "recording-exclude-mouse recording-include-keys recording-write-existing"),
    **_all(_NUMBER, "clipboard-buffer-size"),
    **_all(_TEXT, "recording-path recording-name"),
}
# the pattern of each parameter's value
PARAMETERS: Mapping[Protocol, Mapping[str, str]] = {
    Protocol.VNC: {
        **_COMMON,
        **_all(_SWITCH, "swap-red-blue force-lossless disable-display-resize enable-audio"),
        **_all(_NUMBER, "autoretry"),
        **_all("[0-9]", "compress-level quality-level"),
        **_all(_TEXT, "username encodings audio-servername clipboard-encoding"),
        "color-depth": _DEPTH,
        "cursor": "remote",
    },
    Protocol.RDP: {
        **_COMMON,
        **_all(_SWITCH, "ignore-cert cert-tofu disable-auth disable-audio enable-audio-input enable-drive disable-gfx"),
        **_all(_SWITCH, "create-drive-path enable-printing enable-wallpaper enable-font-smoothing console"),
        **_all(_NUMBER, "width height dpi timeout"),
        **_all(_TEXT, "username domain cert-fingerprints server-layout timezone drive-path initial-program remote-app"),
        **_all(_TEXT, "load-balance-info"),
        "color-depth": _DEPTH,
        "security": "any|nla|nla-ext|tls|rdp|vmconnect",
        "resize-method": "display-update|reconnect",
    },
    Protocol.SSH: {
        **_COMMON,
        **_all(_SWITCH, "enable-sftp sftp-disable-download sftp-disable-upload"),
        **_all(_NUMBER, "timeout font-size scrollback server-alive-interval"),
        **_all(_TEXT, "username host-key sftp-root-directory font-name color-scheme terminal-type command locale"),
        **_all(_TEXT, "timezone typescript-path typescript-name"),
    },
    Protocol.HTTP: {"prefix": "keep|strip", "token": "[A-Za-z_][A-Za-z0-9_-]{0,31}"},
}


def check_parameters(protocol: Protocol, given: Mapping[str, str]) -> None:
    """Refuse parameters that Guacamole would pass over in silence.

    Raises:
        Invalid: names the parameter.
    """
    known = PARAMETERS.get(protocol, {})
    for name, value in given.items():
        if name not in known:
            raise Invalid("parameters", _unknown(protocol, name, known))
        check_text(f"parameters.{name}", value)
        if not re.fullmatch(known[name], value):
            raise Invalid(f"parameters.{name}", f"must be {_told(known[name])}")


def _unknown(protocol: Protocol, name: str, known: Mapping[str, str]) -> str:
    if not known:
        return f"an image of protocol {protocol.value or '(empty)'} has no parameters"
    near = get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(known))}"
    return f"{name[:100]!r} cannot be set for {protocol}{hint}"


def _told(pattern: str) -> str:
    told = {_SWITCH: "true or false", _NUMBER: "a whole number", _TEXT: f"a text of 1 to {TEXT_LIMIT} characters"}
    return told.get(pattern, f"one of {pattern.replace('|', ', ')}")
