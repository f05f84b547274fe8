# More than the longest letter takes, and enough less than the platform's patience to say goodbye.
env = {"LABSCHED_SCHEDULER_INSTANCE_DRAIN_TIMEOUT": "15s"}
