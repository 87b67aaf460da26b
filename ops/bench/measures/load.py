#!/usr/bin/env python3
"""Sends one request again and again over kept connections, as fast as the answers come; a process of its own.

Reads a JSON object from its standard input: `host`, `port`, `request` (text), `connections`, `seconds`; writes one with
`latencies` (seconds of each request) and `seconds`.
"""

import json
import selectors
import socket
import sys
import time
from typing import cast


def main() -> None:
    """Do what standard input says."""
    asked = json.load(sys.stdin)
    latencies, seconds = load(
        (asked["host"], asked["port"]), asked["request"].encode(), asked["connections"], asked["seconds"]
    )
    json.dump({"latencies": latencies, "seconds": seconds}, sys.stdout)


def load(address: tuple[str, int], request: bytes, connections: int, seconds: float) -> tuple[list[float], float]:
    """The seconds of each request, and of all."""
    selector = selectors.DefaultSelector()
    begun: dict[socket.socket, float] = {}
    latencies: list[float] = []
    start = time.perf_counter()
    for _ in range(connections):
        connection = socket.create_connection(address, timeout=30)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ, bytearray())
        connection.sendall(request)
        begun[connection] = time.perf_counter()
    while begun:
        for key, _ in selector.select(30):
            connection, received = cast("socket.socket", key.fileobj), key.data
            received += connection.recv(1 << 16)
            if not is_whole(received):
                continue
            now = time.perf_counter()
            latencies.append(now - begun.pop(connection))
            received.clear()
            if now - start < seconds:
                connection.sendall(request)
                begun[connection] = now
    return latencies, time.perf_counter() - start


def is_whole(received: bytearray) -> bool:
    """Whether all of an answer has come; ends the program when it is no success."""
    head, end, body = bytes(received).partition(b"\r\n\r\n")
    if not end:
        return False
    if not head.startswith(b"HTTP/1.1 200"):
        sys.exit(f"answered with {head.splitlines()[0]!r}")
    lines = head.lower().split(b"\r\n")
    length = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
    return len(body) >= length


if __name__ == "__main__":
    main()
