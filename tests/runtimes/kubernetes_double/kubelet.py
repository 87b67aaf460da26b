"""One pod on the node, from its folders to its end, told of as a kubelet does."""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import uuid4

from tests.runtimes.kubernetes_double import mounts, telling
from tests.runtimes.kubernetes_double.resources import PODS
from tests.runtimes.kubernetes_double.status import Json
from tests.runtimes.kubernetes_double.store import Store, going, now
from tests.runtimes.kubernetes_double.tiny import Process, images

_RETRY_SECONDS = 0.1
_KNOWN = images()


@dataclass(kw_only=True)
class Node:
    """What the pods of the node share."""

    store: Store
    look: Callable[[], None] = lambda: None
    processes: dict[str, Process] = field(default_factory=dict)
    logs: dict[str, list[str]] = field(default_factory=dict)


class Pod:
    """A pod that the scheduler has given to the node."""

    def __init__(self, node: Node, pod: Json) -> None:
        self._node = node
        self._pod = pod
        self._uid = pod["metadata"]["uid"]
        self._container_id = f"containerd://{uuid4().hex * 2}"
        self._begun = now()
        self._process: Process | None = None
        self._preparing: asyncio.subprocess.Process | None = None
        self._is_going = False
        self._timers: list[asyncio.TimerHandle] = []
        self._main = asyncio.create_task(self._live())
        self._main.add_done_callback(raise_failure)

    def hear(self, pod: Json) -> None:
        """Do what somebody has asked of the pod."""
        metadata = pod["metadata"]
        if metadata.get("deletionTimestamp"):
            self._is_going = True
            self._stop(metadata["deletionGracePeriodSeconds"])
        self._pod = pod

    def vanish(self) -> None:
        """End at once: the pod is not there any more."""
        for timer in self._timers:
            timer.cancel()
        if self._process is not None:
            self._process.kill()
        self._main.cancel()
        self._end_preparing()
        self._gone()

    async def _live(self) -> None:
        reason = "PodInitializing" if self._pod["spec"].get("initContainers") else "ContainerCreating"
        self._tell_waiting({"reason": reason}, startTime=self._begun, hostIP="127.0.0.1")
        while why := mounts.hindrance(self._node.store, self._pod):
            telling.warn(self._node.store, self._pod, "FailedMount", why)
            await asyncio.sleep(_RETRY_SECONDS)
        if not await self._prepare():
            return
        (container,) = self._pod["spec"]["containers"]
        if why := mounts.subpath_hindrance(self._pod):
            self._tell_waiting({"reason": "CreateContainerConfigError", "message": why})
        elif await self._has_image(container, self._tell_waiting):
            await self._run()

    async def _prepare(self) -> bool:
        """Run what is to run before; whether that went well."""
        for container in self._pod["spec"].get("initContainers") or ():
            if not await self._has_image(container, self._tell_preparing):
                return False
            begun = now()
            self._tell_preparing_state({"running": {"startedAt": begun}})
            code, said = await self._execute(container)
            state = telling.ended(code, begun, self._container_id)
            if code:
                state["terminated"]["message"] = said
                self._tell_preparing_state(state, phase="Failed")
                return False
            self._tell_preparing_state(state)
        return True

    async def _execute(self, container: Json) -> tuple[int, str]:
        """Run a command of a pod on this host, where its folders are at the places where it has them mounted."""
        paths = {
            volume["name"]: volume["hostPath"]["path"]
            for volume in self._pod["spec"]["volumes"]
            if "hostPath" in volume
        }
        assert all(paths[mount["name"]] == mount["mountPath"] for mount in container["volumeMounts"])
        context = self._pod["spec"]["securityContext"]
        account = {
            "user": context["runAsUser"],
            "group": context["runAsGroup"],
            "extra_groups": context["supplementalGroups"],
        }
        process = await asyncio.create_subprocess_exec(
            *container["command"],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
            **(account if os.geteuid() == 0 else {}),
        )
        self._preparing = process
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode()

    async def _has_image(self, container: Json, tell_waiting: Callable[[Json], None]) -> bool:
        image = container["image"]
        if image in _KNOWN:
            return True
        if container["imagePullPolicy"] == "Never":
            why = f'Container image "{image}" is not present with pull policy of Never'
            tell_waiting({"reason": "ErrImageNeverPull", "message": why})
            return False
        why = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": no such host'
        tell_waiting({"reason": "ErrImagePull", "message": f"rpc error: code = Unknown desc = {why}"})
        telling.warn(self._node.store, self._pod, "Failed", f'Failed to pull image "{image}": {why}')
        await asyncio.sleep(_RETRY_SECONDS)
        tell_waiting({"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{image}"'})
        return False

    async def _run(self) -> None:
        (container,) = self._pod["spec"]["containers"]
        files = mounts.files(self._node.store, self._pod)
        self._process = Process(_KNOWN[container["image"]], self._account(), files, self._node.look)
        self._node.processes[self._uid] = self._process
        self._node.logs[self._uid] = self._process.lines
        begun = now()
        statuses = telling.containers(self._pod, {"running": {"startedAt": begun}}, self._container_id)
        self._tell(phase="Running", conditions=telling.conditions(ready=True), containerStatuses=statuses)
        code = await self._process.ended()
        self._gone()
        self._tell_ended(telling.ended(code, begun, self._container_id), has_failed=bool(code))
        self._leave()

    def _stop(self, seconds: float) -> None:
        if self._process is None or self._main.done():
            self._main.cancel()
            self._end_preparing()
            self._leave()
            return
        self._process.terminate()
        self._later(seconds, self._force)

    def _end_preparing(self) -> None:
        if self._preparing is not None and self._preparing.returncode is None:
            os.killpg(self._preparing.pid, signal.SIGKILL)

    def _force(self) -> None:
        if self._process is not None and self._process.is_running():
            self._process.kill()

    def _leave(self) -> None:
        """Take the pod away, now that nothing of it runs, if that was asked for."""
        metadata = self._pod["metadata"]
        found = self._node.store.find(PODS, metadata["namespace"], metadata["name"])
        if self._is_going and found is not None and found["metadata"]["uid"] == self._uid:
            self._node.store.settle(PODS, metadata["namespace"], going(found, 0))

    def _gone(self) -> None:
        self._node.processes.pop(self._uid, None)
        self._node.look()

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(max(0.0, seconds), what))

    def _tell_waiting(self, waiting: Json, **others: str) -> None:
        statuses = telling.containers(self._pod, {"waiting": waiting})
        self._tell(conditions=telling.conditions(ready=False), containerStatuses=statuses, **others)

    def _tell_preparing(self, waiting: Json) -> None:
        self._tell_preparing_state({"waiting": waiting})

    def _tell_preparing_state(self, state: Json, **others: str) -> None:
        (container,) = self._pod["spec"]["initContainers"]
        initializing = telling.containers(self._pod, {"waiting": {"reason": "PodInitializing"}})
        told = [{**initializing[0], "name": container["name"], "image": container["image"], "state": state}]
        conditions = telling.conditions(ready=False)
        self._tell(conditions=conditions, initContainerStatuses=told, containerStatuses=initializing, **others)

    def _tell_ended(self, state: Json, *, has_failed: bool) -> None:
        self._tell(
            phase="Failed" if has_failed else "Succeeded",
            conditions=telling.conditions(ready=False, completed=not has_failed),
            containerStatuses=telling.containers(self._pod, state, self._container_id),
        )

    def _tell(self, **status: object) -> None:
        telling.tell(self._node.store, self._pod, **status)

    def _account(self) -> str:
        context = self._pod["spec"]["securityContext"]
        user, group = context.get("runAsUser", 0), context.get("runAsGroup", 0)
        return f"{user}:{group}, groups {' '.join(map(str, [group, *context.get('supplementalGroups', [])]))}"


def raise_failure(task: asyncio.Task[None]) -> None:
    """Let the loop hear of a task that failed."""
    if not task.cancelled():
        task.result()
