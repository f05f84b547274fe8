"""Answers to the exercises of notebook 07: wrong ones, with the guarantee that has to be named, and right ones."""

import math
import time

from redis.exceptions import WatchError


def from_the_reply(sent, replied, lease):
    return replied + lease


def for_ever(sent, replied, lease):
    return math.inf


def with_a_second_of_grace(sent, replied, lease):
    return sent + lease + 1.0


def from_the_middle(sent, replied, lease):
    return (sent + replied) / 2 + lease


def only_until_the_reply(sent, replied, lease):
    return replied


def a_duration(sent, replied, lease):
    return 0.6 * lease


def by_another_clock(sent, replied, lease):
    return time.monotonic() + lease


def no_moment(sent, replied, lease):
    return None


def the_whole_lease(sent, replied, lease):
    return sent + lease


def with_a_margin(sent, replied, lease):
    margin = max(1.0, lease / 10)
    return sent + lease - margin


NEW_SLOT = """
if redis.call('SADD', KEYS[2], ARGV[2]) == 0 then return 0 end
redis.call('RPUSH', KEYS[3], ARGV[2])
return 1"""
NEW_EPOCH = """
if tonumber(ARGV[1]) < tonumber(redis.call('GET', KEYS[1])) then return 0 end
redis.call('RPUSH', KEYS[2], ARGV[2])
return 1"""
WATERMARK = """
if tonumber(ARGV[1]) < tonumber(redis.call('GET', KEYS[1])) then return 0 end
if tonumber(ARGV[2]) <= tonumber(redis.call('GET', KEYS[2]) or 0) then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
return redis.call('RPUSH', KEYS[3], ARGV[2])"""


async def dispatches_nothing(redis, name, epoch, slot):
    return None


async def because_i_say_so(redis, name, epoch, slot):
    await redis.rpush(f"{name}:queue", slot)
    return True


async def new_slots_of_anybody(redis, name, epoch, slot):
    keys = f"{name}:epoch", f"{name}:done", f"{name}:queue"
    return bool(await redis.eval(NEW_SLOT, 3, *keys, epoch, slot))


async def any_slot_of_the_leader(redis, name, epoch, slot):
    return bool(await redis.eval(NEW_EPOCH, 2, f"{name}:epoch", f"{name}:queue", epoch, slot))


async def checked_at_the_client(redis, name, epoch, slot):
    if epoch != int(await redis.get(f"{name}:epoch")):
        return False
    keys = f"{name}:epoch", f"{name}:done", f"{name}:queue"
    return bool(await redis.eval(NEW_SLOT, 3, *keys, epoch, slot))


async def remembered_then_queued(redis, name, epoch, slot):
    if epoch != int(await redis.get(f"{name}:epoch")):
        return False
    if not await redis.sadd(f"{name}:done", slot):
        return False
    await redis.rpush(f"{name}:queue", slot)
    return True


async def by_watermark(redis, name, epoch, slot):
    keys = f"{name}:epoch", f"{name}:watermark", f"{name}:queue"
    return bool(await redis.eval(WATERMARK, 3, *keys, epoch, slot))


async def watching_the_epoch(redis, name, epoch, slot):
    async with redis.pipeline() as pipe:
        await pipe.watch(f"{name}:epoch", f"{name}:queue")
        newest, *done = await redis.eval(
            "return {redis.call('GET', KEYS[1]), unpack(redis.call('LRANGE', KEYS[2], 0, -1))}",
            2, f"{name}:epoch", f"{name}:queue",
        )  # fmt: skip
        if int(newest) != epoch or str(slot) in done:
            return False
        pipe.multi()
        pipe.rpush(f"{name}:queue", slot)
        try:
            await pipe.execute()
        except WatchError:
            return False
        return True


TAKE = """
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return false end
return redis.call('INCR', KEYS[2])"""
RENEW_BY_NAME = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return redis.call('INCR', KEYS[2]) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
return tonumber(redis.call('GET', KEYS[2]))"""
WITHOUT_RENEWAL = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return tonumber(redis.call('GET', KEYS[2])) end
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return false end
return redis.call('INCR', KEYS[2])"""
IN_A_HASH = """
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
local held = redis.call('HMGET', KEYS[1], 'who', 'until', 'epoch')
local epoch = tonumber(held[3] or 0)
if held[1] and tonumber(held[2]) > ms then
  if held[1] ~= ARGV[1] then return false end
else
  epoch = epoch + 1
end
redis.call('HSET', KEYS[1], 'who', ARGV[1], 'until', ms + ARGV[2], 'epoch', epoch)
return epoch"""


async def never_leads(redis, name, me, ms):
    return None


async def takes_and_never_renews(redis, name, me, ms):
    return await redis.eval(TAKE, 2, f"{name}:leader", f"{name}:epoch", me, ms)


async def a_new_epoch_each_time(redis, name, me, ms):
    leads = await redis.get(f"{name}:leader") == me and await redis.pexpire(f"{name}:leader", ms)
    if leads or await redis.set(f"{name}:leader", me, nx=True, px=ms):
        return await redis.incr(f"{name}:epoch")
    return None


async def renews_by_name(redis, name, me, ms):
    return await redis.eval(RENEW_BY_NAME, 2, f"{name}:leader", f"{name}:epoch", me, ms)


async def forgets_to_prolong(redis, name, me, ms):
    return await redis.eval(WITHOUT_RENEWAL, 2, f"{name}:leader", f"{name}:epoch", me, ms)


async def looks_then_renews(redis, name, me, ms):
    if await redis.get(f"{name}:leader") == me:
        await redis.pexpire(f"{name}:leader", ms)
        return int(await redis.get(f"{name}:epoch"))
    return await redis.eval(TAKE, 2, f"{name}:leader", f"{name}:epoch", me, ms)


async def always_the_first_epoch(redis, name, me, ms):
    if await redis.get(f"{name}:leader") == me or await redis.set(f"{name}:leader", me, nx=True, px=ms):
        await redis.pexpire(f"{name}:leader", ms)
        return 1
    return None


async def in_a_hash(redis, name, me, ms):
    return await redis.eval(IN_A_HASH, 1, name, me, ms)


WRONG = {
    "07-until": [
        (from_the_reply, "one-believer"),
        (for_ever, "one-believer"),
        (with_a_second_of_grace, "one-believer"),
        (from_the_middle, "one-believer"),
        (only_until_the_reply, "never-leads"),
        (a_duration, "never-leads"),
        (by_another_clock, ""),
        (no_moment, ""),
    ],
    "07-dispatch": [
        (dispatches_nothing, "nothing-lost"),
        (because_i_say_so, "one-execution-per-slot"),
        (new_slots_of_anybody, "no-stale-write"),
        (any_slot_of_the_leader, "one-execution-per-slot"),
        (checked_at_the_client, "no-stale-write"),
        (remembered_then_queued, "no-stale-write"),
    ],
    "07-campaign": [
        (never_leads, ""),
        (takes_and_never_renews, "renewal"),
        (a_new_epoch_each_time, "renewal"),
        (renews_by_name, "never-stuck"),
        (forgets_to_prolong, "one-leader-per-epoch"),
        (looks_then_renews, "one-leader-per-epoch"),
        (always_the_first_epoch, "one-leader-per-epoch"),
    ],
}
RIGHT = {
    "07-until": [the_whole_lease, with_a_margin],
    "07-dispatch": [by_watermark, watching_the_epoch],
    "07-campaign": [in_a_hash],
}
