"""A stand-in for Guacamole's web application: it signs accounts in, and lists connections, by the real rows.

What it answers is what versions 1.0 to 1.6 answer at these two places of their REST interface.
"""

import asyncio
import hashlib
import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool
from tests.api.conftest import url_of

_BANNED_AFTER = 5

_USER = text(
    "SELECT e.entity_id, u.password_hash, u.password_salt FROM guacamole_user u "
    "JOIN guacamole_entity e ON e.entity_id = u.entity_id WHERE e.type = 'USER' AND e.name = :name AND NOT u.disabled"
)
_CONNECTIONS = text(
    "SELECT c.connection_id, c.connection_name, c.protocol FROM guacamole_connection c "
    "JOIN guacamole_connection_permission p ON p.connection_id = c.connection_id "
    "WHERE p.entity_id = :entity AND p.permission = 'READ'"
)


@dataclass(kw_only=True)
class WebApplication:
    """The application: `trouble` is how it fails, empty when it does not; `asked_for` counts clients told by a proxy.

    `wrong` counts sign-ins with a wrong password, by the address that sent them; after five it is banned.
    """

    engine: Engine
    url: str = ""
    trouble: str = ""
    wrong: Counter[str] = field(default_factory=Counter)
    asked_for: Counter[str] = field(default_factory=Counter)
    tokens: dict[str, int] = field(default_factory=dict)

    def app(self) -> web.Application:
        """Its routes, below the usual place."""
        app = web.Application()
        app.router.add_post("/guacamole/api/tokens", self.sign_in)
        app.router.add_get("/guacamole/api/session/data/{source}/connections", self.connections)
        return app

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        """Check an account and its password."""
        if answer := await self._in_trouble():
            return answer
        form, client = await request.post(), request.remote or ""
        self.asked_for[request.headers.get("X-Forwarded-For", "")] += 1
        entity = self._entity(str(form["username"]), str(form["password"]))
        if entity is None or self.wrong[client] >= _BANNED_AFTER:
            self.wrong[client] += 1
            return web.json_response({"message": "Permission Denied.", "type": "INVALID_CREDENTIALS"}, status=403)
        token = secrets.token_hex(32).upper()
        self.tokens[token] = entity
        return web.json_response(
            {
                "authToken": token,
                "username": form["username"],
                "dataSource": "postgresql",
                "availableDataSources": ["postgresql", "postgresql-shared"],
            }
        )

    async def connections(self, request: web.Request) -> web.StreamResponse:
        """The connections that the account of a token may open."""
        entity = self.tokens.get(request.query.get("token", ""))
        if entity is None or request.match_info["source"] != "postgresql":
            return web.json_response({"message": "Permission Denied.", "type": "PERMISSION_DENIED"}, status=403)
        with self.engine.connect() as connection:
            found = connection.execute(_CONNECTIONS, {"entity": entity}).all()
        return web.json_response(
            {
                str(row.connection_id): {
                    "name": row.connection_name,
                    "identifier": str(row.connection_id),
                    "parentIdentifier": "ROOT",
                    "protocol": row.protocol,
                    "attributes": {"guacd-hostname": None},
                    "activeConnections": 0,
                }
                for row in found
            }
        )

    def _entity(self, name: str, password: str) -> int | None:
        with self.engine.connect() as connection:
            row = connection.execute(_USER, {"name": name}).first()
        if row is None:
            return None
        salted = password + bytes(row.password_salt).hex().upper()
        entity: int = row.entity_id
        return entity if hashlib.sha256(salted.encode()).digest() == bytes(row.password_hash) else None

    async def _in_trouble(self) -> web.StreamResponse | None:
        match self.trouble:
            case "":
                return None
            case "hang":
                await asyncio.sleep(3600)
                return None
            case "html":
                return web.Response(text="<html>starting</html>", content_type="text/html")
            case "strange":
                return web.json_response({"authToken": "A\r\nSet-Cookie: x=y", "dataSource": "postgresql"})
            case _:
                return web.Response(status=int(self.trouble), text="a stack trace of theirs")


@contextmanager
def web_application(conninfo: str) -> Iterator[WebApplication]:
    """Serve one on loopback within the block.

    Args:
        conninfo: of the PostgreSQL database with Guacamole's tables.
    """
    url = url_of(conninfo).replace("postgresql://", "postgresql+psycopg://")
    made = WebApplication(engine=create_engine(url, poolclass=NullPool))
    loop, begun = asyncio.new_event_loop(), threading.Event()
    runner = web.AppRunner(made.app(), shutdown_timeout=0, handler_cancellation=True)

    async def begin() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/guacamole/"
        begun.set()

    def run() -> None:
        loop.run_until_complete(begin())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run, name="guacamole")
    thread.start()
    assert begun.wait(10)
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        assert not thread.is_alive()
