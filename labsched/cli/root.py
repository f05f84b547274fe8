"""The group of all commands. What goes wrong becomes one line on stderr and an exit code.

0    fine
1    what was asked for failed, was refused or could not be reached; or a guarantee was violated
2    the call was wrong: it would fail every time until it, the settings or a file are changed
130  interrupted from the keyboard
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from ..errors import ConfigError, LabschedError, PayloadError, ScheduleError, UnknownExecution, UnknownTask
from .call import common

# Section -> command -> the module that holds it (under its own name, dashes as underscores).
SECTIONS: dict[str, dict[str, str]] = {
    "Start": {"demo": "demo", "up": "up", "instance": "serve"},
    "Look": {
        "tasks": "listing", "executions": "listing", "execution": "look", "instances": "listing",
        "locks": "listing", "events": "events", "metrics": "look", "health": "look",
        "preview": "listing", "forecast": "listing", "why": "look",
    },
    "Steer": {
        "trigger": "trigger", "pause": "steer", "resume": "steer", "disable": "steer", "cancel": "steer",
        "requeue": "steer", "backfill": "trigger", "drain": "steer",
    },
    "Learn": {"lab": "lab", "panel": "panel"},
    "Judge": {"doctor": "doctor", "check": "check", "sim": "sim", "fidelity": "fidelity", "bench": "bench"},
}  # fmt: skip
COMMANDS = {name: module for section in SECTIONS.values() for name, module in section.items()}

WRONG_CALL = (ConfigError, ScheduleError, PayloadError, UnknownTask, UnknownExecution)


class Root(click.Group):
    """Loads a command when it is asked for, and turns errors into one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f".{COMMANDS[cmd_name]}", __package__)
        found: click.Command = getattr(module, cmd_name)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from ..yamlfile import nearest

            raise click.UsageError(f"no command {args[0]!r}; {nearest(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in SECTIONS.items():
            with formatter.section(title):
                commands = [(name, self.get_command(ctx, name)) for name in names]
                formatter.write_dl([(name, c.get_short_help_str(80)) for name, c in commands if c])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except KeyboardInterrupt:
            # Click would print an empty line for it.
            raise click.Abort from None
        except BrokenPipeError:
            # Whoever reads has seen enough. Nothing may be written at the interpreter's end either.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Never returns: the process (or the test's runner) gets the exit code."""
        extra["standalone_mode"] = False
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, ValueError):
                stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        try:
            result = super().main(args, prog_name="labsched", **extra)
            sys.exit(result if isinstance(result, int) else 0)
        except (Exception, KeyboardInterrupt) as error:
            code, line = explain(error)
            if code is None:
                raise
            with contextlib.suppress(BrokenPipeError):
                click.echo(line, err=True)
            sys.exit(code)


def explain(error: BaseException) -> tuple[int | None, str]:
    """Exit code and line for an error; no code for what is a bug of labsched."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return 2, error.format_message()
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "labsched"
        return 2, f"{path}: {' '.join(error.format_message().split()).rstrip('.')} (see {path} --help)"
    if isinstance(error, click.ClickException):
        return error.exit_code, f"labsched: {error.format_message()}"
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return 130, "labsched: interrupted"
    if isinstance(error, LabschedError | TimeoutError):
        maybe = " (it may have happened)" if getattr(error, "may_have_happened", False) else ""
        return (2 if isinstance(error, WRONG_CALL) else 1), f"labsched: {error}{maybe}"
    if type(error).__module__.startswith("redis."):
        return 1, f"labsched: the server refused: {error}"
    return None, ""


@click.group(
    cls=Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 fine, 1 it failed or a guarantee was violated, 2 the call was wrong.",
)
@common
@click.version_option(package_name="labsched", message="labsched %(version)s")
def root() -> None:
    """A distributed task scheduler on Redis, and a lab to crash it in.

    Start with `labsched demo`, or leave a cluster running with `labsched up`.
    """
