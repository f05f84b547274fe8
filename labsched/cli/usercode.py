"""The user's own Scheduler: found by name, and put where the command line says."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType

from ..app import Scheduler
from ..clock import Host
from ..config import Settings
from ..errors import ConfigError, LabschedError
from ..serving import only_loading
from .call import Call


def load_app(spec: str) -> Scheduler:
    """The Scheduler that "module:attribute" or "path/file.py:attribute" names. Raises `ConfigError`."""
    place, colon, attribute = spec.rpartition(":")
    if not colon or not place or not attribute:
        raise ConfigError(f"app {spec!r}: write MODULE:ATTRIBUTE or FILE.py:ATTRIBUTE")
    module = _imported(place)
    found = getattr(module, attribute, None)
    if not isinstance(found, Scheduler):
        what = "is missing" if found is None else f"is a {type(found).__name__}, not a Scheduler"
        there = [f"{place}:{name}" for name, value in vars(module).items() if isinstance(value, Scheduler)]
        meant = f"; did you mean {' or '.join(there)}?" if there else ""
        raise ConfigError(f"app {spec!r}: {attribute} {what}{meant}")
    return found


def _imported(place: str) -> ModuleType:
    try:
        if not place.endswith(".py"):
            # As with `python -m`: what lies in the current folder can be named.
            sys.path.insert(0, os.getcwd())
            with only_loading(f"app {place!r}"):
                return importlib.import_module(place)
        path = Path(place).expanduser().absolute()
        if not path.is_file():
            raise ConfigError(f"app file {place!r} does not exist")
        sys.path.insert(0, str(path.parent))
        # Imported under its own name, so that the process runner's children can do the same.
        with only_loading(f"app file {place!r}"):
            module = importlib.import_module(path.stem)
        if Path(module.__file__ or "").resolve() != path.resolve():
            raise ConfigError(f"app file {place!r} is named like the module {path.stem!r}: rename it")
        return module
    except LabschedError:
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = "" if frame.filename.startswith("<frozen") else f" ({frame.filename}, line {frame.lineno})"
        raise ConfigError(f"app {place!r} cannot be loaded: {type(error).__name__}: {error}{where}") from None


def add_tasks(scheduler: Scheduler, tasks: str | None) -> None:
    """Register the tasks of a file, for handlers that the code has registered or the samples. Raises `ConfigError`."""
    if tasks is not None:
        from ..samples import HANDLERS

        own = {job.task.handler: job.function for job in scheduler.handlers.values()}
        scheduler.load_tasks(tasks, {**HANDLERS, **own})


def in_force(app: Scheduler, call: Call, settings: Settings) -> Settings:
    """The settings of the app's code, under what this call says: options, and what is not the default in `settings`."""
    default = Settings()
    said = {
        field: getattr(settings, field)
        for field in Settings.__struct_fields__
        if getattr(settings, field) != getattr(default, field)
    }
    # What was typed counts even where it says what is the default anyway.
    typed = {"redis_url": call.url, "namespace": call.namespace}
    said |= {field: value for field, value in typed.items() if value is not None}
    return app.settings.replace(**{"namespace": app.namespace, **said})


def adopt(app: Scheduler, call: Call, settings: Settings, host: Host) -> Scheduler:
    """Put the user's own Scheduler where this call says. What nobody said stays as its code has it.

    It is that very object that runs: handlers use it by its global name.
    """
    changed = in_force(app, call, settings)
    said = call.url is not None or settings.redis_url != Settings().redis_url
    url, namespace = changed.redis_url if said else app.target, changed.namespace
    if url == "embedded":
        url, attached = call.where()
        namespace = attached if namespace == Settings().namespace else namespace
    # However long it takes: an instance waits for its server.
    app.configure(url=url, namespace=namespace, settings=changed, host=host, patience=None)
    return app
