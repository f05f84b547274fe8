"""What to try next: advice that is added to an error's one line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from ..connect import hide_password
from ..errors import LabschedError, Unreachable

OTHER_SERVER = "or name another one with --url, REDIS_URL or LABSCHED_REDIS_URL"
MOST_NAMES = 10  # names worth listing in one line


def unreachable(error: Exception, url: str) -> Unreachable:
    """The error for a server that never answered: where it was looked for, and what to do.

    Opening only reads, so nothing can have happened, whatever was sent.
    """
    said = re.sub(r"\.$", "", str(error))
    if not isinstance(error, LabschedError):
        said = f"what answers there is no Redis server: {said}"
    return Unreachable(f"{hide_password(url)}: {said}; {server(error, url)}")


def server(error: Exception, url: str) -> str:
    """What to do about a server that does not answer as one should."""
    said, scheme = str(error), urlsplit(url).scheme
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return "its certificate is not trusted: add ?ssl_ca_certs=FILE to the URL"
    if scheme == "rediss" and ("SSL" in said or "Timeout" in said):
        return "if that server does not speak TLS, write redis:// instead of rediss://"
    if scheme == "redis" and ("while reading" in said or "closed" in said or "Protocol error" in said):
        return "if that server speaks TLS, write rediss:// instead of redis://"
    return f"start a server there, {OTHER_SERVER}"


def task_names(wanted: str, known: Iterable[str]) -> str:
    """The end of a sentence about a task that does not exist."""
    from ..yamlfile import nearest

    names = sorted(known)
    inside = [name for name in names if len(wanted) > 2 and wanted in name]
    if inside:
        return f"did you mean {' or '.join(inside[:3])}?"
    if not names:
        return "no task is defined there: is it the right --namespace?"
    likely = nearest(wanted, names)
    if likely.endswith("?"):
        return likely
    if len(names) > MOST_NAMES:
        return "`labsched tasks` lists them"
    return f"there are {', '.join(names)}" if len(names) > 1 else f"there is only {names[0]}"
