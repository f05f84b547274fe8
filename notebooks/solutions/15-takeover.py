def takeover(rec):
    for kill in rec.faults[rec.faults.kind == "kill"].itertuples():
        before = rec.leaders[rec.leaders.elected < kill.t]
        after = rec.leaders[rec.leaders.elected > kill.t]
        if len(before) and len(after) and before.iloc[-1].instance == kill.target:
            return after.iloc[0].elected - kill.t
    return None
