"""What servers ask of an object beyond its schema: names, numbers, references inside it, what may change."""

import ipaddress
import re
from collections.abc import Iterator

from tests.runtimes.kubernetes_double.resources import PODS, POLICIES, SERVICES, Resource
from tests.runtimes.kubernetes_double.status import Json, invalid

Causes = Iterator[tuple[str, str]]
_DNS_1123 = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_RESTARTS = ("Always", "OnFailure", "Never")
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_MAY_CHANGE = ("activeDeadlineSeconds", "tolerations")


def check_rules(of: Resource, made: Json, before: Json | None = None) -> None:
    """Refuse an object that breaks a rule; `before` is what it was, if it was already there."""
    causes = [*_of_metadata(of, made), *_RULES.get(of, _no_causes)(made)]
    if of is PODS and before is not None:
        causes += [*_of_pod_change(before["spec"], made["spec"]), *_of_hold(before["metadata"], made["metadata"])]
    if causes:
        raise invalid(of.kind, made["metadata"].get("name", ""), causes)


def _of_metadata(of: Resource, made: Json) -> Causes:
    metadata = made["metadata"]
    name, pattern = metadata.get("name"), _DNS_1035 if of is SERVICES else rf"{_DNS_1123}(\.{_DNS_1123})*"
    if not name:
        yield "metadata.name", "Required value: name or generateName is required"
    elif not re.fullmatch(pattern, name) or len(name) > (63 if of is SERVICES else 253):
        yield "metadata.name", f'Invalid value: "{name}": must be lower case alphanumeric characters or "-"'
    for value in (metadata.get("labels") or {}).values():
        if len(value) > 63:
            yield "metadata.labels", f'Invalid value: "{value}": must be no more than 63 characters'
        elif not _LABEL.fullmatch(value):
            yield "metadata.labels", f'Invalid value: "{value}": a valid label must be alphanumeric'


def _of_pod(made: Json) -> Causes:
    spec = made["spec"]
    if not spec["containers"]:
        yield "spec.containers", "Required value"
    if spec["restartPolicy"] not in _RESTARTS:
        yield "spec.restartPolicy", _unsupported(spec["restartPolicy"], _RESTARTS)
    volumes = {volume["name"] for volume in spec.get("volumes") or ()}
    for number, container in enumerate(spec["containers"]):
        mounts = container.get("volumeMounts") or ()
        for place, mount in enumerate(mounts):
            field = f"spec.containers[{number}].volumeMounts[{place}]"
            if mount["name"] not in volumes:
                yield f"{field}.name", f'Not found: "{mount["name"]}"'
            if [other["mountPath"] for other in mounts].count(mount["mountPath"]) > 1:
                yield f"{field}.mountPath", f'Invalid value: "{mount["mountPath"]}": must be unique'


def _of_service(made: Json) -> Causes:
    spec = made["spec"]
    if spec["type"] not in _TYPES:
        yield "spec.type", _unsupported(spec["type"], _TYPES)
    if not spec.get("ports"):
        yield "spec.ports", "Required value"
    for number, port in enumerate(spec.get("ports") or ()):
        for field in ("port", "targetPort"):
            if isinstance(port[field], int) and not 0 < port[field] < 2**16:
                told = f"Invalid value: {port[field]}: must be between 1 and 65535, inclusive"
                yield f"spec.ports[{number}].{field}", told


def _of_policy(made: Json) -> Causes:
    for number, rule in enumerate(made["spec"].get("ingress") or ()):
        for place, peer in enumerate(rule.get("from") or ()):
            cidr = (peer.get("ipBlock") or {}).get("cidr", "0.0.0.0/0")
            try:
                ipaddress.ip_network(cidr)
            except ValueError:
                told = f'Invalid value: "{cidr}": not a valid CIDR'
                yield f"spec.ingress[{number}].from[{place}].ipBlock.cidr", told


def _of_pod_change(before: Json, after: Json) -> Causes:
    def fixed(spec: Json) -> Json:
        containers = [{**container, "image": ""} for container in spec["containers"]]
        return {**{key: spec[key] for key in spec if key not in _MAY_CHANGE}, "containers": containers}

    if fixed(before) != fixed(after):
        told = ", ".join(f"`spec.{field}`" for field in ("containers[*].image", *_MAY_CHANGE))
        yield "spec", f"Forbidden: pod updates may not change fields other than {told}"


def _of_hold(before: Json, after: Json) -> Causes:
    new = set(after.get("finalizers") or ()) - set(before.get("finalizers") or ())
    if "deletionTimestamp" in before and new:
        yield "metadata.finalizers", "Forbidden: no new finalizers can be added if the object is being deleted"
    for number, name in enumerate(after.get("finalizers") or ()):
        if "/" not in name:
            told = f'Invalid value: "{name}": name is neither a standard finalizer name nor is it fully qualified'
            yield f"metadata.finalizers[{number}]", told


def _unsupported(value: str, supported: tuple[str, ...]) -> str:
    return f'Unsupported value: "{value}": supported values: ' + ", ".join(f'"{one}"' for one in supported)


def _no_causes(_: Json) -> Causes:
    yield from ()


_RULES = {PODS: _of_pod, SERVICES: _of_service, POLICIES: _of_policy}
