def alert(looks):
    if len(looks) < 10:
        return False
    late = all(look.oldest > 1.2 for look in looks[-8:])
    succeeded = sum(look.succeeded for look in looks[-10:])
    failed = sum(look.failed for look in looks[-10:])
    return late or (failed > 20 and failed > succeeded)
