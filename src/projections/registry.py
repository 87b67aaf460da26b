"""Which projections there are."""

from collections.abc import Sequence

from calipso.projections.audit import Audit
from calipso.projections.containers import Containers
from calipso.projections.experiments import Experiments
from calipso.projections.images import Images
from calipso.projections.quotas import Quotas
from calipso.projections.tables import ReadModel
from calipso.projections.users import Users

GUACAMOLE = "guacamole"


def read_models() -> Sequence[ReadModel]:
    """The projections that live beside the events; the one into Guacamole lives elsewhere."""
    return Users(), Images(), Experiments(), Quotas(), Containers(), Audit()
