"""Which folders of a target a container sees, and where. Paths are checked here as text, on the target as they are."""

from posixpath import normpath

from calipso.commands.policy import Policy
from calipso.errors import Invalid
from calipso.events.experiment import SessionDetails
from calipso.events.values import Mode, Volume

USERNAME = "$USERNAME"
HOME_BIND = "/tmp/user/home"  # noqa: S108 - where images of the CalipsoPlus backend look for it


def is_below(path: str, root: str) -> bool:
    """Whether an absolute path lies below a root, read as text."""
    above = normpath(root).rstrip("/") + "/"
    return path.startswith("/") and normpath(path).startswith(above) and normpath(path) != above


def check_volume(volume: Volume, policy: Policy) -> None:
    """Refuse a session's volume that leaves the roots of the facility.

    Raises:
        Invalid: the folder or the place in the container is not where session data may be.
    """
    if ".." in volume.source.split("/") or ".." in volume.bind.split("/"):
        raise Invalid("data_set_path", f"{volume.source}: '..' is not allowed")
    roots = [policy.output_root] if volume.mode is Mode.READ_WRITE else [policy.datasets_root, policy.output_root]
    if not any(is_below(volume.source, root) for root in roots):
        raise Invalid("data_set_path", f"{volume.source} ({volume.mode}) must lie below {' or '.join(roots)}")
    if volume.mode is Mode.READ_WRITE and overlaps(volume.source, policy.datasets_root):
        raise Invalid("data_set_path", f"{volume.source}: data sets may not be writable")
    if not volume.bind.strip("/."):
        raise Invalid("data_set_path", f"{volume.source}: bind must be a folder such as /p1")


def session_volumes(session: SessionDetails, policy: Policy) -> tuple[Volume, ...]:
    """The volumes of a session as its containers see them: each below the root that its mode belongs to.

    Raises:
        Invalid: a volume leaves the roots of the facility.
    """
    for volume in session.volumes:
        check_volume(volume, policy)
    return tuple(
        Volume(source=normpath(v.source), bind=_below_root(v.bind, _root_of(v.mode, policy)), mode=v.mode)
        for v in session.volumes
    )


def own_volumes(user_name: str, policy: Policy) -> tuple[Volume, ...]:
    """The folders of a user's own that a container without a session sees."""
    output, data = f"{policy.output_root}/{user_name}", f"{policy.datasets_root}/{user_name}"
    return (
        Volume(source=output, bind=output, mode=Mode.READ_WRITE),
        Volume(source=data, bind=data, mode=Mode.READ_ONLY),
    )


def common_volumes(user_name: str, policy: Policy) -> tuple[Volume, ...]:
    """The folders that every container of a user sees besides: the home folder, and those of the facility."""
    home = Volume(source=policy.home.replace(USERNAME, user_name), bind=HOME_BIND, mode=Mode.READ_WRITE)
    return (*((home,) if policy.home else ()), *policy.other_volumes)


def working_folder(volumes: tuple[Volume, ...]) -> str:
    """Where a container's process begins: the first folder that it may write, none if there is none."""
    return next((volume.bind for volume in volumes if volume.mode is Mode.READ_WRITE), "")


def overlaps(path: str, root: str) -> bool:
    """Whether one of two absolute paths is the other or lies below it, read as text."""
    return normpath(path) == normpath(root) or is_below(path, root) or is_below(root, path)


def _root_of(mode: Mode, policy: Policy) -> str:
    return policy.output_root if mode is Mode.READ_WRITE else policy.datasets_root


def _below_root(bind: str, root: str) -> str:
    return normpath(f"{root}/{bind}")
