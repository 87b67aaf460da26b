"""What a body must be before it is stored: valid by its schema and the rules beyond it, complete, and with room."""

from base64 import b64encode
from copy import deepcopy
from typing import Any

from tests.runtimes.kubernetes_double.addresses import Addresses
from tests.runtimes.kubernetes_double.resources import (
    ACCOUNTS,
    NAMESPACES,
    PODS,
    POLICIES,
    QUOTAS,
    SECRETS,
    SERVICES,
    Resource,
)
from tests.runtimes.kubernetes_double.rules import check_rules
from tests.runtimes.kubernetes_double.schemas import check
from tests.runtimes.kubernetes_double.status import Json, bad_request, forbidden
from tests.runtimes.kubernetes_double.store import Store

_COUNTED = (PODS, SERVICES, SECRETS)


def admitted(store: Store, addresses: Addresses, of: Resource, namespace: str, given: Any) -> Json:  # noqa: ANN401 - from outside
    """A new object as it is stored.

    Raises:
        RefusedError: it must not be stored.
    """
    body = {key: value for key, value in checked(of, given).items() if key != "status"}
    if of is not NAMESPACES:
        store.get(NAMESPACES, "", namespace)
    made = complete(of, body)
    check_rules(of, made)
    made["metadata"] = {key: value for key, value in made["metadata"].items() if key in _OF_CLIENT}
    _check_namespace(store, of, namespace, made)
    if of is SERVICES and store.find(of, namespace, made["metadata"]["name"]) is None:
        _give_addresses(addresses, made)
    return made


def changed(of: Resource, before: Json, after: Json) -> Json:
    """An object after a change by a client.

    Raises:
        RefusedError: it must not be changed so.
    """
    status = {"status": before["status"]} if "status" in before else {}
    made = complete(of, {**checked(of, {key: value for key, value in after.items() if key != "status"}), **status})
    kept = {key: before["metadata"][key] for key in _OF_SERVER if key in before["metadata"]}
    made["metadata"] = {**made["metadata"], **kept}
    check_rules(of, made, before)
    return made


def checked(of: Resource, given: Any) -> Json:  # noqa: ANN401 - from outside
    """A body that the schemas of Kubernetes allow, with its kind."""
    if not isinstance(given, dict):
        raise bad_request(f"the body is not a {of.kind}")
    body = {"kind": of.kind, "apiVersion": of.api_version, "metadata": {}, **given}
    if (body["kind"], body["apiVersion"]) != (of.kind, of.api_version):
        told = f"{body['kind']} in version {body['apiVersion']!r} cannot be handled as a {of.kind}"
        raise bad_request(told)
    check(of.kind, body)
    return body


def complete(of: Resource, body: Json) -> Json:
    """A body with the values that the server adds where a client says nothing."""
    made = deepcopy(body)
    if of is PODS:
        _complete_pod(made["spec"])
        made.setdefault("status", {"phase": "Pending", "qosClass": "Burstable"})
    elif of is SERVICES:
        made["spec"] = {"type": "ClusterIP", "sessionAffinity": "None", **made["spec"]}
        for port in made["spec"].get("ports", ()):
            port |= {"protocol": "TCP", "targetPort": port["port"], **port}
        made.setdefault("status", {"loadBalancer": {}})
    elif of is SECRETS:
        told = {key: b64encode(text.encode()).decode() for key, text in (made.pop("stringData", None) or {}).items()}
        made |= {"type": made.get("type", "Opaque"), "data": {**made.get("data", {}), **told}}
    elif of is POLICIES:
        made["spec"].setdefault("policyTypes", ["Ingress"])
    elif of is NAMESPACES:
        made = {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}, **made}
    elif of is QUOTAS:
        made.setdefault("status", {})
    return made


def _complete_pod(spec: Json) -> None:
    added = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "default",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "enableServiceLinks": True,
    }
    spec |= {key: value for key, value in added.items() if key not in spec}
    for container in spec["containers"]:
        is_latest = ":" not in container.get("image", "").rpartition("/")[2] or container["image"].endswith(":latest")
        container.setdefault("imagePullPolicy", "Always" if is_latest else "IfNotPresent")
        resources = container.setdefault("resources", {})
        if "limits" in resources:
            resources["requests"] = {**resources["limits"], **resources.get("requests", {})}


def _give_addresses(addresses: Addresses, made: Json) -> None:
    spec = made["spec"]
    ports = [port["port"] for port in spec["ports"]]
    spec["clusterIP"] = addresses.inside(ports)
    spec["clusterIPs"] = [spec["clusterIP"]]
    if spec["type"] == "NodePort":
        spec.setdefault("externalTrafficPolicy", "Cluster")
        for port in spec["ports"]:
            port["nodePort"] = addresses.outside()


def _check_namespace(store: Store, of: Resource, namespace: str, made: Json) -> None:
    """Refuse what the namespace has no account or no room for."""
    name = made["metadata"]["name"]
    if of is not NAMESPACES and store.get(NAMESPACES, "", namespace)["status"]["phase"] == "Terminating":
        why = f"unable to create new content in namespace {namespace} because it is being terminated"
        raise forbidden(of.plural, name, why)
    if of is PODS and store.find(ACCOUNTS, namespace, made["spec"]["serviceAccountName"]) is None:
        account = made["spec"]["serviceAccountName"]
        why = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
        raise forbidden(of.plural, name, why)
    if of in _COUNTED and store.find(of, namespace, name) is None:
        _check_quotas(store, of.plural, namespace, name)


def _check_quotas(store: Store, plural: str, namespace: str, name: str) -> None:
    for quota in store.items(QUOTAS, namespace):
        limit = quota["spec"].get("hard", {}).get(plural)
        # a quota holds once its controller has counted
        used = quota["status"].get("used", {}).get(plural)
        if limit is not None and used is not None and int(used) + 1 > int(limit):
            told = f"requested: {plural}=1, used: {plural}={used}, limited: {plural}={limit}"
            raise forbidden(plural, name, f"exceeded quota: {quota['metadata']['name']}, {told}")


_OF_CLIENT = ("name", "labels", "annotations", "ownerReferences", "finalizers")
_OF_SERVER = (
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "namespace",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
