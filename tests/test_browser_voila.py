"""`labsched panel` in a real browser: the page comes without JupyterLab, and its buttons kill."""

import re
import signal
import subprocess
import sys

import pytest
from clikit import clean_env, free_port, wait_for
from labserver import CHROMIUM, WITHIN, browser_page
from test_browser_panel import Panel

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


@pytest.fixture
def served(tmp_path):
    """The page's address; another page on this machine could not guess it."""
    pytest.importorskip("voila", reason="voila is not installed: extra [panel]")
    log = tmp_path / "log"
    words = [sys.executable, "-m", "labsched", "panel", "--seed", "7", "--pace", "5", "--no-browser"]
    with log.open("wb") as out:
        server = subprocess.Popen(
            [*words, "--port", str(free_port())], stdout=out, stderr=out, stdin=subprocess.DEVNULL,
            env=clean_env() | {"HOME": str(tmp_path)},
        )  # fmt: skip
    try:
        wait_for(lambda: "token=" in log.read_text(), "no address", WITHIN / 1000)
        yield re.search(r"http://\S+", log.read_text())[0]
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0, log.read_text()
    finally:
        server.kill()
        server.wait()


def test_kill_on_the_leaders_row_of_the_page_gives_another_instance_the_crown(served, tmp_path):
    with browser_page(tmp_path) as page:
        wrong = []
        page.on("pageerror", lambda error: wrong.append(error))
        page.goto(served, wait_until="domcontentloaded")
        panel = Panel(page)
        first = panel.leader()
        panel.press(first, "Kill")
        panel.becomes(first, "killed")
        panel.leads_after(first)
        assert "labsched.worlds" not in page.inner_text("body")  # the code that made it is not shown
        page.screenshot(path=str(tmp_path / "page.png"))
        assert not wrong
