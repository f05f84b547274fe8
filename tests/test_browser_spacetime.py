"""The interactive space-time picture in JupyterLab, in a real browser: marks are pressed, and what is lit is read.

Screenshots go to the folder named by LABSCHED_SCREENSHOTS, else to pytest's temporary folder.
"""

import os
from pathlib import Path

import pytest
from histories import History, X
from labserver import CHROMIUM, browser_page, jupyterlab, notebook, run_cells

from labsched import lab
from labsched.worlds.messages import Message

ROOT = Path(__file__).parent.parent
HOSTILE = "<img src=x onerror=window.hurt=1></svg><script>window.hurt=1</script>"
CELL = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests")!r})
from test_browser_spacetime import drawn
view = drawn().interactive()
view
"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


def drawn():
    """i1 runs a slot, is paused and comes back to run it again; its task and a message have names that attack."""
    h = History().at(0.1).join("i1", 1).join("i2", 2).elect("i1", 3, token=1)
    h.at(2).ready(X(2, HOSTILE), slot=2, task=HOSTILE).run(X(2, HOSTILE), 20, "i1").at(3).fault("pause", "i1")
    h.at(5).fault("resume", "i1")
    log = []
    for at, who, name in [
        (1, "i1", "claim"),
        (1.5, "i2", "claim"),
        (2.5, "i2", HOSTILE),
        (5.2, "i1", "done"),
    ]:
        log += [
            Message(at, at + 0.2, who, "server", "request", name, 10, ""),
            Message(at + 0.2, at + 0.4, "server", who, "reply", name, 10, ""),
        ]
    log.append(Message(5.8, None, "i2", "server", "request", "lost", 10, "lossy"))
    return lab.spacetime(h.rec(8, message_log=log), 0.5, 6.5)


def lit(page):
    rows = page.locator(".ls-spacetime g.ls-lit").evaluate_all(
        "found => found.map(g => Number(g.dataset.mark))"
    )
    return set(rows)


def press(page, row, **more):
    """On the stroke of that message: the middle of its box lies on the line."""
    page.locator(f".ls-spacetime g[data-mark='{row}'] .ls-wide").first.click(force=True, **more)


@pytest.mark.parametrize("dark", [False, True])
def test_a_pressed_mark_lights_exactly_its_causal_past_and_escape_clears(tmp_path, dark):
    picture = drawn()
    shots = Path(os.environ.get("LABSCHED_SCREENSHOTS") or tmp_path)
    notebook(tmp_path / "view.ipynb", CELL, "print('chosen', view.chosen)", "view.chosen = 2")
    with jupyterlab(tmp_path, dark=dark) as address, browser_page(tmp_path) as page:
        wrong, asked = [], []
        page.on("pageerror", lambda error: wrong.append(error))
        run_cells(page, address("view.ipynb"), 1)
        words = page.locator(".ls-spacetime p")
        words.wait_for()
        page.on("request", lambda request: asked.append(request.url))
        messages = picture.data.index[picture.data.to.notna()]
        for row in messages:
            press(page, row)
            page.locator(f"g.ls-chosen[data-mark='{row}']").first.wait_for()
            assert lit(page) == {*picture.causal_past(row).index}, row
        page.screenshot(path=str(shots / f"spacetime-{'dark' if dark else 'light'}.png"))
        box = page.locator(".ls-spacetime").bounding_box()
        assert box["width"] <= 1265 and box["height"] < 1000
        press(page, messages[-1])  # the second press clears
        assert not lit(page)
        press(page, messages[0])
        page.keyboard.press("Escape")
        assert not lit(page) and "press it" not in words.inner_text()  # the pointer is still on it
        hostile = picture.data.index[picture.data["name"] == HOSTILE][0]
        page.locator(f"g[data-mark='{hostile}'] .ls-wide").first.hover(force=True)
        assert (
            HOSTILE in words.inner_text()
            and "reply sent at 2.700 s, arrived at 2.900 s" in words.inner_text()
        )
        assert (
            page.evaluate("window.hurt") is None
            and not page.locator(".ls-spacetime :is(img, script)").count()
        )
        assert not wrong and all(url.startswith("http://127.0.0.1") for url in asked)


def test_keys_go_from_mark_to_mark_and_a_cell_sees_and_sets_what_is_chosen(tmp_path):
    picture = drawn()
    notebook(tmp_path / "view.ipynb", CELL, "print('chosen', view.chosen)", "view.chosen = 2")
    with jupyterlab(tmp_path) as address, browser_page(tmp_path) as page:
        run_cells(page, address("view.ipynb"), 1)
        page.locator(".ls-spacetime svg").focus()
        for key in ("End", "ArrowRight", "ArrowRight", "ArrowLeft", "Enter"):
            page.keyboard.press(key)
        first = min(picture.data.index, key=lambda row: picture.stamps[row].n)
        assert page.locator("g.ls-chosen").first.get_attribute("data-mark") == str(first)
        page.locator(".jp-Cell .cm-content").nth(1).click()
        page.keyboard.press("Shift+Enter")
        page.get_by_text(f"chosen {first}").wait_for()
        page.keyboard.press("Shift+Enter")
        page.locator("g.ls-chosen[data-mark='2']").first.wait_for()
        assert lit(page) == {*picture.causal_past(2).index}
