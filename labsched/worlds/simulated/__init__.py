"""A cluster in one process, on virtual time: an asyncio loop on SimPy's clock, and what lives on it.

loop.py     SimLoop        asyncio whose time is `simpy.Environment.now`
node.py     Node           who owns a handle: kill, pause, busy
alarm.py    SimAlarm       a thread's alarm, without the thread
bridge.py   happened, …    asyncio and SimPy processes wait for each other
turns.py, handles.py       whose turn it is, on SimPy's queue
tasks.py                   tasks and futures that hash and are named alike in every run
troubles.py                exceptions that nobody caught
abandoned.py               coroutines that must never run again
pacing.py   Pacer          virtual time held back to real time
threads.py                 a simulation beside another event loop
refused.py                 threads, sockets and processes: not here
network.py  Network        messages between nodes and servers: latency, loss, partitions, a record of all
fakeserver.py SimServer    a Redis server on a clock of its own, and its faults
answering.py, waiting.py, history.py   its connections and commands; who waits for what; what a replica repeats
mending.py                 fakeredis with what differs from Redis mended
scripting.py, interpreter.py, sandbox.lua, plans.py, shortcuts.py, luajson.py   its Lua
links.py    SimRedis, …    `redis.asyncio.Redis` on the network, on the connections of channel.py
clocks.py   SimClock, …    clocks that are wrong, and the host of a node
errors.py                  what only a simulated world can say
"""
