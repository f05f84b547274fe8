"""Two hundred swarms hold every guarantee. In a file of its own, so that another process of the suite may run it.

`labsched sim swarm --seeds 1000` runs more of them, twice as long each.
"""

from __future__ import annotations

import pytest
from mutation import HEALTHY, UNTIL

from labsched.worlds import sweep
from labsched.worlds.checks import GUARANTEES
from labsched.worlds.swarm import swarm


@pytest.mark.parametrize("first", [0, 50, 100, 150])
def test_fifty_swarms_hold_every_guarantee_and_exercise_each(first):
    # In this process: the suite has given each processor its work already.
    result = sweep(lambda seed: swarm(seed, until=UNTIL, healthy=HEALTHY), range(first, first + 50), jobs=1)
    assert result.ok, str(result)
    assert set(result.guarantees.index[result.guarantees.tested > 0]) == set(GUARANTEES), result.guarantees
