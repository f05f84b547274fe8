"""A learner's answer, built anew: each client of an exercise gets a copy of its own that shares nothing with others.

Otherwise a module-level dict, or a function attribute, would be a lock that always wins.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

from labsched.errors import ConfigError

_PLAIN = (str, bytes, int, float, bool, tuple, frozenset, type(None), ModuleType)


def rebuilt(answer: Any) -> Callable[..., Any]:
    """The same function compiled from its source in a fresh namespace, line numbers kept.

    It sees the modules, imported names and plain constants that it names, and copies of the functions that it
    calls; any other global (a dict, a list, a class of its own) is not there, so using it raises NameError.
    ConfigError when `answer` is not a plain function, or has no source: one written in a cell or a file has.
    """
    if not isinstance(answer, FunctionType):
        raise ConfigError(f"the answer has to be a function, not {type(answer).__name__}")
    if answer.__name__ == "<lambda>":
        raise ConfigError("the answer has to be a function made with def: a lambda has no source of its own")
    if answer.__closure__:
        raise ConfigError(f"{answer.__name__} uses names of a function around it: write it on its own")
    namespace: dict[str, Any] = {"__builtins__": __builtins__, "__name__": answer.__module__}
    _build(answer, namespace)
    built: Callable[..., Any] = namespace[answer.__name__]
    return built


def _build(function: FunctionType, namespace: dict[str, Any]) -> None:
    """Define `function` and what it names in `namespace`."""
    namespace[function.__name__] = None  # it may call itself
    tree = _tree(function)
    for name in sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}):
        if name in namespace or name not in function.__globals__:
            continue
        value = function.__globals__[name]
        theirs = getattr(value, "__module__", None) == function.__module__
        if isinstance(value, FunctionType) and theirs:
            _build(value, namespace)
        elif isinstance(value, _PLAIN) or (isinstance(value, FunctionType | type) and not theirs):
            namespace[name] = value
    exec(compile(tree, function.__code__.co_filename, "exec"), namespace)


def _tree(function: FunctionType) -> ast.Module:
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError):
        raise ConfigError(f"{function.__name__} has no source: write it in a cell or a file") from None
    tree = ast.parse(textwrap.dedent("".join(lines)))
    return ast.increment_lineno(tree, max(first, 1) - 1)
