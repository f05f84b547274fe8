def suspect(gaps, silence):
    return silence > 2.5 * max(gaps)
