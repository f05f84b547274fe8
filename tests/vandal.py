"""A stranger on the same Redis who forges a line of history: what makes a lamp of the panel red."""

FORGED = {
    "kind": "SUCCEEDED", "task": "forged", "execution": "forged@1", "attempt": "1", "token": "7",
    "instance": "i1", "epoch": "", "data": "{}",
}  # fmt: skip


def let_in(sim, at: float) -> None:
    """From `at` on, `sim` has an execution that ends without ever having begun."""

    async def vandal(machine) -> None:
        await machine.sleep(at)
        await machine.redis.xadd(f"{{labsched:{sim.namespace}}}:events", FORGED)

    sim.guest("vandal", vandal)
