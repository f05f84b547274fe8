"""`python -m labsched.lab.stored.recordings`: a healthy hour, and every failure of the zoo, in `data/recordings/`.

Whole, with every message. The hour takes most of a minute to make.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from labsched.app import Scheduler
from labsched.lab import zoo
from labsched.samples import HANDLERS
from labsched.worlds import Recording, Simulation
from labsched.worlds.swarm_tasks import SAMPLES

FOLDER = Path(__file__).resolve().parents[3] / "data" / "recordings"
HOUR, SEED = 3600.0, 1


def healthy(until: float = HOUR) -> Recording:
    """The sample tasks on three instances, to which nothing happens."""
    app = Scheduler("fake")
    app.load_tasks(SAMPLES, HANDLERS)
    with Simulation(3, seed=SEED, app=app) as sim:
        return sim.run(until=until)


RECORDINGS: dict[str, Callable[[], Recording]] = {
    "healthy-hour": healthy,
    **{exhibit.id: partial(exhibit.run, SEED) for exhibit in zoo.EXHIBITS},
}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, make in RECORDINGS.items():
        rec, path = make(), FOLDER / f"{name}.json.gz"
        rec.save(path)
        print(f"{path.name}: {len(rec.history)} events, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
