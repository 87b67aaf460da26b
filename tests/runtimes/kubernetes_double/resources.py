"""The kinds of objects that the double holds, and how lists of them are narrowed."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.runtimes.kubernetes_double.status import Json, bad_request, no_such_resource


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A kind of object: `fields` may be selected by."""

    plural: str
    kind: str
    group: str = ""
    fields: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/v1" if self.group else "v1"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a request is about: `part` is such as `log`."""

    verb: str
    of: Resource
    namespace: str
    name: str
    part: str


NAMESPACES = Resource(plural="namespaces", kind="Namespace")
PODS = Resource(plural="pods", kind="Pod", fields=("spec.nodeName", "status.phase"))
SERVICES = Resource(plural="services", kind="Service")
SECRETS = Resource(plural="secrets", kind="Secret", fields=("type",))
EVENTS = Resource(
    plural="events",
    kind="Event",
    fields=("involvedObject.uid", "involvedObject.name", "involvedObject.kind", "type", "reason"),
)
ACCOUNTS = Resource(plural="serviceaccounts", kind="ServiceAccount")
QUOTAS = Resource(plural="resourcequotas", kind="ResourceQuota")
POLICIES = Resource(plural="networkpolicies", kind="NetworkPolicy", group="networking.k8s.io")
ROLES = Resource(plural="roles", kind="Role", group="rbac.authorization.k8s.io")
BINDINGS = Resource(plural="rolebindings", kind="RoleBinding", group="rbac.authorization.k8s.io")
ALL = (NAMESPACES, PODS, SERVICES, SECRETS, EVENTS, ACCOUNTS, QUOTAS, POLICIES, ROLES, BINDINGS)

Match = Callable[[Json], bool]


def resource(prefix: str, plural: str) -> Resource:
    """The resource of a path, such as `api/v1` and `pods`."""
    group = prefix.removeprefix("apis/").rpartition("/")[0] if prefix.startswith("apis/") else ""
    for known in ALL:
        if (known.plural, known.group) == (plural, group):
            return known
    raise no_such_resource()


def selection(of: Resource, labels: str, fields: str) -> Match:
    """Whether an object has these labels and fields, as the selectors of a query."""
    by_label = [_term(text, lambda found: found["metadata"].get("labels") or {}) for text in _split(labels)]
    by_field = [_field(of, text) for text in _split(fields)]
    return lambda found: all(matches(found) for matches in (*by_label, *by_field))


def selected_by(labels: Json) -> Match:
    """Whether an object has all of these labels."""
    return lambda found: labels.items() <= (found["metadata"].get("labels") or {}).items()


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _term(text: str, values_of: Callable[[Json], Json]) -> Match:
    found = re.fullmatch(r"(!?)([\w./-]+)(?:(==?|!=)([\w.-]*))?", text)
    if found is None:
        raise bad_request(f"unable to parse requirement: {text}")
    negated, key, operator, wanted = found.groups()
    if operator is None:
        return lambda given: (key in values_of(given)) is not bool(negated)
    return lambda given: (values_of(given).get(key) == wanted) is (operator != "!=")


def _field(of: Resource, text: str) -> Match:
    path = re.split("==?|!=", text)[0]
    if path not in (*of.fields, "metadata.name", "metadata.namespace"):
        raise bad_request(f"field label not supported: {path}")
    return _term(text, lambda found: {path: _value(found, path)})


def _value(found: Json, path: str) -> str:
    value: Any = found
    for part in path.split("."):
        value = value.get(part) or {}
    return value if isinstance(value, str) else ""
