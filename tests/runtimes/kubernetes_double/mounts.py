"""What a node mounts into a pod, and why it may not be able to."""

from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path

from tests.runtimes.kubernetes_double.resources import SECRETS
from tests.runtimes.kubernetes_double.status import Json
from tests.runtimes.kubernetes_double.store import Store


def hindrance(store: Store, pod: Json) -> str:
    """Why a pod's volumes cannot be mounted now; nothing when they can."""
    for volume in pod["spec"].get("volumes") or ():
        if why := _hindrance(store, pod["metadata"]["namespace"], volume):
            return f'MountVolume.SetUp failed for volume "{volume["name"]}" : {why}'
    return ""


def subpath_hindrance(pod: Json) -> str:
    """Why a folder inside a volume of the host cannot be mounted; a missing one is made for root, as kubelets do."""
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
    for mount in pod["spec"]["containers"][0].get("volumeMounts") or ():
        host = volumes[mount["name"]].get("hostPath")
        if not host or not mount.get("subPath"):
            continue
        top, folder = Path(host["path"]), Path(host["path"]) / mount["subPath"]
        if not folder.resolve().is_relative_to(top.resolve()):
            return f'failed to prepare subPath for volumeMount "{mount["name"]}" of container "main"'
        folder.mkdir(parents=True, exist_ok=True)
    return ""


def files(store: Store, pod: Json) -> Mapping[str, bytes]:
    """The files of the secrets in a pod's container, by their path."""
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
    found: dict[str, bytes] = {}
    for mount in pod["spec"]["containers"][0].get("volumeMounts") or ():
        if secret := volumes[mount["name"]].get("secret"):
            held = _held(store.get(SECRETS, pod["metadata"]["namespace"], secret["secretName"]), secret)
            only = mount.get("subPath")
            found |= (
                {mount["mountPath"]: held[only]} if only else {f"{mount['mountPath']}/{k}": v for k, v in held.items()}
            )
    return found


def _held(secret: Json, wanted: Json) -> dict[str, bytes]:
    """What of a secret a volume holds, by the path inside it."""
    keys = {item["key"]: item["path"] for item in wanted.get("items") or ()} or {key: key for key in secret["data"]}
    return {path: b64decode(secret["data"][key]) for key, path in keys.items()}


def _hindrance(store: Store, namespace: str, volume: Json) -> str:
    if (folder := volume.get("hostPath")) and folder.get("type") == "Directory" and not Path(folder["path"]).is_dir():
        return f"hostPath type check failed: {folder['path']} is not a directory"
    if share := volume.get("nfs"):
        # no server is ever there
        return f"mount failed: exit status 32\nOutput: mount.nfs: Connection timed out for {share['server']}"
    if secret := volume.get("secret"):
        return _missing(store.find(SECRETS, namespace, secret["secretName"]), secret)
    return ""


def _missing(found: Json | None, wanted: Json) -> str:
    if found is None:
        return f'secret "{wanted["secretName"]}" not found'
    missing = [item["key"] for item in wanted.get("items") or () if item["key"] not in found["data"]]
    return f"references non-existent secret key: {missing[0]}" if missing else ""
