"""What docs/exploring.md shows is what one sees."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_explore import look_then_set, set_nx_px, setnx_then_expire, watch_then_multi

from labsched.worlds import explore

PAGE = (Path(__file__).parents[1] / "docs" / "exploring.md").read_text()
PROGRAMS = {
    "GET, then SET": look_then_set,
    "SETNX, then EXPIRE": setnx_then_expire,
    "SET NX PX": set_nx_px,
    "WATCH, GET, MULTI to EXEC": watch_then_multi,
}


def test_the_first_example_prints_what_stands_below_it(capsys):
    code, output = re.search(r"```python\n(.*?)```\n\n```\n(.*?)```", PAGE, re.DOTALL).groups()
    exec(compile(code, "exploring.md", "exec"), {})
    assert capsys.readouterr().out == output


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_table_of_locks_has_the_counts(name):
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| {name} |"))
    total, bad, crashes, pauses = (cell.strip() for cell in row.split("|")[2:6])
    assert explore(PROGRAMS[name]).total == int(total) and explore(PROGRAMS[name]).bad == int(bad)
    for option, cell in (("crashes", crashes), ("pauses", pauses)):
        found = explore(PROGRAMS[name], **{option: True})
        assert cell.startswith(f"{found.bad} of {found.total}")
