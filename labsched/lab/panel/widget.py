"""`control(world)`: the panel as a widget. It shows what its session tells, and sends what is pressed to its inbox."""

from __future__ import annotations

import atexit
import contextlib
import weakref
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from labsched.errors import ConfigError
from labsched.worlds.processes import ProcessCluster
from labsched.worlds.recording import Recording
from labsched.worlds.simulated.simulation import Simulation

from .real import RealSession
from .script import Step, asked
from .servers import ACTS
from .session import Session
from .simulated import SimulatedSession

_HERE = Path(__file__).parent
# What a front end may ask for. `finish` and `code` return something, and are called in Python.
_BUTTONS = frozenset({"hello", "play", "pause", "pace", "run_to", "seek", "press", "picture", "close"})
_VERBS = frozenset({"kill", "pause", "resume", "partition", "heal", "restart"})

# The panels of each notebook cell, with the request that made them: a cell that runs again closes its older ones.
_of_cells: dict[str, list[tuple[str, weakref.ref[Panel]]]] = {}
_of_worlds: weakref.WeakKeyDictionary[object, weakref.ref[Panel]] = weakref.WeakKeyDictionary()


def control(world: Simulation | ProcessCluster, *, play: bool = True, pace: float = 1.0) -> Panel:
    """A live panel of that world, which it owns until `panel.close()`. Returns at once.

    A simulation goes on from where it is, `pace` (0.25 to 20) virtual seconds per real second, or waits for its play
    button with `play=False`. A ProcessCluster must not have been entered: the panel enters it on a thread of its own,
    and leaves it when it is closed, when its cell runs again, or when the kernel ends. A world has one panel: an older
    one is closed. ConfigError for anything else.
    """
    if not isinstance(world, Simulation | ProcessCluster):
        raise ConfigError(f"a Simulation or a ProcessCluster can be controlled, not {type(world).__name__}")
    _close_older(world)
    session: Session
    if isinstance(world, Simulation):
        session = SimulatedSession(world, play=play, pace=pace)
        title = f"{_counted(len(world.names))}, simulated, seed {world.seed}"
    else:
        session = RealSession(world)
        title = f"{_counted(len(world.names))}, real processes"
    panel = Panel(session, title)
    _remember(panel, world)
    session.start()
    return panel


class Panel(anywidget.AnyWidget):
    """What `control` returns. Everything here may be called without a front end."""

    _esm = _HERE / "panel.js"
    _css = _HERE / "panel.css"
    title = traitlets.Unicode().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    acts = traitlets.Dict({name: [act.label, act.title] for name, act in ACTS.items()}).tag(sync=True)

    def __init__(self, session: Session, title: str) -> None:
        super().__init__(title=title)
        self.session = session
        session.listen(self._show)
        self.on_msg(self._pressed)
        atexit.register(session.close)

    def __repr__(self) -> str:
        return f"<Panel: {self.title}>"

    def _show(self, kind: str, body: dict[str, Any], buffers: list[bytes]) -> None:
        if kind == "state":
            self.state = body
        else:
            self.send({"kind": kind, **body}, buffers=buffers or None)

    def _pressed(self, _: object, content: Any, __: object) -> None:
        """From the browser, on whichever thread the kernel likes: into the inbox and nothing else."""
        do = content.get("do") if isinstance(content, dict) else None
        if do not in _BUTTONS:
            return
        args = {name: value for name, value in content.items() if name != "do"}
        if do == "press":
            step = self._step(args.get("verb"), args.get("act"), str(args.get("target")))
            if step is None:
                return
            args = {"step": step}
        self.session.send(do, **args)

    def _step(self, verb: object, act: object, target: str) -> Step | None:
        """The press of a button: a verb on an instance's row, an act on a server's."""
        if act in ACTS:
            one = ACTS[str(act)]
            args = one.simulated if self.session.world == "simulated" else one.real
            return asked(one.verb, name=target, **args)
        return asked(str(verb), target) if verb in _VERBS else None

    # --- for scripts

    def press(self, verb: str, *target: str, at: float | None = None, **args: Any) -> Panel:
        """`press("kill", "leader", at=12)`: any verb of the world, now or at that time (its own seconds), by the same
        way as a button's. ConfigError when it cannot be done."""
        self.session.press(verb, *target, at=at, **args)
        return self

    def play(self) -> Panel:
        """Go on at the pace."""
        self.session.send("play").result()
        return self

    def pause(self) -> Panel:
        """Stop time. Presses are still done."""
        self.session.send("pause").result()
        return self

    def seek(self, t: float) -> Panel:
        """Show the world as it was at `t`; whoever acts there begins a branch."""
        self.session.send("seek", t=t).result()
        return self

    def run_to(self, what: str) -> Panel:
        """At full speed to the next "event", "leader" change, "lock" event or "violation"."""
        self.session.send("run_to", what=what).result()
        return self

    def finish(self, until: float | None = None) -> Recording:
        """The run up to `until` (absolute seconds) as a recording; without it, or when it is later already, up to now.

        A simulation runs the rest at full speed; real processes are waited for. Raises what went wrong inside.
        """
        return self.session.finish(until)

    def code(self) -> str:
        """The script equal to all that was pressed, by hand or by code."""
        return self.session.code()

    def close(self) -> None:
        """End the panel and what it started: its thread, its replayed worlds, its processes."""
        self.session.close()
        atexit.unregister(self.session.close)
        super().close()

    # --- for readers without a kernel

    def _repr_png_(self) -> tuple[bytes, dict[str, str]] | None:
        """The last minute as a picture; None while nothing has happened yet."""
        from .picture import of_run

        if not isinstance(self.session, SimulatedSession) or self.session.replayable.time < 1.0:
            return None
        with contextlib.suppress(ConfigError):
            png, alt = of_run(self.session.send("recording").result())
            return png, {"alt": alt}
        return None

    def _repr_mimebundle_(self, **options: Any) -> Any:
        found = super()._repr_mimebundle_(**options)
        data, meta = found if isinstance(found, tuple) else (found or {}, {})
        data = {**data, "text/plain": repr(self)}
        picture = self._repr_png_()
        if picture is not None:
            data["image/png"] = picture[0]
            meta = {**meta, "image/png": picture[1]}
        return data, meta


def _counted(instances: int) -> str:
    return "1 instance" if instances == 1 else f"{instances} instances"


def _here() -> tuple[str, str] | None:
    """Which cell runs now, and the request that runs it; None outside of a notebook. A front end that names no cells
    is taken by the cell's text."""
    try:
        from IPython.core.getipython import get_ipython

        shell: Any = get_ipython()
        parent = shell.get_parent()
        cell = parent.get("metadata", {}).get("cellId") or parent["content"]["code"]
        return str(cell), str(parent["header"]["msg_id"])
    except (ImportError, AttributeError, KeyError):
        return None


def _close_older(world: object) -> None:
    """The panels of this cell's earlier runs, and the one that this world has: two threads must never run one world."""
    here = _here()
    older = [_of_worlds.get(world)]
    if here is not None:
        cell, request = here
        made = _of_cells.pop(cell, [])
        _of_cells[cell] = [entry for entry in made if entry[0] == request]
        older += [panel for made_by, panel in made if made_by != request]
    for reference in older:
        panel = reference() if reference is not None else None
        if panel is not None:
            panel.close()


def _remember(panel: Panel, world: object) -> None:
    _of_worlds[world] = weakref.ref(panel)
    here = _here()
    if here is not None:
        _of_cells.setdefault(here[0], []).append((here[1], weakref.ref(panel)))
