diagnosis = {
    "monday": "slow-dependency",
    "tuesday": "poison-job",
    "wednesday": "missing-version",
    "thursday": "hanging-run",
    "friday": "starved-heartbeat",
}
