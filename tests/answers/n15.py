"""Answers to the exercises of notebook 15: plausible wrong ones with the guarantee that they break, and right ones."""


def second_leader(rec):
    kill = rec.faults[rec.faults.kind == "kill"].iloc[0]
    return rec.leaders.elected.iloc[1] - kill.t


def any_kill(rec):
    kill = rec.faults[rec.faults.kind == "kill"].iloc[0]
    after = rec.leaders[rec.leaders.elected > kill.t]
    return after.elected.iloc[0] - kill.t if len(after) else None


def first_leader_only(rec):
    kills = rec.faults[(rec.faults.kind == "kill") & (rec.faults.target == rec.leaders.instance.iloc[0])]
    if kills.empty:
        return None
    after = rec.leaders[rec.leaders.elected > kills.t.iloc[0]]
    return after.elected.iloc[0] - kills.t.iloc[0] if len(after) else None


def until_lost(rec):
    kill = rec.faults[rec.faults.kind == "kill"].iloc[0]
    lost = rec.events[(rec.events.kind == "INSTANCE_LOST") & (rec.events.t > kill.t)]
    return lost.t.iloc[0] - kill.t if len(lost) else None


def nothing(rec):
    return None


def by_events(rec):
    """Goes through the history line by line."""
    story = [(fault.t, "kill", fault.target) for fault in rec.faults.itertuples() if fault.kind == "kill"]
    story += [(e.t, "elected", e.instance) for e in rec.events.itertuples() if e.kind == "LEADER_ELECTED"]
    leader = killed = None
    for t, what, who in sorted(story):
        if what == "kill" and who == leader:
            killed = t
        elif what == "elected" and killed is not None:
            return t - killed
        elif what == "elected":
            leader = who
    return None


def instance_lease(settings):
    return settings.instance_lease


def the_rest_of_the_lease(settings):
    return settings.leader_lease - settings.leader_retry


def deadline(settings):
    return settings.leader_renew_deadline


def both_leases(settings):
    return settings.leader_lease + settings.instance_lease


def recovery(settings):
    return max(settings.leader_lease, settings.instance_lease) + settings.sweep_every


def lease_and_a_message(settings):
    return settings.leader_lease + 0.1


WRONG = {
    "15-takeover": [
        (second_leader, "measured-right"),
        (any_kill, "measured-right"),
        (first_leader_only, "measured-right"),
        (until_lost, "measured-right"),
        (nothing, "measured-right"),
        (4.2, ""),
    ],
    "15-bound": [
        (instance_lease, "bounded-recovery"),
        (the_rest_of_the_lease, "bounded-recovery"),
        (deadline, "bounded-recovery"),
        (both_leases, "no-slack"),
        (recovery, "no-slack"),
    ],
}
RIGHT = {"15-takeover": [by_events], "15-bound": [lease_and_a_message]}
