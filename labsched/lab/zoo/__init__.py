"""The zoo: algorithms that failed in public, each broken again by the fault that broke it, beside labsched under the
same one.

Small re-implementations of what the threads describe, in words of our own. A file holds one, so that a notebook can
open it. `stage.py` is what they stand on.

    from labsched.lab import zoo
    for exhibit in zoo.EXHIBITS: print(zoo.show(exhibit))
"""

from __future__ import annotations

from .celery_6236 import CELERY_6236
from .celerybeatredis_11 import CELERYBEATREDIS_11
from .redbeat_127 import REDBEAT_127
from .redbeat_163 import REDBEAT_163
from .redbeat_208 import REDBEAT_208
from .redisbeat_51 import REDISBEAT_51
from .rq_2338 import RQ_2338
from .shedlock_2201 import SHEDLOCK_2201
from .stage import Exhibit, show

__all__ = ["EXHIBITS", "Exhibit", "show"]

EXHIBITS: tuple[Exhibit, ...] = (
    REDBEAT_127,
    REDBEAT_163,
    REDBEAT_208,
    REDISBEAT_51,
    CELERYBEATREDIS_11,
    RQ_2338,
    SHEDLOCK_2201,
    CELERY_6236,
)
