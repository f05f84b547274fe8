def longest(settings):
    return settings.leader_lease
