"""People who use the API in tests: what they ask over HTTP, and what they are answered."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aiohttp
from tests.api.conftest import PASSWORD, Api
from tests.conftest import wait_until
from yarl import URL

from calipso.projections.registry import read_models


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer as it came over the wire."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    def json(self) -> Any:  # noqa: ANN401 - whatever it holds
        """The value of its body."""
        kinds = {"application/json"} if self.status < 400 else {"application/json", "application/problem+json"}
        assert self.headers["Content-Type"] in kinds
        return json.loads(self.body)

    def field(self) -> tuple[int, str]:
        """Its status, and the field that it finds wrong."""
        return self.status, self.json().get("field", "")

    def detail(self) -> tuple[int, str]:
        """Its status, and what it tells of it."""
        return self.status, self.json()["detail"]


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """Somebody with an account, or nobody (without a name)."""

    api: Api
    name: str = ""

    @property
    def user_id(self) -> UUID:
        """The uuid of the account."""
        return self.api.user_id(self.name)

    async def get(self, path: str) -> Answer:
        """Ask for a path, which is sent as it is written."""
        return await self.ask("GET", path)

    async def ask(self, method: str, path: str, body: object = None, *, data: object = None, kind: str = "") -> Answer:
        """Ask with a JSON body, or with one of another kind (`data`, and its content type)."""
        headers = {"Authorization": aiohttp.encode_basic_auth(self.name, PASSWORD)} if self.name else {}
        if kind:
            headers["Content-Type"] = kind
        url = URL(f"{self.api.url}{self.api.base_path}{path}", encoded=True)
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, url, json=body, data=data, allow_redirects=False) as answer,
        ):
            return Answer(status=answer.status, body=await answer.read(), headers=dict(answer.headers))


@dataclass(frozen=True, kw_only=True)
class People:
    """An administrator, two ordinary users, and somebody without an account."""

    admin: Visitor
    ada: Visitor
    bob: Visitor
    nobody: Visitor


def people_of(api: Api) -> People:
    """New people of an installation."""
    made = People(
        admin=Visitor(api=api, name=api.add_user(admin=True)),
        ada=Visitor(api=api, name=api.add_user()),
        bob=Visitor(api=api, name=api.add_user()),
        nobody=Visitor(api=api),
    )
    obey(api)
    return made


def obey(api: Api, *commands: object) -> None:
    """Issue commands, and wait until all read models show what is stored, and until the API has heard of that."""
    for command in commands:
        api.obey(command)
    head, names = api.backend.store.head(), {model.name for model in read_models()}
    wait_until(
        lambda: names <= {part.name for part in api.backend.parts.all() if part.position >= head}, "the read models"
    )
    api.heard(names, head)
