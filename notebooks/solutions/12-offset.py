import hashlib


def offset(task, jitter):
    digest = hashlib.sha256(task.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * jitter
