"""sibson/redbeat#163: the lock was taken on a primary that died before its replica had heard of it.

No lock on one server survives this. labsched does not claim to: its check reports a history reset, every dispatch
carries an epoch that the new server has never given, and effects are fenced.
"""

from __future__ import annotations

from .redbeat_127 import program
from .stage import Exhibit

REDBEAT_163 = Exhibit(
    id="redbeat-163",
    thread="sibson/redbeat#163",
    flaw="a beat goes on although the lock that it took is gone; PEXPIRE on a missing key is no error",
    fault="failover to a replica that lags by 0.5 s, 0.3 s after the lock was taken",
    guarantee="one-execution-per-slot",
    program=program,
    faults=lambda sim: sim.at(0.3).failover("500ms"),
)
