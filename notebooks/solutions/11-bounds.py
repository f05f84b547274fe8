def bounds(heartbeat, lease, retry, leader_lease):
    soonest = max(lease - heartbeat, leader_lease - retry)
    latest = max(lease, leader_lease)
    return soonest, latest
