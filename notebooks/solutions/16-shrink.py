def smaller(faults, fails):
    kept, again = list(faults), True
    while again:
        again = False
        for fault in list(kept):
            fewer = [one for one in kept if one != fault]
            if fails(fewer):
                kept, again = fewer, True
    return kept
