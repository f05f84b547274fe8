from labsched.model import TRANSITIONS, State


def illegal(history):
    found = []
    now = {}
    for event in history:
        if event.execution is None or event.kind not in State.__members__:
            continue  # about no execution, or not a change of state
        before = now.get(event.execution, "")
        if event.kind not in TRANSITIONS[before]:
            found.append((event.execution, before, event.kind))
        now[event.execution] = event.kind
    return found
