"""The live panel in JupyterLab and Notebook 7, in a real browser: buttons are pressed, and what shows is read."""

import re
from pathlib import Path

import pytest
from labserver import CHROMIUM, browser_page, jupyterlab, notebook, notebook7, run_cells

ROOT = Path(__file__).parent.parent
TASKS = str(ROOT / "data" / "tasks.yml")
SIMULATED = f"""
from labsched import lab
from labsched.worlds import Simulation
panel = lab.control(Simulation(3, seed=7, tasks={TASKS!r}), pace=5)
panel
"""
FORGED = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests")!r})
from vandal import let_in
from labsched import lab
from labsched.worlds import Simulation
sim = Simulation(3, seed=1, tasks={TASKS!r})
let_in(sim, 3.0)
panel = lab.control(sim)
panel
"""
REAL = f"""
from labsched import lab
from labsched.worlds import ProcessCluster
panel = lab.control(ProcessCluster(3, tasks={TASKS!r}))
panel
"""
FINISH = """
rec = panel.finish(until=90)
print(panel.code())
print(rec.check().ok, len(rec.leaders))
"""
TWICE = """
panel.pause()
names = {}
exec(panel.code(), names)
print(panel.code())
print("the same run:", names["rec"].digest == panel.finish().digest)
"""

# Keeps what a screen reader would be given to say.
LISTEN = """() => {
    window.heard = [];
    const voice = document.querySelector(".ls-voice");
    new MutationObserver(() => window.heard.push(voice.textContent)).observe(voice, {childList: true, subtree: true});
}"""
# Milliseconds from the press until the row has changed.
PRESS_KILL = """name => new Promise(done => {
    const row = document.querySelector(`tr[data-instance=${name}]`), began = performance.now();
    new MutationObserver(() => row.dataset.process === "killed" && done(performance.now() - began))
        .observe(row, {attributes: true});
    row.querySelector("button").click();
})"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


class Panel:
    """What a person sees of it."""

    def __init__(self, page) -> None:
        self.page = page
        self.box = page.locator(".labsched-panel").last
        self.box.wait_for()

    def leader(self) -> str:
        crown = self.box.locator("tr.ls-leads")
        crown.wait_for()
        return crown.get_attribute("data-instance")

    def row(self, name: str):
        return self.box.locator(f"tr[data-instance={name}]")

    def press(self, name: str, verb: str) -> None:
        self.row(name).get_by_role("button", name=f"{verb} {name}").click()

    def becomes(self, name: str, state: str) -> None:
        self.row(name).locator("td", has_text=re.compile(f"^{state}")).wait_for()

    def server(self):
        return self.box.locator("tr[data-server=server]")

    def press_server(self, verb: str) -> None:
        self.server().get_by_role("button", name=f"{verb} server", exact=True).click()

    def server_becomes(self, state: str) -> None:
        self.server().locator("td", has_text=re.compile(f"^{state}( |$)")).wait_for()

    def time(self) -> float:
        return float(self.box.locator(".ls-time").inner_text().split()[0])

    def leads_after(self, name: str) -> str:
        """Who gets the crown once that instance has lost it."""
        self.box.locator(f"tr.ls-leads:not([data-instance={name}])").wait_for()
        return self.leader()

    def lamp(self, name: str):
        return self.box.locator(".ls-lamps li", has_text=name)


def test_kill_on_the_leaders_row_shows_at_once_and_another_instance_gets_the_crown(tmp_path, picture):
    notebook(tmp_path / "panel.ipynb", SIMULATED, FINISH)
    with jupyterlab(tmp_path) as address, browser_page(tmp_path) as page:
        wrong = []
        page.on("pageerror", lambda error: wrong.append(error))
        run_cells(page, address("panel.ipynb"), 1)
        panel = Panel(page)
        first = panel.leader()
        panel.lamp("legal-transitions").and_(page.locator("[data-light=green]")).wait_for()
        before = panel.box.locator("canvas").first.screenshot()
        picture(page, "panel-before")

        page.evaluate(LISTEN)
        took = page.evaluate(PRESS_KILL, first)
        print(f"a press showed after {took:.0f} ms")
        assert took < 1000, "ms; 0.3 s on a machine that has nothing else to do"
        panel.becomes(first, "killed")
        second = panel.leads_after(first)
        assert "leader #2" in panel.row(second).inner_text()
        panel.lamp("one-leader-per-epoch").and_(page.locator("[data-light=green]")).wait_for()
        heard = " ".join(page.evaluate("window.heard"))
        assert f"{first} was killed" in heard
        assert f"{second} leads, election #2" in heard
        assert panel.box.locator("canvas").first.screenshot() != before, "the timeline moves"
        picture(page, "panel-after")

        panel.row(first).focus()
        page.keyboard.press("r")
        panel.becomes(first, "running")
        panel.row(second).focus()
        page.keyboard.press("p")
        panel.becomes(second, "paused")
        page.keyboard.press("p")
        panel.becomes(second, "running")
        panel.press(first, "Cut off")
        panel.becomes(first, "cut off")
        picture(page, "panel-faults")

        panel.box.get_by_role("button", name="Pause time").click()
        panel.box.get_by_role("button", name="Play").wait_for()
        there = panel.time()
        panel.box.get_by_role("button", name="Step").click()
        page.wait_for_function(f"parseFloat(document.querySelector('.ls-time').textContent) > {there}")
        panel.box.locator("input[type=range]").evaluate(
            "one => { one.value = 5; one.dispatchEvent(new Event('change')); }"
        )
        page.locator(".ls-time", has_text="5.00 s").wait_for()
        panel.becomes(first, "running")
        assert panel.leader() == first, "as it was at 5 s"
        panel.press(second, "Kill")
        page.locator(".ls-time", has_text="branch 1").wait_for()

        page.locator(".jp-Cell .cm-content").nth(1).click()
        page.keyboard.press("Shift+Enter")
        printed = page.locator(".jp-OutputArea-output pre", has_text="sim = Simulation(")
        printed.wait_for()
        # The verdict comes after the script, once the rest has run: a stored run printed one and not yet the other.
        printed.filter(has_text="True").wait_for()
        assert f'.kill("{second}")' in printed.inner_text()
        assert not wrong


def test_a_server_that_loses_its_data_says_so_in_its_row_and_the_script_tells_the_same_story(
    tmp_path, picture
):
    notebook(tmp_path / "server.ipynb", SIMULATED, TWICE)
    with jupyterlab(tmp_path) as address, browser_page(tmp_path) as page:
        wrong = []
        page.on("pageerror", lambda error: wrong.append(error))
        run_cells(page, address("server.ipynb"), 1)
        panel = Panel(page)
        panel.leader()
        page.evaluate(LISTEN)
        panel.press_server("Lose data")
        panel.server_becomes("down until")
        assert (
            panel.server().get_by_role("button", name="Kill server").get_attribute("title")
            == "it is down: restart it"
        )
        picture(page, "panel-server-down")
        panel.server_becomes("up lost its data at")
        page.locator("tr.ls-leads", has_text="leader #2").wait_for()
        panel.lamp("one-holder").filter(has_text="history reset").wait_for()

        panel.server().focus()
        page.keyboard.press("p")
        panel.server_becomes("paused")
        page.keyboard.press("p")
        panel.server_becomes("up")
        for verb, state in (
            ("Fill", "full"),
            ("Slow", "full, slow"),
            ("Heal", "up"),
            ("Fail over", "up lost"),
        ):
            panel.press_server(verb)
            panel.server_becomes(state)
        panel.press_server("Read-only")
        panel.server_becomes("read-only")
        heard = " ".join(page.evaluate("window.heard"))
        assert "server was restarted, which lost its data" in heard
        picture(page, "panel-server")
        page.set_viewport_size({"width": 720, "height": 1400})
        page.wait_for_function("document.querySelector('.labsched-panel canvas').clientWidth < 720")
        picture(page, "panel-server-narrow")

        page.locator(".jp-Cell .cm-content").nth(1).click()
        page.keyboard.press("Shift+Enter")
        printed = page.locator(".jp-OutputArea-output pre", has_text="the same run:")
        printed.wait_for()
        assert ".restart_server(keep=False, down=1.0)" in printed.inner_text()
        assert "the same run: True" in printed.inner_text()
        assert not wrong


def test_a_red_lamp_opens_the_picture_of_its_violation_also_in_the_dark(tmp_path, picture):
    notebook(tmp_path / "forged.ipynb", FORGED)
    with jupyterlab(tmp_path, dark=True) as address, browser_page(tmp_path) as page:
        run_cells(page, address("forged.ipynb"), 1)
        panel = Panel(page)
        panel.box.get_by_role("button", name="Violation").click()
        lamp = panel.lamp("legal-transitions").and_(page.locator("[data-light=red]"))
        lamp.wait_for()
        assert "forged@1 went from nothing to SUCCEEDED" in lamp.inner_text()
        lamp.get_by_role("button", name="Show it").click()
        shown = panel.box.locator(".ls-picture img")
        shown.wait_for()
        assert shown.get_attribute("alt")
        picture(page, "panel-red-dark")


def test_real_processes_are_killed_by_the_same_button_and_time_is_greyed_with_the_reason(tmp_path, picture):
    notebook(tmp_path / "real.ipynb", REAL, "print(panel.session.cluster.pids)", "panel.close()")
    with jupyterlab(tmp_path) as address, browser_page(tmp_path) as page:
        run_cells(page, address("real.ipynb"), 1)
        panel = Panel(page)
        first = panel.leader()
        for control in ("Pause time", "Step", "Leader change"):
            button = panel.box.get_by_role("button", name=control)
            assert button.is_disabled()
            assert "real processes" in button.get_attribute("title")
        assert panel.box.locator("input[type=range]").is_disabled()
        panel.press(first, "Kill")
        panel.becomes(first, "killed")
        panel.leads_after(first)
        panel.press(first, "Restart")
        panel.becomes(first, "running")
        picture(page, "panel-real")
        panel.box.get_by_role("button", name="End").click()
        page.locator(".ls-notice", has_text="every process has ended").wait_for()


def test_notebook_7_shows_the_panel_and_its_kill_gives_another_instance_the_crown(tmp_path, picture):
    notebook(tmp_path / "panel.ipynb", SIMULATED)
    with notebook7(tmp_path) as address, browser_page(tmp_path) as page:
        run_cells(page, address("panel.ipynb"), 1)
        panel = Panel(page)
        first = panel.leader()
        panel.press(first, "Kill")
        panel.becomes(first, "killed")
        second = panel.leads_after(first)
        assert "leader #2" in panel.row(second).inner_text()
        picture(page, "panel-notebook-7")
