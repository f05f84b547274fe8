LEAVES = ("RUNNING", "SUCCEEDED", "FAILED", "RETRYING", "BUFFERED", "CANCELLED", "SKIPPED", "DEAD")


def oldest(events, now):
    waiting = {}
    for event in events:
        if event.kind == "READY":
            waiting[event.execution] = event.at
        elif event.kind in LEAVES:
            waiting.pop(event.execution, None)
    return now - min(waiting.values()) if waiting else 0.0
