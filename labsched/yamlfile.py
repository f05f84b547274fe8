"""YAML files as people write them, read into a plain mapping. Every refusal is a one-line ConfigError.

PyYAML is imported when a file is read, so that a script that reads none does not pay for it.
"""

from __future__ import annotations

import difflib
import functools
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .errors import ConfigError

_SECRET = re.compile(r"pass|secret|token|auth|credential|key$", re.IGNORECASE)


def read_mapping(path: str | os.PathLike[str], what: str) -> dict[str, Any]:
    """The mapping at the top of the YAML file `path`; an empty file is an empty mapping.

    ConfigError for a file that cannot be read, is not YAML, holds something else than one mapping, or
    names a key twice: PyYAML would silently let the last one win.
    """
    import yaml

    try:
        value = yaml.load(Path(path).read_bytes(), Loader=_loader())
    except OSError as error:
        raise ConfigError(f"{what} {path} cannot be read: {error.strerror or error}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = error.problem or error.context or "it is not YAML"
        raise ConfigError(f"{what} {path}{where}: {one_line(problem)}") from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise ConfigError(f"{what} {path} is not YAML: {one_line(str(error))}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{what} {path} must hold a mapping (key: value), not {kind(value)}")
    return value


@functools.cache
def _loader() -> Any:
    import yaml

    class UniqueKeys(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen: set[str] = set()
            for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
                if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                    if key.value in seen:
                        raise yaml.constructor.ConstructorError(
                            None, None, f"the key {key.value!r} is there twice", key.start_mark
                        )
                    seen.add(key.value)
            return super().construct_mapping(node, deep=deep)

    return UniqueKeys


def nearest(name: str, allowed: Iterable[str], otherwise: Iterable[str] | None = None) -> str:
    """The end of a sentence about an unknown name: the likely meant ones, else all of `otherwise`."""
    close = difflib.get_close_matches(name, sorted(allowed), n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    names = sorted(allowed if otherwise is None else otherwise)
    return f"allowed are {', '.join(names)}" if names else "none is allowed"


def shown(name: str, value: object) -> str:
    """`value` for an error message: short, on one line, and not at all when `name` smells of a secret."""
    if _SECRET.search(name):
        return "***"
    if isinstance(value, (dict, list)):
        return kind(value)
    text = mask(repr(value))
    return text if len(text) <= 80 else text[:77] + "..."


def mask(url: str) -> str:
    """`url` without its password, for logs and messages: `redis://user:***@host:6379/0`."""
    # Up to the last "@": a password may hold "@" and "/" although it ought to be percent-encoded.
    url = re.sub(r"(://[^:/?#\s]*):.*@", r"\1:***@", url)
    return re.sub(r"([?&]password=)[^&#\s'\"]*", r"\1***", url)


def kind(value: object) -> str:
    """What `value` is, in a YAML author's words."""
    for types, words in _KINDS:
        if isinstance(value, types):
            return words
    return f"a {type(value).__name__}"


_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (dict, "a mapping"),
    (list, "a list"),
    (str, "text"),
    (bool, "true or false"),
    ((int, float), "a number"),
    (type(None), "nothing"),
)


def one_line(text: str) -> str:
    """`text` with every run of white space as one space."""
    return " ".join(text.split())
