"""Two jobs that cron starts at the same minute on each machine, one machine's clock a little behind."""

import os
import time

from labsched.sync import LockManager

locks = LockManager(os.environ["LABSCHED_REDIS_URL"], namespace="shop")


@locks.guarded("invoices", at_most_for="30m")
def invoices() -> str:
    time.sleep(0.1)
    return "sent"


@locks.guarded("newsletter", at_most_for="30m", at_least_for="1m")
def newsletter() -> str:
    time.sleep(0.1)
    return "sent"


print("invoices:", invoices(), "| newsletter:", newsletter())
locks.close()
