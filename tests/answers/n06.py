"""Answers to the exercises of notebook 06 that must be refused, and others that must pass."""

import time

ALL = ["offset", "jump", "drift", "server jump", "pause"]
RIGHT_MATRIX = {
    "server": {"drift", "jump", "offset"},
    "duration": {"server jump", "drift", "jump", "offset"},
    "wall clock": {"server jump"},
}


async def lease_from_the_reply(machine, name, seconds):
    got = await machine.redis.set(name, machine.name, nx=True, px=int(seconds * 1000))
    return machine.monotonic() + 0.9 * seconds if got else None


async def lease_without_margin(machine, name, seconds):
    before = machine.monotonic()
    got = await machine.redis.set(name, machine.name, nx=True, px=int(seconds * 1000))
    return before + seconds if got else None


async def lease_on_the_wall(machine, name, seconds):
    before = machine.now()
    got = await machine.redis.set(name, machine.name, nx=True, px=int(seconds * 1000))
    return before + 0.9 * seconds if got else None


async def lease_written_down(machine, name, seconds):
    said = await machine.redis.get(name)
    if said is not None and float(said) > machine.now():
        return None
    before = machine.monotonic()
    await machine.redis.set(name, machine.now() + seconds)
    return before + 0.9 * seconds


async def lease_without_end(machine, name, seconds):
    before = machine.monotonic()
    got = await machine.redis.set(name, machine.name, nx=True)
    return before + 0.9 * seconds if got else None


async def lease_over_others(machine, name, seconds):
    before = machine.monotonic()
    await machine.redis.set(name, machine.name, px=int(seconds * 1000))
    return before + 0.9 * seconds


async def lease_of_a_moment(machine, name, seconds):
    before = machine.monotonic()
    got = await machine.redis.set(name, machine.name, nx=True, px=int(seconds * 1000))
    return before + 0.1 * seconds if got else None


async def lease_never(machine, name, seconds):
    return None


async def lease_of_this_computer(machine, name, seconds):
    got = await machine.redis.set(name, machine.name, nx=True, px=int(seconds * 1000))
    return time.monotonic() + 0.9 * seconds if got else None


async def lease_asking_what_is_left(machine, name, seconds):
    """Right: the server says how much is left; that it was so much later than `before` is all that is used."""
    redis = machine.redis
    if not await redis.set(name, machine.name, nx=True, px=round(seconds * 1000)):
        return None
    before = machine.monotonic()
    left = await redis.pttl(name)
    if await redis.get(name) != machine.name.encode() or left <= 0:
        return None
    return before + left / 1000 * 0.92


async def now_of_the_machine(machine):
    return machine.now(), 0.001


async def now_of_the_machine_with_room(machine):
    return machine.now(), 7200.0


async def now_as_the_server_said(machine):
    before = machine.monotonic()
    seconds, micros = await machine.redis.time()
    return seconds + micros / 1e6, (machine.monotonic() - before) / 2


async def now_without_a_bound(machine):
    seconds, micros = await machine.redis.time()
    return seconds + micros / 1e6, 0.0


async def now_with_the_whole_way(machine):
    before = machine.monotonic()
    seconds, micros = await machine.redis.time()
    took = machine.monotonic() - before
    return seconds + micros / 1e6 + took / 2, took


async def now_by_the_wall(machine):
    before = machine.now()
    seconds, micros = await machine.redis.time()
    took = machine.now() - before
    return seconds + micros / 1e6 + took / 2, abs(took) / 2


async def now_for_ever(machine):
    while True:
        pass


async def now_between(machine):
    """Right: the earliest and the latest that it can be, and then the middle."""
    left = machine.monotonic()
    said = await machine.redis.time()
    earliest = said[0] + said[1] * 1e-6
    latest = earliest + (machine.monotonic() - left)
    return (earliest + latest) / 2, (latest - earliest) / 2


WRONG = {
    "06-matrix": [
        ({"wall clock": [], "duration": [], "server": []}, "no-false-alarm"),
        ({**RIGHT_MATRIX, "wall clock": ["drift", "server jump"]}, "one-holder"),
        ({**RIGHT_MATRIX, "server": ["offset", "jump", "drift", "server jump"]}, "one-holder"),
        ({**RIGHT_MATRIX, "duration": ALL}, "one-holder"),
        ({**RIGHT_MATRIX, "duration": ["server jump"]}, "no-false-alarm"),
        ({**RIGHT_MATRIX, "server": ["earthquake"]}, ""),
    ],
    "06-lease": [
        (lease_from_the_reply, "one-holder"),
        (lease_without_margin, "one-holder"),
        (lease_on_the_wall, "one-holder"),
        (lease_written_down, "never-stuck"),
        (lease_without_end, "never-stuck"),
        (lease_over_others, "one-holder"),
        (lease_of_a_moment, "useful"),
        (lease_never, "never-stuck"),
        (lease_of_this_computer, ""),
    ],
    "06-now": [
        (now_of_the_machine, "bound-holds"),
        (now_of_the_machine_with_room, "bound-useful"),
        (now_as_the_server_said, "bound-holds"),
        (now_without_a_bound, "bound-holds"),
        (now_with_the_whole_way, "bound-useful"),
        (now_by_the_wall, "bound-holds"),
        (now_for_ever, ""),
    ],
}
RIGHT = {
    "06-matrix": [RIGHT_MATRIX],
    "06-lease": [lease_asking_what_is_left],
    "06-now": [now_between],
}
