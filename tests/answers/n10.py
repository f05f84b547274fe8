"""Answers to the exercises of notebook 10: plausible wrong ones with the guarantee that they break, and right ones."""


def lateness_of_the_started(events, now):
    late = [event.data["late_ms"] / 1000 for event in events if event.kind == "RUNNING"]
    return max(late, default=0.0)


def since_it_was_made(events, now):
    made, waiting = {}, set()
    for event in events:
        if event.kind == "READY":
            made.setdefault(event.execution, event.at)
            waiting.add(event.execution)
        elif event.kind in ("RUNNING", "CANCELLED", "RETRYING"):
            waiting.discard(event.execution)
    return now - min(made[id] for id in waiting) if waiting else 0.0


def without_cancellations(events, now):
    waiting = {}
    for event in events:
        if event.kind == "READY":
            waiting[event.execution] = event.at
        elif event.kind == "RUNNING":
            waiting.pop(event.execution, None)
    return now - min(waiting.values()) if waiting else 0.0


def those_that_wait_for_their_time_too(events, now):
    waiting = {}
    for event in events:
        if event.kind in ("READY", "BUFFERED", "RETRYING"):
            waiting[event.execution] = event.at
        elif event.kind in ("RUNNING", "CANCELLED"):
            waiting.pop(event.execution, None)
    return now - min(waiting.values()) if waiting else 0.0


def the_youngest(events, now):
    waiting = {}
    for event in events:
        if event.kind == "READY":
            waiting[event.execution] = event.at
        elif event.kind in ("RUNNING", "CANCELLED"):
            waiting.pop(event.execution, None)
    return now - max(waiting.values()) if waiting else 0.0


def how_many(events, now):
    ready = [event for event in events if event.kind == "READY"]
    return len(ready) - len([event for event in events if event.kind == "RUNNING"])


def by_its_last_event(events, now):
    last = {event.execution: event for event in events if event.execution and event.kind != "LOST"}
    ages = [now - event.at for event in last.values() if event.kind == "READY"]
    return max(ages, default=0.0)


def anything_late(looks):
    return looks[-1].oldest > 1


def nobody_leads(looks):
    return not looks[-1].leader


def one_is_missing(looks):
    return len(looks) > 5 and all(look.instances < 3 for look in looks[-4:])


def any_failure(looks):
    return looks[-1].failed > 0


def only_the_queue(looks):
    return len(looks) >= 8 and all(look.oldest > 1.2 for look in looks[-8:])


def only_failures(looks):
    last = looks[-10:]
    return sum(look.failed for look in last) > sum(look.succeeded for look in last) > 0


def never(looks):
    return False


def on_average(looks):
    last = looks[-12:]
    done, failed = sum(look.succeeded for look in last), sum(look.failed for look in last)
    late = sum(look.oldest for look in last) / len(last) > 1.5
    return late or (done + failed > 20 and failed > 2 * done)


GUESS = {
    "monday": "more-work",
    "tuesday": "dying-machines",
    "wednesday": "paused-by-operator",
    "thursday": "no-leader",
    "friday": "cut-off",
}
TRUE = {
    "monday": "slow-dependency",
    "tuesday": "poison-job",
    "wednesday": "missing-version",
    "thursday": "hanging-run",
    "friday": "starved-heartbeat",
}

WRONG = {
    "10-oldest": [
        (lateness_of_the_started, "oldest"),
        (since_it_was_made, "oldest"),
        (without_cancellations, "oldest"),
        (those_that_wait_for_their_time_too, "oldest"),
        (the_youngest, "oldest"),
        (how_many, "oldest"),
    ],
    "10-alert": [
        (anything_late, "no-false-alarm"),
        (nobody_leads, "no-false-alarm"),
        (one_is_missing, "no-false-alarm"),
        (any_failure, "no-false-alarm"),
        (only_the_queue, "alert-in-time"),
        (only_failures, "alert-in-time"),
        (never, "alert-in-time"),
    ],
    "10-incidents": [
        (GUESS, "diagnosis"),
        (TRUE | {"tuesday": "starved-heartbeat", "friday": "poison-job"}, "diagnosis"),
        (TRUE | {"wednesday": "hanging-run"}, "diagnosis"),
        (TRUE | {"thursday": None}, "diagnosis"),
        (TRUE | {"monday": "the moon"}, ""),
        ({"monday": "slow-dependency"}, ""),
        (dict.fromkeys(TRUE), ""),
    ],
}
RIGHT = {
    "10-oldest": [by_its_last_event],
    "10-alert": [on_average],
    "10-incidents": [dict(reversed(TRUE.items()))],
}
