from labsched.worlds import Simulation

PEOPLE = ["ann", "bob", "cem"]


def run(make, *faults):
    """Whether two newsletters left each person two letters, and the recording."""
    app, sent = make()
    with Simulation(2, seed=1, app=app, messages=False) as sim:
        for verb, instance, at in faults:
            getattr(sim.at(at), verb)(instance)
        sim.run(until=1)
        for _ in range(2):
            sim.call(lambda app: app.trigger("newsletter", to=PEOPLE))
        rec = sim.run(until=9)
    return sorted(sent) == sorted(2 * PEOPLE), rec


def fine(make):
    calm, rec = run(make)
    first = rec.attempts.iloc[
        0
    ]  # the same seed: with a fault it begins at the same moment, on the same instance
    moments = [first.started + first.duration * part for part in (0.3, 0.55, 0.8)]
    faults = [("kill", first.instance, at) for at in moments] + [("terminate", first.instance, moments[0])]
    return calm and all(run(make, fault)[0] for fault in faults)
