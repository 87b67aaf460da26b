"""What users were told, which must be true."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Told:
    """What users were told.

    `operations` counts what they asked for, with the answers; `in_hand` the requests that are not answered yet;
    `started` are the containers that they may use, `stopped` and `removed` those of which an end was acknowledged.
    """

    operations: Counter[str] = field(default_factory=Counter)
    in_hand: int = 0
    started: set[str] = field(default_factory=set)
    stopped: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
