"""Answers to the exercises of notebook 02 that must be refused, and others that must pass."""

from labsched import misfire
from labsched.model import TERMINAL, TRANSITIONS, State


def states_of(history):
    return [event for event in history if event.execution is not None and event.kind in State.__members__]


def legal_finding_nothing(history):
    return []


def legal_of_the_whole_stream(history):
    found, before = [], ""
    for event in states_of(history):
        if event.kind not in TRANSITIONS[before]:
            found.append((event.execution, before, event.kind))
        before = event.kind
    return found


def legal_believing_every_beginning(history):
    found, now = [], {}
    for event in states_of(history):
        before = now.get(event.execution)
        if before is not None and event.kind not in TRANSITIONS[before]:
            found.append((event.execution, before, event.kind))
        now[event.execution] = event.kind
    return found


def legal_taking_every_kind_for_a_state(history):
    found, now = [], {}
    for event in history:
        if event.execution is not None:
            before = now.get(event.execution, "")
            if event.kind not in TRANSITIONS.get(before, ()):
                found.append((event.execution, before, event.kind))
            now[event.execution] = event.kind
    return found


def legal_taking_every_end_for_the_last(history):
    found, now = [], {}
    for event in states_of(history):
        before = now.get(event.execution, "")
        if before in TERMINAL or event.kind not in TRANSITIONS[before]:
            found.append((event.execution, before, event.kind))
        now[event.execution] = event.kind
    return found


def legal_stopping_at_the_first(history):
    found, now = [], {}
    for event in states_of(history):
        before = now.get(event.execution, "")
        if event.kind not in TRANSITIONS[before]:
            return [(event.execution, before, event.kind)]
        now[event.execution] = event.kind
    return found


def legal_one_execution_at_a_time(history):
    """Right: each execution's walk is taken out of the stream and looked at in pairs."""
    events = states_of(history)
    walks = {event.execution: [""] for event in events}
    steps = []
    for event in events:
        walk = walks[event.execution]
        walk.append(event.kind)
        steps.append((event.execution, walk[-2], walk[-1]))
    return [step for step in steps if State(step[2]) not in TRANSITIONS[step[1]]]


GOOD = {
    "invoices": {"misfire": misfire("FIRE_ALL"), "overlap": "ALLOW"},
    "warm-up": {},
    "reminder": {"misfire": misfire("SKIP", grace="1s")},
    "forecast": {"overlap": "CANCEL_OTHER"},
}

WRONG = {
    "02-legal": [
        (legal_finding_nothing, "legal-transitions"),
        (legal_of_the_whole_stream, "no-false-alarm"),
        (legal_believing_every_beginning, "legal-transitions"),
        (legal_taking_every_kind_for_a_state, "no-false-alarm"),
        (legal_taking_every_end_for_the_last, "no-false-alarm"),
        (legal_stopping_at_the_first, "legal-transitions"),
    ],
    "02-policy": [
        ({name: {} for name in GOOD}, "nothing-lost"),
        (GOOD | {"invoices": {"misfire": misfire("FIRE_ALL")}}, "nothing-lost"),
        (GOOD | {"invoices": {"misfire": misfire("FIRE_ALL"), "overlap": "BUFFER_ONE"}}, "nothing-lost"),
        (GOOD | {"warm-up": {"overlap": "ALLOW"}}, "once-is-enough"),
        (GOOD | {"warm-up": {"misfire": misfire("SKIP", grace="1s")}}, "nothing-lost"),
        (GOOD | {"reminder": {"misfire": misfire("SKIP")}}, "never-late"),
        (GOOD | {"reminder": {"misfire": misfire("FIRE_ONCE", grace="1s")}}, "never-late"),
        (GOOD | {"forecast": {}}, "newest-wins"),
        (GOOD | {"forecast": {"overlap": "ALLOW"}}, "newest-wins"),
        (GOOD | {"forecast": {"misfire": misfire("SKIP", grace="0.1s")}}, "nothing-lost"),
        ({"invoices": {}}, ""),
        (GOOD | {"warm-up": {"retries": 3}}, ""),
    ],
}
RIGHT = {
    "02-legal": [legal_one_execution_at_a_time],
    "02-policy": [
        {
            "invoices": {"overlap": "ALLOW"},  # a grace of a minute covers these outages
            "warm-up": {"misfire": misfire("FIRE_ONCE", grace="1s"), "overlap": "ALLOW"},
            "reminder": {"misfire": misfire("SKIP", grace="1.5s"), "overlap": "ALLOW"},
            "forecast": {"misfire": misfire("FIRE_ONCE", grace="1s")},
        },
        GOOD | {"forecast": {"misfire": misfire("FIRE_ONCE", grace="1s"), "overlap": "BUFFER_ONE"}},
    ],
}
