"""Exercises of notebook 08: a worker that loses no job, and a reader that resumes without a gap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labsched.worlds.explorer import Exploration, Outcome, explore, play
from labsched.worlds.simulated.errors import Spinning

from .grading import Verdict
from .guests import Learner, Misuse
from .locking import Each, judged, refuse
from .n08_world import LAST_BIT, Day, Death, Job, day

LEASE = 4.0  # seconds without a sign of life after which a worker counts as dead
AGAIN = 8.0  # seconds after a death within which its job has to be in other hands
_SAME = 0.05  # seconds between the end of the work and a death that hides it: nobody can know
_DONE = (
    0.00035  # seconds after it was sent, the server has done a command, and its sender has hardly heard of it
)


def grade_worker(answer: Any) -> Verdict:
    """`await worker(machine, work)`: healthy, alone, and with a death at each of a's commands."""
    learner = Learner(answer)
    try:
        for told in _days(learner):
            verdict = _of_day(told)
            if verdict is not None:
                return verdict
    except Misuse as misuse:
        return Verdict(False, str(misuse))
    except Spinning:
        return Verdict(False, "your code runs on and on without letting time pass")
    return Verdict(True, "no job lost and none doubled, whenever a worker died")


def _days(learner: Learner) -> Iterator[Day]:
    few = [Job(1.0, 3.0), Job(1.5, 1.0), Job(6.0, 1.0)]
    options: Any = {"go": learner.run}
    yield day(
        "two workers, one job of 11 s",
        learner.copy,
        [Job(1, 1), Job(2, 11), Job(2.5, 1)],
        until=19,
        **options,
    )
    quiet = day("two workers", learner.copy, few, until=9, **options)
    yield quiet
    for moment in _moments(quiet):
        yield day("one of two workers dies", learner.copy, few, [Death("a", moment)], until=22, **options)
    options["names"] = ("a",)
    yield day("the only worker comes back", learner.copy, few, [Death("a", 2.0, 3.0)], until=22, **options)


def _moments(quiet: Day) -> list[float]:
    """After each command of a's, while the reply is on its way; in the middle of its work, and at its end."""
    sent = [at for at, who, _ in quiet.requests if who == "a" and at > 0.9]
    after = [at + _DONE for at in sent[:: max(1, len(sent) // 7)]]
    work = next((delivery for delivery in quiet.deliveries if delivery.who == "a" and delivery.end), None)
    if work is None or work.end is None:
        return after[:8]
    return sorted([*after[:8], (work.start + work.end) / 2, work.end + LAST_BIT / 2])


def _of_day(told: Day) -> Verdict | None:
    from ..pictures.deliveries import deliveries

    def refused(sentence: str, guarantee: str) -> Verdict:
        return Verdict(False, f"{_situation(told)}: {sentence}", guarantee, deliveries([told]))

    if told.restless:
        return refused(f"{told.restless} asks the server more than 100 times a second", "within-budget")
    if told.lost:
        job = told.lost[0]
        begun = [d for d in told.deliveries if d.job == job]
        what = (
            f"begun by {begun[-1].who} at {begun[-1].start:.1f} s, never finished" if begun else "never begun"
        )
        return refused(f"job {job} was {what}", "nothing-lost")
    hidden = {
        d.job for d in told.deliveries if d.end is not None and any(
            death.who == d.who and 0 <= death.at - d.end < _SAME for death in told.deaths
        )
    }  # fmt: skip
    for job in told.doubled:
        if job not in hidden:
            first, second = [d for d in told.deliveries if d.job == job][:2]
            sentence = f"{first.who} worked on job {job} from {first.start:.1f} s on"
            return refused(
                f"{sentence}, and {second.who} began it again at {second.start:.1f} s", "effect-once"
            )
    for death in told.deaths:
        for delivery in told.deliveries:
            late = _later(told, delivery) - death.at
            if (
                delivery.who == death.who
                and delivery.end is None
                and told.died(delivery) == death.at
                and late > AGAIN
            ):
                return refused(
                    f"job {delivery.job} waited {late:.0f} s for another worker", "bounded-recovery"
                )
    return None


def _later(told: Day, delivery: Any) -> float:
    return min(
        (d.start for d in told.deliveries if d.job == delivery.job and d.start > delivery.start),
        default=told.until,
    )


def _situation(told: Day) -> str:
    if not told.deaths:
        return told.about
    death = told.deaths[0]
    back = f", back at {death.back:g} s" if death.back else ""
    return f"{told.about} (a killed at {death.at:.1f} s{back})"


IDS = [f"{number}-0" for number in range(1, 6)]


def _life(events: int, more: int) -> Any:
    """One life of a follower: the first finds `events` in the stream, later ones `more` besides."""

    async def use(catch_up: Any, client: Any, redis: Any) -> bool:
        first = client.number == 0
        ids = range(1, events + 1) if first else range(events + 1, events + more + 1)
        async with redis.pipeline(transaction=True) as pipe:
            for number in ids:
                pipe.xadd("events", {"n": number}, id=f"{number}-0")
            await pipe.execute()

        async def handle(id: Any, fields: Any) -> None:
            await redis.rpush("handled", id)

        await catch_up(redis, handle)
        return True

    return use


@judged
def grade_reader(answer: Any) -> str:
    """`await catch_up(redis, handle)`: every event, in order, through a death after each command."""
    program = Each(answer, _life(3, 2))
    calm = play(program, "", clients=1, invariant=_resumed)
    _refuse_gap(calm, "stopped and started again")
    explored: Exploration = explore(program, clients=1, crashes=True, invariant=_resumed, limit=400)
    if explored.shortest is not None:
        worst = explored.shortest
        dead = next((step.what for step in reversed(worst.steps) if step.who == "A" and step.reply), "")
        _refuse_gap(worst, f"died right after {dead}" if dead else "died")
    many = Each(answer, _life(120, 1))
    _refuse_gap(
        play(many, "", clients=1, invariant=lambda outcome: _judged(outcome, 121)), "120 events at once"
    )
    return f"{explored.total} lives and deaths, every event handled, at most one of them twice"


def _resumed(outcome: Outcome) -> str:
    return _judged(outcome, len(IDS))


def _judged(outcome: Outcome, count: int) -> str:
    """What the second life made of it: "" or guarantee and sentence."""
    outcome.newcomer  # noqa: B018 - to look is to let it live
    handled = outcome.ask("LRANGE", "handled", 0, -1)
    wanted = [f"{number}-0" for number in range(1, count + 1)]
    missing = [id for id in wanted if id not in handled]
    if missing:
        return f"nothing-lost: event {missing[0]} was never handled"
    firsts = list(dict.fromkeys(handled))
    if firsts != wanted:
        return f"in-order: {firsts[0] if firsts[0] != wanted[0] else firsts[1]} was handled before its turn"
    again = len(handled) - len(wanted)
    allowed = 1 if outcome.crashed else 0
    if again > allowed:
        return f"at-most-one-again: {again} events were handled again, allowed {'is one' if allowed else 'is none'}"
    return ""


def _refuse_gap(outcome: Outcome, when: str) -> None:
    if outcome.why:
        guarantee, _, sentence = outcome.why.partition(": ")
        refuse(guarantee, f"{when}: {sentence}")


GRADERS = {"08-worker": grade_worker, "08-reader": grade_reader}
