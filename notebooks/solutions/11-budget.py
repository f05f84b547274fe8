timings = {
    "instance_lease": 2.2,
    "heartbeat_every": 0.5,
    "lease_margin": 0.25,
    "cancel_grace": 0.1,
    "leader_lease": 2.2,
    "leader_renew_deadline": 1.6,
    "leader_retry": 0.7,
}
