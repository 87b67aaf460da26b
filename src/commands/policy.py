"""The facility's rules as one value, so that decisions depend on nothing but their arguments."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from calipso.events.values import Limits, Runtime, Volume


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What the facility set.

    `limits` hold for users without a quota of their own; `targets` are the names of the targets of each runtime;
    `datasets_root` and `output_root` are the folders below which session volumes lie, read-only and writable; `uid`,
    `gid` and `groups` are the numeric account of containers for which nothing else names one; `run_limit` is the time
    from a request until its container must be usable, `stop_limit` that from the wish for an end until it is forced;
    `key_number` is the master key for new containers.

    Where the experiment names no uid (gid), containers have that of their user, unless `uses_user_uid`
    (`uses_user_gid`) is false. `home` is the home folder of users, with `$USERNAME` for the name, and empty when
    containers do not see it; `other_volumes` are mounted in every container.
    """

    limits: Limits
    targets: Mapping[Runtime, tuple[str, ...]]
    datasets_root: str
    output_root: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    run_limit: timedelta
    key_number: int
    uses_user_uid: bool = True
    uses_user_gid: bool = True
    home: str = ""
    other_volumes: tuple[Volume, ...] = ()
    stop_limit: timedelta = timedelta(minutes=2)
