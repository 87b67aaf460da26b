"""Containers that are run by the API, beside bare ones of the same image."""

import json
import socket
import statistics
import time
from argparse import Namespace
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.cookiejar import CookieJar
from typing import Any
from urllib.request import HTTPCookieProcessor, OpenerDirector, Request, build_opener

Clear = Callable[[], Any]


def side_by_side(
    name: str, rounds: int, *, bare: Callable[[int], float], run: Callable[[int], float], limit: tuple[float, float]
) -> dict[str, Any]:
    """Rounds of bare ones and of runs, in turn; the first of each warms up.

    Args:
        name: of the measurement.
        rounds: of each kind that count.
        bare: the seconds of a round of bare ones, of this number.
        run: the seconds of a round of runs.
        limit: what a run may take: this factor of the bare time, and these seconds more.
    """
    pairs = [(bare(number), run(number)) for number in range(rounds + 1)][1:]
    bare_seconds, seconds = (statistics.median(times) for times in zip(*pairs, strict=True))
    allowed = limit[0] * bare_seconds + limit[1]
    runs = [pair[1] for pair in pairs]
    return {
        "name": name,
        "measured": seconds,
        "bare": bare_seconds,
        "limit": allowed,
        "ratio": seconds / allowed,
        "unit": "s",
        "rounds": rounds,
        "spread": [min(runs), max(runs)],
    }


def one_round(start: Callable[[int], Clear], together: int) -> float:
    """Start so many at once and clear away; gives the seconds until all were usable."""
    began = time.perf_counter()
    with ThreadPoolExecutor(together) as pool:
        clear = list(pool.map(start, range(together)))
    seconds = time.perf_counter() - began
    with ThreadPoolExecutor(together) as pool:
        list(pool.map(lambda end: end(), clear))
    return seconds


def calipso_run(options: Namespace, client: OpenerDirector, label: str) -> Clear:
    """Run the image of the options by the API; gives what removes it."""
    address = f"{options.url}/resource/run/{options.user}/{label}/{options.image}/"
    with client.open(address, timeout=300) as answer:
        container = json.load(answer)
    ends = f"{options.url}/resource/rm/{options.user}/{container['container_name']}/{options.image}/"
    return lambda: client.open(ends, timeout=300).close()


def sign_in(url: str, user: str, password: str) -> OpenerDirector:
    """Somebody who is signed in to the API."""
    client = build_opener(HTTPCookieProcessor(CookieJar()))
    body = json.dumps({"username": user, "password": password}).encode()
    client.open(Request(f"{url}/login/", body, {"Content-Type": "application/json"}), timeout=30).close()  # noqa: S310
    return client


def answers(host: str, port: int) -> bool:
    """Whether an HTTP server answers; proxies of engines accept connections before that."""
    try:
        with socket.create_connection((host, port), timeout=1) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return connection.recv(5) == b"HTTP/"
    except OSError:
        return False


def tell(result: dict[str, Any], what: str) -> None:
    """Print one measurement beside its limit; `what` is the name of the bare way."""
    print(
        f"{{name}}: run {{measured:.3f}} s, {what} {{bare:.3f}} s, limit {{limit:.3f}} s, ratio to limit {{ratio:.2f}} "
        "(medians of {rounds} rounds; spread of run {spread[0]:.3f} to {spread[1]:.3f} s)".format(**result)
    )
