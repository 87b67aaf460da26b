"""What a cluster says of a pod, as observations."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from calipso.events.values import FailureReason
from calipso.runtimes.protocol import Observation, Status

# the kubelet's words for what will not mend itself
_HOPELESS = {
    "ErrImageNeverPull": FailureReason.IMAGE_MISSING,
    "ImagePullBackOff": FailureReason.IMAGE_MISSING,
    "ErrImagePull": FailureReason.IMAGE_MISSING,
    "InvalidImageName": FailureReason.IMAGE_MISSING,
    "CreateContainerConfigError": FailureReason.REJECTED,
    "CreateContainerError": FailureReason.REJECTED,
    "RunContainerError": FailureReason.REJECTED,
}
_KILLED = 137
_HARMLESS = "MissingClusterDNS"
_NO_FOLDER = "hostPath type check failed"
_OVER_PHASES = frozenset({"Succeeded", "Failed"})
_NOT_BEGUN = frozenset({"ContainerCreating", "PodInitializing"})
_VOLUME = re.compile(r"\bdata-\d+\b")


def observed(pod: Mapping[str, Any], container_id: UUID, *, host: str, port: int) -> Observation:
    """The observation in a pod.

    Args:
        pod: as the cluster's interface gives it.
        container_id: whose it is.
        host: where its service is reached.
        port: the port there, 0 while there is none.
    """
    status, container = pod.get("status") or {}, _container(pod, "containerStatuses")
    own = container.get("state") or {}
    # before its process begins, a pod is what becomes of its folders
    state = _preparing(pod) or own
    now = Status.EXITED if _is_let_go(pod) else _status(pod, own, state)
    has_no_folder = state is not own and "terminated" in state and not is_going(pod)
    waiting = (state.get("waiting") or {}).get("reason", "") if now is Status.CREATED else ""
    return Observation(
        container_id=container_id,
        runtime_id=pod["metadata"]["uid"],
        name=pod["metadata"]["name"],
        status=now,
        host=host,
        port=0 if now is Status.EXITED else port,
        image_digest=container.get("imageID") or "",
        exit_code=_exit_code(state) if now is Status.EXITED else None,
        detail=_last_line(state["terminated"]) if has_no_folder else _with_folders(_detail(status, state), pod),
        failure=FailureReason.REJECTED if has_no_folder else _HOPELESS.get(waiting),
    )


def is_held_up(seen: Observation) -> bool:
    """Whether a pod has not begun, and does not say why."""
    return seen.status is Status.CREATED and not seen.detail


def with_warning(seen: Observation, pod: Mapping[str, Any], warnings: Sequence[str]) -> Observation:
    """The observation with the last of the cluster's warnings about its pod, if there is one that matters."""
    told = [text[:1000] for text in warnings if not text.startswith(_HARMLESS)]
    if not told:
        return seen
    failure = FailureReason.REJECTED if _NO_FOLDER in told[-1] else None
    return replace(seen, detail=_with_folders(told[-1], pod), failure=failure)


def has_ended(pod: Mapping[str, Any]) -> bool:
    """Whether the pod's process has ended, or the pod is going."""
    return is_going(pod) or _counts_as_over(pod)


def is_going(pod: Mapping[str, Any]) -> bool:
    """Whether the pod was deleted, and is there only until its process has ended and nobody holds it."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def _counts_as_over(pod: Mapping[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") in _OVER_PHASES


def _is_let_go(pod: Mapping[str, Any]) -> bool:
    """Whether the pod would not be there any more, if it were not held: its node has done with it, or it had none."""
    return is_going(pod) and not pod["metadata"].get("deletionGracePeriodSeconds")


def _container(pod: Mapping[str, Any], which: str) -> Mapping[str, Any]:
    statuses = (pod.get("status") or {}).get(which) or [{}]
    found: Mapping[str, Any] = statuses[0]
    return found


def _preparing(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state of what makes a pod's folders; nothing when it has done so, or has nothing to do."""
    state: Mapping[str, Any] = _container(pod, "initContainerStatuses").get("state") or {}
    return {} if (state.get("terminated") or {}).get("exitCode") == 0 else state


def _status(pod: Mapping[str, Any], own: Mapping[str, Any], state: Mapping[str, Any]) -> Status:
    # a pod counts as failed as soon as it is to be ended, while its process may still run
    if own.get("running"):
        return Status.RUNNING
    will_not_begin = is_going(pod) and not state.get("running")
    has_ended = _counts_as_over(pod) or bool(state.get("terminated")) or will_not_begin
    return Status.EXITED if has_ended else Status.CREATED


def _exit_code(state: Mapping[str, Any]) -> int:
    terminated = state.get("terminated") or {}
    return int(terminated.get("exitCode", _KILLED))


def _detail(status: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """Why the pod is as it is, in the cluster's own words."""
    terminated, waiting = state.get("terminated") or {}, state.get("waiting") or {}
    if terminated.get("reason") == "OOMKilled":
        return "out of memory"
    if status.get("reason"):
        return _told(status)
    unscheduled = [
        condition
        for condition in status.get("conditions") or ()
        if condition["type"] == "PodScheduled" and condition["status"] == "False"
    ]
    if unscheduled:
        return _told(unscheduled[0])
    return _told(waiting) if waiting.get("reason") not in _NOT_BEGUN else ""


def _told(words: Mapping[str, Any]) -> str:
    return ": ".join(text for text in (words.get("reason"), words.get("message")) if text)[:1000]


def _last_line(words: Mapping[str, Any]) -> str:
    """What a program said last, or what the cluster says of it."""
    lines = str(words.get("message") or "").splitlines()
    return lines[-1][:1000] if lines else _told(words)


def _with_folders(told: str, pod: Mapping[str, Any]) -> str:
    """The cluster's words, with the folders of the volumes that they name."""
    if not _VOLUME.search(told):
        return told
    folders = _folders(pod)
    return _VOLUME.sub(lambda found: f"{found[0]} ({', '.join(folders.get(found[0], ()))})", told)


def _folders(pod: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
    """The folders of a pod, by the name of the volume in which they are."""
    tops = {volume["name"]: _top(volume) for volume in pod["spec"].get("volumes") or ()}
    found: dict[str, list[str]] = {}
    for mount in pod["spec"]["containers"][0].get("volumeMounts") or ():
        found.setdefault(mount["name"], []).append("/".join(filter(None, (tops[mount["name"]], mount.get("subPath")))))
    return found


def _top(volume: Mapping[str, Any]) -> str:
    if claim := volume.get("persistentVolumeClaim"):
        return str(claim["claimName"])
    if share := volume.get("nfs"):
        return f"{share['server']}:{share['path']}"
    return str((volume.get("hostPath") or {}).get("path", ""))
