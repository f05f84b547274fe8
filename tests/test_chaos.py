"""The whole thing, hurt at random: every guarantee holds, and everything comes to an end afterwards."""

from __future__ import annotations

import random
from pathlib import Path

import chaos
import pytest

# What a minute of faults must have exercised, or the chaos was too tame to mean anything.
EXERCISED = {
    "one-holder": 20, "no-stale-write": 100, "one-execution-per-slot": 100, "nothing-lost": 200, "effect-once": 20,
    "bounded-recovery": 10, "lease-loss-is-told": 1, "history-complete": 200, "legal-transitions": 500,
    "one-leader-per-epoch": 20, "pool-respected": 100,
}  # fmt: skip


async def test_real_processes_keep_every_guarantee_under_random_faults(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    seconds = request.config.getoption("--chaos-seconds")
    seed = request.config.getoption("--chaos-seed")
    seed = random.SystemRandom().randrange(1 << 32) if seed is None else seed
    again = f"python -m tests.chaos --seconds {seconds:g} --seed {seed}"
    recording, left = await chaos.run(seconds, seed)
    kept = tmp_path / "chaos.json.gz"
    recording.save(kept)
    report = recording.check()
    where = f"seed {seed}, recording {kept}, again with: {again}\n{report}"
    assert report.ok, where + "\n".join(v.sentence for v in report.violations[:10])
    assert not left, f"still waiting long after the last fault: {left}; {where}"
    if seconds >= 60:
        tame = {g: report[g].tested for g, least in EXERCISED.items() if report[g].tested < least}
        assert not tame, f"hardly exercised: {tame}; {where}"
