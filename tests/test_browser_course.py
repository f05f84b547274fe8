"""The course's own notebooks in JupyterLab, in a real browser, by a learner who presses Kill where they ask for it."""

import re

import course
import psutil
import pytest
from labserver import CHROMIUM, browser_page, jupyterlab, open_notebook
from test_browser_panel import Panel

from labsched.lab.exercises.copies import COPY, make_copy

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
WRONG = ", ".join(f'[data-mime-type="application/vnd.jupyter.{kind}"]' for kind in ("error", "stderr"))


class Notebook:
    """A learner's copy of one notebook, open in JupyterLab."""

    def __init__(self, page, number: str, address: str) -> None:
        self.page, self.ids = page, [cell.id for cell in course.notebook(number).cells]
        open_notebook(page, address)

    def cell(self, id: str):
        return self.page.locator(".jp-Notebook .jp-Cell").nth(self.ids.index(id))

    def run(self, id: str, what: str) -> None:
        """That entry of the menu Run, at that cell."""
        self.select(id)
        self.choose("Run", what)

    def select(self, id: str) -> None:
        self.cell(id).locator(".cm-content").click()

    def choose(self, menu: str, entry: str) -> None:
        self.page.locator(".lm-MenuBar-item", has_text=re.compile(f"^{menu}$")).click()
        self.page.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^{entry}$")).click()

    def has_run(self, id: str) -> None:
        self.cell(id).locator(".jp-InputPrompt", has_text=re.compile(r"\[\d+\]")).wait_for()

    def without_error(self) -> None:
        assert self.page.locator(WRONG).all_inner_texts() == []

    def figure(self, id: str) -> str:
        """What the figure that this cell shows says in words."""
        drawn = self.cell(id).locator(".jp-OutputArea-output img")
        drawn.scroll_into_view_if_needed()
        assert drawn.evaluate("one => one.naturalWidth") > 100
        return self.cell(id).locator(".jp-OutputArea-output details").text_content()


@pytest.fixture
def learner(tmp_path):
    """Opens a notebook by its number, in a copy as `labsched lab` makes it."""
    make_copy(course.FOLDER, tmp_path / COPY)
    (tmp_path / "data").symlink_to(course.ROOT / "data")
    with jupyterlab(tmp_path) as address, browser_page(tmp_path) as page:
        yield lambda number: Notebook(page, number, address(COPY / course.NOTEBOOKS[number].name))


def kill_the_leader(panel: Panel) -> tuple[str, str]:
    """Who was killed, and who led next. What else a learner is told to look at changes meanwhile."""
    first, timeline = panel.leader(), panel.box.locator("canvas").first
    lamp, green = panel.lamp("one-leader-per-epoch"), "[data-light=green]"
    lamp.and_(panel.page.locator(f":not({green})")).wait_for()  # with one epoch nothing could break it
    before = timeline.screenshot()
    panel.press(first, "Kill")
    panel.becomes(first, "killed")
    second = panel.leads_after(first)
    lamp.and_(panel.page.locator(green)).wait_for()
    assert timeline.screenshot() != before
    return first, second


def test_start_here_is_run_with_a_kill_by_hand_and_its_figure_shows_it(learner, picture):
    lab = learner("00")
    lab.run("finish", "Run All Above Selected Cell")
    panel = Panel(lab.page)
    panel.box.get_by_role("button", name="Play").click()
    first, second = kill_the_leader(panel)
    picture(lab.page, "course-00-panel")
    lab.run("finish", "Run Selected Cell and All Below")
    lab.has_run("real-end")
    told = lab.figure("finish")
    assert re.search(rf"{first} was killed at [\d.]+ s while it led, {second} took over", told)
    assert f'.kill("{first}")' in lab.cell("code").inner_text()
    lab.without_error()
    picture(lab.page, "course-00-figure")


def test_on_real_machines_is_run_with_a_sigkill_by_hand_and_leaves_no_process(learner, picture):
    lab = learner("15")
    lab.run("hand-finish", "Run All Above Selected Cell")
    panel = Panel(lab.page)
    first, second = kill_the_leader(panel)
    picture(lab.page, "course-15-panel")
    lab.select("hand-finish")
    lab.page.keyboard.press("Shift+Enter")
    lab.has_run("hand-finish")
    told = lab.figure("hand-finish")
    assert re.search(rf"{first} was killed at [\d.]+ s while it led, {second} took over", told)
    lab.without_error()
    picture(lab.page, "course-15-figure")

    started = processes_of_the_kernel()
    assert len(started) >= 4, "the kernel, two instances that live, their server"
    lab.choose("Kernel", "Shut Down Kernel")
    _, left = psutil.wait_procs(started, timeout=20)
    assert left == []


def processes_of_the_kernel() -> list[psutil.Process]:
    (kernel,) = (
        process
        for process in psutil.Process().children(recursive=True)
        if "ipykernel_launcher" in process.cmdline()
    )
    return [kernel, *kernel.children(recursive=True)]
