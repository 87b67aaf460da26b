"""How API servers and kubelets speak, asked without our runtime: the double must say what a real cluster says."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import urllib3
from tests.runtimes.kubernetes_binding import KubernetesBinding
from tests.runtimes.orders import wait_until

Json = dict[str, Any]
Answer = tuple[int, Json]
CORE, POLICIES = "/api/v1/namespaces/default", "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies"
MERGE = "application/strategic-merge-patch+json"


class Asker:
    """Asks an API server over HTTP, with a name of the test's own."""

    def __init__(self, binding: KubernetesBinding) -> None:
        configuration = binding.api.configuration
        self.name = f"test-{uuid4().hex[:12]}"
        self.labels = {"calipso.test/stranger": binding.installation}
        self._host = configuration.host
        self._token = configuration.auth_settings()["BearerToken"]["value"]
        self._pool: urllib3.PoolManager = binding.api.rest_client.pool_manager

    def __call__(self, method: str, path: str, body: Any = None, *, token: str = "", kind: str = "") -> Answer:  # noqa: ANN401 - anything may be sent
        answer = self._pool.request(
            method,
            f"{self._host}{path}",
            body=None if body is None else json.dumps(body),
            headers={"authorization": token or self._token, "content-type": kind or "application/json"},
            timeout=10,
        )
        return answer.status, json.loads(answer.data)

    def metadata(self) -> Json:
        return {"name": self.name, "labels": self.labels}

    def make(self, plural: str, **parts: Any) -> Json:  # noqa: ANN401 - of an object
        status, made = self("POST", f"{CORE}/{plural}", {"metadata": self.metadata(), **parts})
        assert status == 201, made
        return made

    def pod(self, image: str, **spec: Any) -> Json:  # noqa: ANN401 - of a specification
        made = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, **spec}
        return self.make("pods", spec={**made, "containers": [{"name": "main", "image": image}]})

    def look(self) -> Json:
        return self("GET", f"{CORE}/pods/{self.name}")[1]

    def state(self) -> Json:
        """The state of the pod's container."""
        statuses = self.look()["status"].get("containerStatuses") or [{"state": {}}]
        found: Json = statuses[0]["state"]
        return found

    def watch(self, version: str, seconds: int = 1) -> list[Json]:
        """What has changed of the pod since a version."""
        query = f"watch=1&resourceVersion={version}&timeoutSeconds={seconds}&fieldSelector=metadata.name={self.name}"
        answer = self._pool.request("GET", f"{self._host}{CORE}/pods?{query}", headers={"authorization": self._token})
        return [json.loads(line) for line in answer.data.splitlines()]


def failure(code: int, reason: str, message: str, **details: Any) -> Answer:  # noqa: ANN401 - of a Status
    told = {"status": "Failure", "message": message, "reason": reason, "code": code}
    held = {"details": details} if details else {}
    return code, {"kind": "Status", "apiVersion": "v1", "metadata": {}, **told, **held}


class ApiContract:
    """The tests; a cluster gives a fixture `binding`."""

    @pytest.fixture
    def ask(self, binding: KubernetesBinding) -> Iterator[Asker]:
        asker = Asker(binding)
        yield asker
        for place in (f"{CORE}/services", f"{CORE}/secrets", POLICIES):
            asker("DELETE", f"{place}/{asker.name}")

    @pytest.fixture
    def tiny(self, binding: KubernetesBinding) -> Callable[[str], str]:
        return lambda name: binding.image(name).reference

    def test_what_is_not_there_is_told(self, ask: Asker) -> None:
        pod = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": "b"}]}}
        absent = {"name": "absent", "kind": "namespaces"}
        assert ask("GET", f"{CORE}/pods/none") == failure(
            404, "NotFound", 'pods "none" not found', name="none", kind="pods"
        )
        assert ask("DELETE", f"{CORE}/services/none") == failure(
            404, "NotFound", 'services "none" not found', name="none", kind="services"
        )
        assert ask("POST", "/api/v1/namespaces/absent/pods", pod) == failure(
            404, "NotFound", 'namespaces "absent" not found', **absent
        )
        status, answer = ask("GET", f"{CORE}/nothings")
        assert (status, answer["message"]) == (404, "the server could not find the requested resource")
        status, answer = ask("GET", "/api/v1/namespaces/absent/pods")
        assert (status, answer["kind"], answer["items"]) == (200, "PodList", [])

    def test_who_is_not_known_is_told(self, ask: Asker) -> None:
        assert ask("GET", f"{CORE}/pods", token="Bearer wrong") == failure(401, "Unauthorized", "Unauthorized")

    def test_conflicts_are_told(self, ask: Asker) -> None:
        made = ask.make("secrets", stringData={"a": "b"})
        named = {"name": ask.name, "kind": "secrets"}
        place = f"{CORE}/secrets/{ask.name}"
        again = ask("POST", f"{CORE}/secrets", {"metadata": ask.metadata()})
        assert again == failure(409, "AlreadyExists", f'secrets "{ask.name}" already exists', **named)
        why = "the object has been modified; please apply your changes to the latest version and try again"
        stale = ask("PATCH", place, {"metadata": {"resourceVersion": "1"}}, kind=MERGE)
        assert stale == failure(
            409, "Conflict", f'Operation cannot be fulfilled on secrets "{ask.name}": {why}', **named
        )
        status, answer = ask("DELETE", place, {"preconditions": {"uid": "x"}})
        assert (status, answer["reason"]) == (409, "Conflict")
        assert (
            f"the UID in the precondition (x) does not match the UID in record ({made['metadata']['uid']})"
            in (answer["message"])
        )

    @pytest.mark.parametrize(
        ("plural", "wrong", "fields"),
        [
            ("pods", {"metadata": {}}, ["metadata.name"]),
            ("pods", {"metadata": {"name": "A_b"}}, ["metadata.name"]),
            ("pods", {"metadata": {"name": "a", "labels": {"l": "x" * 64}}}, ["metadata.labels"]),
            (
                "pods",
                {"spec": {"containers": [], "restartPolicy": "Sometimes"}},
                ["spec.containers", "spec.restartPolicy"],
            ),
            (
                "pods",
                {
                    "spec": {
                        "containers": [{"name": "a", "image": "b", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]
                    }
                },
                ["spec.containers[0].volumeMounts[0].name"],
            ),
            ("services", {"spec": {"ports": [{"port": 0}]}}, ["spec.ports[0].port", "spec.ports[0].targetPort"]),
            ("services", {"spec": {"ports": []}}, ["spec.ports"]),
        ],
    )
    def test_what_is_invalid_is_told_with_its_fields(
        self, ask: Asker, plural: str, wrong: Json, fields: list[str]
    ) -> None:
        good = {"pods": {"containers": [{"name": "a", "image": "b"}]}, "services": {"ports": [{"port": 80}]}}
        status, answer = ask("POST", f"{CORE}/{plural}", {"metadata": ask.metadata(), "spec": good[plural], **wrong})
        assert (status, answer["reason"]) == (422, "Invalid")
        assert [cause["field"] for cause in answer["details"]["causes"]] == fields
        assert all(field in answer["message"] for field in fields)

    def test_what_cannot_be_read_is_told(self, ask: Asker) -> None:
        bodies = ({"kind": "Service", "apiVersion": "v1"}, {"spec": {"containers": "x"}})
        for body in bodies:
            status, answer = ask("POST", f"{CORE}/pods", {"metadata": ask.metadata(), **body})
            assert (status, answer["reason"]) == (400, "BadRequest")
            assert "cannot be handled as a Pod" in answer["message"]
        told = "field label not supported: spec.foo"
        assert ask("GET", f"{CORE}/pods?fieldSelector=spec.foo=b") == failure(400, "BadRequest", told)

    def test_what_is_left_out_is_added(self, ask: Asker, tiny: Callable[[str], str]) -> None:
        spec = ask.pod(tiny("silent"))["spec"]
        assert spec["serviceAccountName"] == "default"
        assert (spec["securityContext"], spec["enableServiceLinks"]) == ({}, True)
        assert spec["containers"][0]["imagePullPolicy"] == "IfNotPresent"
        service = ask.make("services", spec={"type": "NodePort", "ports": [{"port": 8888}]})
        (port,) = service["spec"]["ports"]
        assert (port["protocol"], port["targetPort"]) == ("TCP", 8888)
        assert 30000 <= port["nodePort"] < 32768
        assert service["spec"]["clusterIP"]
        secret = ask.make("secrets", stringData={"a": "b"})
        assert (secret["type"], secret["data"]) == ("Opaque", {"a": "Yg=="})
        assert "stringData" not in secret
        status, policy = ask("POST", POLICIES, {"metadata": ask.metadata(), "spec": {"podSelector": {}}})
        assert (status, policy["spec"]["policyTypes"]) == (201, ["Ingress"])

    def test_lists_are_narrowed_and_cut(self, ask: Asker) -> None:
        (label,) = (f"{key}={value}" for key, value in ask.labels.items())
        names = [f"{ask.name}-{n}" for n in range(3)]
        for name in names:
            ask("POST", f"{CORE}/secrets", {"metadata": {"name": name, "labels": ask.labels}})
        _, whole = ask("GET", f"{CORE}/secrets?labelSelector={label}")
        assert [item["metadata"]["name"] for item in whole["items"]] == names
        assert not {"kind", "apiVersion"} & set(whole["items"][0])
        _, part = ask("GET", f"{CORE}/secrets?labelSelector={label}&limit=2")
        assert len(part["items"]) == 2
        _, rest = ask("GET", f"{CORE}/secrets?labelSelector={label}&limit=2&continue={part['metadata']['continue']}")
        assert [item["metadata"]["name"] for item in rest["items"]] == names[2:]
        _, others = ask("GET", f"{CORE}/secrets?labelSelector={label.replace('=', '!=')}")
        assert not {item["metadata"]["name"] for item in others["items"]} & set(names)

    def test_a_pods_life_is_watched(self, ask: Asker, tiny: Callable[[str], str]) -> None:
        made = ask.pod(tiny("crash"))
        wait_until(lambda: ask.look()["status"]["phase"] == "Failed")
        status, _ = ask("DELETE", f"{CORE}/pods/{ask.name}")
        assert status == 200
        before = str(int(made["metadata"]["resourceVersion"]) - 1)
        events = ask.watch(before)
        assert [event["type"] for event in (events[0], events[-1])] == ["ADDED", "DELETED"]
        assert {event["type"] for event in events[1:-1]} == {"MODIFIED"}
        versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
        assert versions == sorted(set(versions))
        phases = [event["object"]["status"]["phase"] for event in events]
        # a kubelet may miss how short a life was
        assert [p for n, p in enumerate(phases) if p != "Running" and p not in phases[:n]] == ["Pending", "Failed"]
        ended = events[-2]["object"]["status"]["containerStatuses"][0]
        assert ended["state"]["terminated"].items() >= {"exitCode": 3, "reason": "Error"}.items()
        assert (ended["ready"], ended["restartCount"], bool(ended["imageID"])) == (False, 0, True)
        assert ask.watch(events[-2]["object"]["metadata"]["resourceVersion"]) == events[-1:]

    def test_a_pod_that_is_held_stays_when_its_process_has_ended(
        self, ask: Asker, tiny: Callable[[str], str], end_codes: frozenset[int]
    ) -> None:
        ask.pod(tiny("silent"))
        wait_until(lambda: "running" in ask.state())
        place, hold = f"{CORE}/pods/{ask.name}", "calipso.test/hold"
        for change, field in (
            ({"spec": {"restartPolicy": "Always"}}, "spec"),
            ({"metadata": {"finalizers": ["held"]}}, "metadata.finalizers[0]"),
        ):
            status, answer = ask("PATCH", place, change, kind=MERGE)
            assert (status, answer["details"]["causes"][0]["field"]) == (422, field)
        status, held = ask("PATCH", place, {"metadata": {"finalizers": [hold]}}, kind=MERGE)
        assert (status, held["metadata"]["finalizers"]) == (200, [hold])
        ask("DELETE", place, {"gracePeriodSeconds": 2})
        # the node takes longer to tidy up, and tells so
        wait_until(lambda: ask.look()["metadata"]["deletionGracePeriodSeconds"] == 0, seconds=40)
        assert "running" not in ask.state()
        assert ask.state().get("terminated", {"exitCode": 137})["exitCode"] in end_codes
        told = ask("PATCH", place, {"metadata": {"finalizers": ["calipso.test/late"]}}, kind=MERGE)
        assert (told[0], told[1]["details"]["causes"][0]["field"]) == (422, "metadata.finalizers")
        assert ask("PATCH", place, {"metadata": {"$deleteFromPrimitiveList/finalizers": [hold]}}, kind=MERGE)[0] == 200
        assert ask("GET", place)[0] == 404

    def test_a_running_pod_has_its_grace(self, ask: Asker, tiny: Callable[[str], str]) -> None:
        ask.pod(tiny("stubborn"))
        wait_until(lambda: "running" in ask.state())
        status, going = ask("DELETE", f"{CORE}/pods/{ask.name}", {"gracePeriodSeconds": 2})
        assert (status, going["kind"], going["metadata"]["deletionGracePeriodSeconds"]) == (200, "Pod", 2)
        assert ask.look()["metadata"]["deletionTimestamp"] == going["metadata"]["deletionTimestamp"]
        wait_until(lambda: ask("GET", f"{CORE}/pods/{ask.name}")[0] == 404, seconds=40)

    def test_owned_things_go_or_are_let_go(self, ask: Asker, tiny: Callable[[str], str]) -> None:
        for policy, is_left in (("Background", False), ("Orphan", True)):
            pod = ask.pod(tiny("silent"))
            owner = {"apiVersion": "v1", "kind": "Pod", "name": ask.name, "uid": pod["metadata"]["uid"]}
            ask("POST", f"{CORE}/secrets", {"metadata": {**ask.metadata(), "ownerReferences": [owner]}})
            ask("DELETE", f"{CORE}/pods/{ask.name}", {"gracePeriodSeconds": 0, "propagationPolicy": policy})
            wait_until(lambda: ask("GET", f"{CORE}/pods/{ask.name}")[0] == 404)

            def is_decided(is_left: bool = is_left) -> bool:
                status, secret = ask("GET", f"{CORE}/secrets/{ask.name}")
                return "ownerReferences" not in secret["metadata"] if is_left else status == 404

            wait_until(is_decided, seconds=60)

    def test_images_that_do_not_come_are_told(self, ask: Asker) -> None:
        ask.pod("missing.invalid/none:1")

        def reason() -> str:
            return str(ask.state().get("waiting", {}).get("reason"))

        wait_until(lambda: reason() == "ErrImagePull")
        wait_until(lambda: reason() == "ImagePullBackOff", seconds=30)
        assert ask.state()["waiting"]["message"] == 'Back-off pulling image "missing.invalid/none:1"'
        status, answer = ask("GET", f"{CORE}/pods/{ask.name}/log")
        assert (status, answer["reason"]) == (400, "BadRequest")
        assert f'container "main" in pod "{ask.name}" is waiting to start: ' in answer["message"]

    def test_folders_and_secrets_that_are_not_there_are_told(self, ask: Asker, tiny: Callable[[str], str]) -> None:
        sources = (
            (
                {"hostPath": {"path": "/nonono", "type": "Directory"}},
                "hostPath type check failed: /nonono is not a directory",
            ),
            ({"secret": {"secretName": "nonono"}}, 'secret "nonono" not found'),
        )
        for source, why in sources:
            mount = {"name": "main", "image": tiny("silent"), "volumeMounts": [{"name": "d", "mountPath": "/d"}]}
            pod = ask.make("pods", spec={"containers": [mount], "volumes": [{"name": "d", **source}]})
            query = f"fieldSelector=involvedObject.uid={pod['metadata']['uid']},type=Warning"

            warning = f'FailedMount: MountVolume.SetUp failed for volume "d" : {why}'

            def is_told(query: str = query, warning: str = warning) -> bool:
                events = ask("GET", f"{CORE}/events?{query}")[1]["items"]
                return warning in [f"{event['reason']}: {event['message']}" for event in events]

            wait_until(is_told)
            assert ask.state() == {"waiting": {"reason": "ContainerCreating"}}
            ask("DELETE", f"{CORE}/pods/{ask.name}", {"gracePeriodSeconds": 0})
