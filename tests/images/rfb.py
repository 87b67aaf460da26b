"""A small VNC viewer for tests: signs in, asks for one picture of the screen, can type.

    with sign_in("127.0.0.1", 5901, "secret") as viewer:
        picture = viewer.picture()
        assert len(picture.colours()) > 1
        Path("screen.png").write_bytes(picture.png())

It speaks RFB 3.8 (RFC 6143) with VncAuth and raw pixels, which every VNC server offers.
"""

import socket
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from tests.conftest import PATIENCE

VERSION = b"RFB 003.008\n"
VNC_AUTH = 2
# 32 bits a pixel, true colour, least significant byte first: blue, green, red, unused
PIXEL_FORMAT = struct.pack(">BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)


class SignInRefusedError(Exception):
    """The server did not accept the password, or refuses to talk at all."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A screen: width and height in pixels, and three bytes (red, green, blue) a pixel, row by row."""

    width: int
    height: int
    rgb: bytes

    def colours(self) -> set[bytes]:
        """Return the different colours, three bytes each."""
        return {self.rgb[at : at + 3] for at in range(0, len(self.rgb), 3)}

    def png(self) -> bytes:
        """Return the picture as a PNG file."""
        stride = self.width * 3
        rows = (b"\0" + self.rgb[row * stride : (row + 1) * stride] for row in range(self.height))
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        parts = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(b"".join(rows))), _chunk(b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


class Viewer:
    """A signed-in connection; `sign_in` makes one."""

    def __init__(self, *, connection: socket.socket, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self._connection = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def picture(self) -> Picture:
        """Return the whole screen as it is now."""
        self._connection.sendall(struct.pack(">BBHHHH", 3, 0, 0, 0, self.width, self.height))
        screen = bytearray(self.width * self.height * 4)
        while not self._read_update(screen):
            pass
        rgb = bytearray(self.width * self.height * 3)
        for channel in range(3):
            rgb[channel::3] = screen[2 - channel :: 4]
        return Picture(width=self.width, height=self.height, rgb=bytes(rgb))

    def type_text(self, text: str) -> None:
        """Press and release the key of each character; a newline is the return key."""
        for character in text:
            key = 0xFF0D if character == "\n" else ord(character)
            self._connection.sendall(struct.pack(">BBxxI", 4, 1, key) + struct.pack(">BBxxI", 4, 0, key))

    def click(self, x: int, y: int) -> None:
        """Press and release the left mouse button at a point of the screen, in pixels."""
        self._connection.sendall(b"".join(struct.pack(">BBHH", 5, buttons, x, y) for buttons in (0, 1, 0)))

    def _read_update(self, screen: bytearray) -> bool:
        """Take one message of the server; True when it was an update of the screen."""
        kind = _read(self._connection, 1)[0]
        if kind == 0:
            (count,) = struct.unpack(">xH", _read(self._connection, 3))
            for _ in range(count):
                self._read_rectangle(screen)
        elif kind == 1:
            (colours,) = struct.unpack(">xHH", _read(self._connection, 5))[1:]
            _read(self._connection, colours * 6)
        elif kind == 3:
            (length,) = struct.unpack(">xxxI", _read(self._connection, 7))
            _read(self._connection, length)
        return kind == 0

    def _read_rectangle(self, screen: bytearray) -> None:
        left, top, width, height, encoding = struct.unpack(">HHHHi", _read(self._connection, 12))
        if encoding != 0:
            raise ConnectionError(f"encoding {encoding} was not asked for")
        for row in range(top, top + height):
            start = (row * self.width + left) * 4
            screen[start : start + width * 4] = _read(self._connection, width * 4)


@contextmanager
def connect(host: str, port: int, *, timeout: float = PATIENCE) -> Iterator[socket.socket]:
    """Open a connection and read the server's greeting without signing in; timeout in seconds."""
    with socket.create_connection((host, port), timeout) as connection:
        if not _read(connection, len(VERSION)).startswith(b"RFB "):
            raise ConnectionError("this is not a VNC server")
        yield connection


@contextmanager
def sign_in(host: str, port: int, password: str, *, timeout: float = PATIENCE) -> Iterator[Viewer]:
    """Sign in with VncAuth and a shared desktop.

    Args:
        host: name or address of the server.
        port: its port, 5900 + display.
        password: its first 8 characters count.
        timeout: seconds that any single answer may take.

    Raises:
        SignInRefusedError: the password is wrong, or the server refuses connections.
    """
    with connect(host, port, timeout=timeout) as connection:
        connection.sendall(VERSION)
        _authenticate(connection, password)
        connection.sendall(b"\1")
        width, height = struct.unpack(">HH", _read(connection, 4))
        _read(connection, 16)
        _read_text(connection)
        connection.sendall(struct.pack(">Bxxx", 0) + PIXEL_FORMAT + struct.pack(">BxHi", 2, 1, 0))
        with Viewer(connection=connection, width=width, height=height) as viewer:
            yield viewer


def _authenticate(connection: socket.socket, password: str) -> None:
    offered = _read(connection, _read(connection, 1)[0])
    if not offered:
        raise SignInRefusedError(_read_text(connection))
    if VNC_AUTH not in offered:
        raise SignInRefusedError(f"the server offers the security types {list(offered)} and not VncAuth")
    connection.sendall(bytes([VNC_AUTH]))
    connection.sendall(_answer(password, _read(connection, 16)))
    if struct.unpack(">I", _read(connection, 4)) != (0,):
        raise SignInRefusedError(_read_text(connection))


def _answer(password: str, challenge: bytes) -> bytes:
    """Encrypt the challenge as VncAuth does: DES, with the bits of each byte of the key in reverse order."""
    key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode()[:8].ljust(8, b"\0"))
    encryptor = Cipher(TripleDES(key * 3), modes.ECB()).encryptor()  # noqa: S305 - the protocol demands it
    return encryptor.update(challenge) + encryptor.finalize()


def _read(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise ConnectionError("the server closed the connection")
        data += part
    return bytes(data)


def _read_text(connection: socket.socket) -> str:
    (length,) = struct.unpack(">I", _read(connection, 4))
    return _read(connection, length).decode(errors="replace")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
