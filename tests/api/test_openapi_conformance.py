"""The document against the server: whatever is sent, the answer is one that the document tells of (schemathesis)."""

import copy
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.api.conftest import PASSWORD, Api
from tests.conftest import PATIENCE

from calipso.api.app import BLUEPRINTS, create_app
from calipso.api.openapi import describe

SEED = 20261123
# these wait for a target, and none is here: the acceptance tests start containers
HELD = "/resource/run/{username}/{experiment}/{public_name}/"
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def document(api: Api) -> dict[str, Any]:
    return dict(describe(create_app(api.backend, BLUEPRINTS).router.routes))


@pytest.fixture(params=["nobody", "somebody", "administrator"])
def headers(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    if request.param == "nobody":
        yield {}
    else:
        yield {"Authorization": aiohttp.encode_basic_auth(request.getfixturevalue(request.param), PASSWORD)}


@pytest.mark.parametrize("mode", GenerationMode)
def test_every_answer_is_one_that_is_told(
    api: Api, document: dict[str, Any], headers: dict[str, str], mode: GenerationMode
) -> None:
    asked = [each for each in operations_of(document) if each.path != HELD]
    # without a body or parameters nothing can be wrong
    for operation in asked if mode.is_positive else [each for each in asked if each.body or each.query]:
        fuzz(api, operation, headers, mode)


def test_a_document_that_is_wrong_is_found_out(api: Api, document: dict[str, Any]) -> None:
    wrong = copy.deepcopy(document)
    wrong["components"]["schemas"]["Problem"]["properties"]["error"] = {"type": "integer"}
    (images,) = (each for each in operations_of(wrong) if (each.method, each.path) == ("get", "/images/"))
    with pytest.raises(FailureGroup, match='is not of type "integer"'):
        fuzz(api, images, {}, GenerationMode.POSITIVE)


def operations_of(document: dict[str, Any]) -> list[Any]:
    """Its operations, as schemathesis sees them."""
    found = schemathesis.openapi.from_dict(document).get_all_operations()
    return [each.ok() for each in found if isinstance(each, Ok)]


def fuzz(api: Api, operation: Any, headers: dict[str, str], mode: GenerationMode) -> None:  # noqa: ANN401 - the library's
    """Send what the document allows, or what it does not, and look at the answers."""

    @seed(SEED)
    @settings(
        max_examples=10,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:  # noqa: ANN401 - the library's
        case.call_and_validate(
            base_url=api.url, headers=headers, checks=CHECKS, allow_redirects=False, timeout=PATIENCE
        )

    check()
