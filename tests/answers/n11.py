"""Answers to the exercises of notebook 11: plausible wrong ones with the guarantee that they break, and right ones."""

import statistics


def only_the_lease(heartbeat, lease, retry, leader_lease):
    return lease - heartbeat, lease


def both_in_turn(heartbeat, lease, retry, leader_lease):
    return lease - heartbeat, lease + leader_lease


def always_the_lease(heartbeat, lease, retry, leader_lease):
    return max(lease, leader_lease), max(lease, leader_lease)


def from_nothing(heartbeat, lease, retry, leader_lease):
    return 0.0, max(lease, leader_lease)


def one_number(heartbeat, lease, retry, leader_lease):
    return max(lease, leader_lease)


def by_cases(heartbeat, lease, retry, leader_lease):
    waits = [(lease, heartbeat), (leader_lease, retry)]
    return [max(end - renewed for end, renewed in waits), max(end for end, _ in waits)]


QUICK = {"instance_lease": 2.2, "heartbeat_every": 0.5, "lease_margin": 0.25, "cancel_grace": 0.1}
LEADER = {"leader_lease": 2.2, "leader_renew_deadline": 1.6, "leader_retry": 0.7}


def defaults(gaps, silence):
    return silence > 3.5


def patient(gaps, silence):
    return silence > 12


def twice_the_last(gaps, silence):
    return silence > 2 * gaps[-1]


def twice_the_mean(gaps, silence):
    return silence > 2 * statistics.mean(gaps)


def three_deviations(gaps, silence):
    return silence > statistics.mean(gaps) + 3 * statistics.pstdev(gaps)


def never(gaps, silence):
    return False


def ten_deviations(gaps, silence):
    return silence > 2 * statistics.mean(gaps) + 10 * statistics.pstdev(gaps)


WRONG = {
    "11-bounds": [
        (only_the_lease, "bounded-recovery"),
        (both_in_turn, "too-wide"),
        (always_the_lease, "bounded-recovery"),
        (from_nothing, "too-wide"),
        (one_number, ""),
    ],
    "11-budget": [
        ({}, "bounded-recovery"),
        (QUICK, "bounded-recovery"),  # the leader's lease is still 5 s
        ({**QUICK, **LEADER, "heartbeat_every": 0.2}, "within-budget"),
        ({**QUICK, **LEADER, "instance_lease": 1.5}, "no-false-alarm"),
        ({**QUICK, **LEADER, "heartbeat_every": 1.0}, "no-false-alarm"),
        ({**QUICK, **LEADER, "lease_margin": 0.9}, "no-false-alarm"),
        ({**QUICK, **LEADER, "heartbeat_every": 2.0}, ""),
        ({"heartbeat": 1.0}, ""),
    ],
    "11-suspect": [
        (defaults, "no-false-alarm"),
        (patient, "bounded-recovery"),
        (twice_the_last, "no-false-alarm"),
        (twice_the_mean, "no-false-alarm"),
        (three_deviations, "no-false-alarm"),
        (never, "bounded-recovery"),
    ],
}
RIGHT = {
    "11-bounds": [by_cases],
    "11-budget": [{**QUICK, **LEADER, "instance_lease": 2.3, "heartbeat_every": 0.55, "leader_lease": 2.0}],
    "11-suspect": [ten_deviations],
}
