"""Graders of notebook 09: the right keys, a coupon that attempts agree on, a charge that counts once.

The first two drive the body through every kill, every pause and every lost reply of its first attempt; the third is
explored in every order of two senders, deaths included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labsched import lab
from labsched.worlds import explore
from labsched.worlds.explorer import BadProgram, Outcome

from .answers import rebuilt
from .grading import Grader, Verdict
from .n09_steps import NOON, Body, Execution, Fault, Undriven, faults, run
from .n09_world import Post

# id, task, whether it is a slot's, people: one of each in which two executions are alike but for one thing
RUNS = (
    ("invoices@1763899200000", "invoices", True, ("ann", "bob")),
    ("invoices@1763985600000", "invoices", True, ("ann", "bob")),
    ("reminders~5f1e", "reminders", False, ("ann", "cem")),
    ("reminders~a702", "reminders", False, ("ann",)),
)
PEOPLE = {id: people for id, _, _, people in RUNS}
Judge = Callable[[list[Execution], Post], Verdict | None]


def key(answer: Any) -> Verdict:
    """`notify(ctx, mail, people)`: one letter for each person of each execution."""

    def body(ctx: Any, mail: Any, x: Execution) -> Any:
        return rebuilt(answer)(ctx, mail, PEOPLE[x.id])

    return _hurt_everywhere(body, _letters) or Verdict(
        True, "each of the seven letters arrived once, whatever was done to an attempt"
    )


def coupon(answer: Any) -> Verdict:
    """`coupon(ctx, mail, draw, to)`: one letter, and it says the code that is on record."""

    def body(ctx: Any, mail: Any, x: Execution) -> Any:
        def draw() -> str:
            x.draws += 1
            return f"{_mark(x)}-{x.draws}"

        return rebuilt(answer)(ctx, mail, draw, "ann")

    return _hurt_everywhere(body, _codes) or Verdict(
        True, "one letter for each execution, and it always says the code that is on record"
    )


def _hurt_everywhere(body: Body, judge: Judge) -> Verdict | None:
    """What goes wrong first: with no fault, then with each fault in each execution."""
    try:
        verdict, calls = _trial(body, judge, 0, None)
        for victim in range(len(RUNS)):
            for fault in faults(calls[victim]):
                if verdict is None:
                    verdict, _ = _trial(body, judge, victim, fault)
    except Undriven as error:
        return Verdict(False, str(error))
    return verdict


def _trial(body: Body, judge: Judge, victim: int, fault: Fault | None) -> tuple[Verdict | None, list[int]]:
    post, calls = Post(), []
    runs = [Execution(id, task, NOON if slot else None, post) for id, task, slot, _ in RUNS]
    for number, x in enumerate(runs):
        calls.append(run(body, x, fault if number == victim else None, 17 + 1000 * number))
    return judge(runs, post), calls


def _letters(runs: list[Execution], post: Post) -> Verdict | None:
    got = post.letters()
    told = _told(runs)
    for person in ("ann", "bob", "cem"):
        due = sum(people.count(person) for *_, people in RUNS)
        if got[person] < due:
            sentence = f"{person} was to get {_many(due)} and got {got[person]}: {told}"
            return Verdict(False, sentence, "nothing-lost")
        if got[person] > due:
            sentence = f"{person} was to get {_many(due)} and got {got[person]}: {told}, and the next one sent it again"
            return Verdict(False, sentence, "effect-once")
    return None


def _codes(runs: list[Execution], post: Post) -> Verdict | None:
    told, codes = _told(runs), [text for _, text in post.delivered]
    for x in runs:
        mine = [code for code in codes if code.startswith(_mark(x))]
        record = x.fenced.get("coupon")
        if not mine:
            return Verdict(False, f"{x.id} sent no letter with a code of its own: {told}", "nothing-lost")
        if len(mine) > 1:
            return Verdict(False, f"{x.id} sent {' and '.join(mine)}: {told}", "effect-once")
        if mine[0] != record:
            said = "nothing is" if record is None else f"{record} is"
            return Verdict(False, f"ann's letter says {mine[0]}, but {said} on record: {told}", "effect-once")
    return None


def _mark(x: Execution) -> str:
    """What the codes of one execution begin with."""
    return {id: f"C{number}" for number, (id, *_) in enumerate(RUNS, 1)}[x.id]


def _told(runs: list[Execution]) -> str:
    """What had been done, and why an execution failed for good."""
    hurt = next((f"of {x.id}, {x.told}" for x in runs if x.told), "nothing was hurt")
    failed = next((f"; in the end {x.id} failed with {x.error}" for x in runs if x.error), "")
    return hurt + failed


def _many(count: int) -> str:
    return "1 letter" if count == 1 else f"{count} letters"


# --- the receiver's side


TWICE, LOST = "too much was charged", "a charge is missing"
CHARGES = (("ann", "k-17", 30), ("b:17", "2026/11", 5))  # account, key, cents


def charge(answer: Any) -> Verdict:
    """`charge(redis, key, account, cents)`: a key counts once, two keys count twice."""
    for keys, (account, word, cents) in enumerate(CHARGES, 1):
        verdict = _explored(answer, account, word, cents, keys)
        if verdict is not None:
            return verdict
    return Verdict(
        True, "one key counts once and two count twice, in every order, also when one of the two dies"
    )


def _explored(answer: Any, account: str, word: str, cents: int, keys: int) -> Verdict | None:
    """Two senders, of the same charge or of two; then whoever may have been unsure sends his again."""
    due = cents * keys

    copies = [rebuilt(answer) for _ in range(3)]

    async def program(client: Any, redis: Any) -> None:
        await copies[client.number](redis, f"{word}{client.number % keys}", account, cents)

    def judge(outcome: Outcome) -> str:
        _ = outcome.newcomer  # an hour later the first key comes once more
        spent = int(outcome.ask("GET", f"spent:{account}") or 0)
        unsure = cents if keys == 2 and "B" in outcome.crashed else 0  # nobody repeats B's
        if spent > due:
            return f"{TWICE}, spent:{account} is {spent} instead of {due}"
        return f"{LOST}, spent:{account} is {spent} instead of {due}" if spent < due - unsure else ""

    try:
        found = explore(program, 2, invariant=judge, crashes=True)
    except BadProgram as error:
        return Verdict(False, f"your code could not be run: {error}")
    if found.shortest is None:
        return None
    why, order = found.shortest.why, found.shortest.order
    who = "two charges of one key" if keys == 1 else "two charges, a key each"
    broken = "effect-once" if why.startswith(TWICE) else "nothing-lost"
    return Verdict(False, f"{who}, then the first key once more an hour later, in the order {order}: {why}", broken,
                   lab.lattice(found))  # fmt: skip


GRADERS: dict[str, Grader] = {"09-key": key, "09-coupon": coupon, "09-charge": charge}
