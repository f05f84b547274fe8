"""The dashboard and the console in a real browser: a leader dies, a task is steered, and hostile text stays text.

Screenshots go to the folder named by LABSCHED_SCREENSHOTS, else to pytest's temporary folder.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from clikit import clean_env
from labserver import CHROMIUM, browser_page
from webkit import HTML, TOKEN, Background

from labsched.web import judge

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


@pytest.fixture
def picture(tmp_path):
    folder = Path(os.environ.get("LABSCHED_SCREENSHOTS") or tmp_path)
    return lambda page, name: page.screenshot(path=str(folder / f"{name}.png"), full_page=True)


@contextlib.contextmanager
def up():
    """`labsched up -n 3` on any port: the dashboard's address, the token, and the processes by name."""
    env = {**clean_env(), "LABSCHED_WEB_PORT": "0", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "labsched", "up", "-n", "3"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    said = ""
    try:
        while "Ctrl-C drains" not in said:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            said += line
        pids = {name: int(pid) for name, pid in re.findall(r"(i\d) \(pid (\d+)\)", said)}
        yield re.search(r"dashboard +(\S+)", said)[1], re.search(r"token +(\S+)", said)[1], pids
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def heard(page):
    """Everything that the browser complains about; a test fails when there is any."""
    found = []
    page.on("console", lambda message: message.type in ("error", "warning") and found.append(message.text))
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("dialog", lambda dialog: (found.append(f"dialog {dialog.message}"), dialog.dismiss()))
    return found


def sign_in(page, token):
    page.get_by_label("Token", exact=True).fill(token)
    page.get_by_role("button", name="Use it").click()


def row(page, table, name):
    return page.locator(
        f"#{table} tbody tr", has=page.locator("td.name", has_text=re.compile(f"^{re.escape(name)}$"))
    )


def test_a_leader_dies_and_the_page_shows_who_leads_next_and_tasks_are_steered_through_it(picture, tmp_path):
    with up() as (address, token, pids), browser_page(tmp_path) as page:
        complaints = heard(page)
        page.goto(address)
        crown = page.locator("#instances tr", has_text="leader")
        crown.wait_for()
        first = crown.locator("td.name").inner_text()
        page.locator("#guarantees li[data-light=green]").first.wait_for()
        picture(page, "dashboard")

        os.kill(pids[first], signal.SIGKILL)
        page.locator("#instances tr", has_text="leader").filter(
            has_not=page.locator("td.name", has_text=first)
        ).wait_for()
        page.locator("#events li", has_text="LEADER_ELECTED").first.wait_for()
        row(page, "instances", first).wait_for(state="detached")

        page.get_by_role("button", name="Pause data-backup").click()
        sign_in(page, "not the token")
        page.locator("#notice", has_text="that is not the token").wait_for()
        page.get_by_role("button", name="Pause data-backup").click()
        sign_in(page, token)
        row(page, "tasks", "data-backup").locator("td", has_text="paused").wait_for()
        page.get_by_role("button", name="Trigger data-backup").click()
        page.locator("#running tbody tr, #recent tbody tr", has_text="data-backup~").first.wait_for()
        page.get_by_role("button", name="Resume data-backup").click()
        row(page, "tasks", "data-backup").locator("td", has_text="active").wait_for()
        assert token not in page.url
        picture(page, "dashboard-after")
        # The one complaint is the browser's own about the 401 of the wrong token.
        assert [c for c in complaints if "401" not in c] == []


@pytest.mark.parametrize(("scheme", "width"), [("dark", 1400), ("light", 390)])
def test_hostile_text_stays_text_in_every_view(picture, tmp_path, scheme, width):
    with Background() as server, browser_page(tmp_path) as page:
        complaints = heard(page)
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        hostile = server.call(server.app.trigger(HTML))
        broken = server.call(server.app.trigger("break"))
        greeted = server.call(server.app.trigger("greet", name="<img src=x onerror=alert(2)>"))
        for run in (hostile, broken, greeted):
            server.call(server.app.wait(run, timeout=10))
        page.goto(server.web.dashboard)
        row(page, "tasks", HTML).wait_for()
        picture(page, f"dashboard-{scheme}-{width}")
        # Nothing is wider than the page: only the tables scroll, and what one acts with is in sight.
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for name in ("Drain i1", "Trigger greet", "Pause greet", "Requeue " + broken):
            box = page.get_by_role("button", name=name, exact=True).bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= width, name
            assert page.get_by_role("button", name=name, exact=True).evaluate(
                "b => { b.scrollIntoView({block: 'center'}); const r = b.getBoundingClientRect();"
                " return document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2) === b; }"
            ), name
        covered = (
            "r => { const [a, b] = [-2, -1].map(n => [...r.cells].at(n).getBoundingClientRect());"
            " return a.right > b.left + 1; }"
        )
        if width > 560:  # a phone leaves columns out
            for wide in (880, 941, 1000, 1280, width):
                page.set_viewport_size({"width": wide, "height": 900})
                assert not page.locator("#recent tbody tr", has_text="Requeue").first.evaluate(covered), wide

        console = f"{server.web.url}/scheduler/console"
        for view, said in (
            ("tasks", HTML), ("executions", hostile), ("execution/" + hostile.replace("/", "%2F"), hostile),
            (f"execution/{broken}", "<script>alert(1)</script>"),
            (f"execution/{greeted}", "<img src=x onerror=alert(2)>"),
            ("events", HTML), ("keys", "counts"), ("key/events", HTML), ("instances", "i1"), ("locks", "no lock"),
        ):  # fmt: skip
            page.goto(f"{console}#/{view}")
            page.locator("#view", has_text=said).wait_for()
            assert page.locator("#view img, #view script").count() == 0
        picture(page, f"console-{scheme}-{width}")
        page.goto(f"{console}#/%E0%A4%A")  # no address at all: the first view, and no error
        page.locator("#view", has_text="greet").wait_for()
        page.goto(f"{console}#/executions")
        for field, moment, there in (
            ("since", "2000-01-01T00:00:00", True),
            ("before", "2000-01-01T00:00:00", False),
        ):
            page.goto(f"{console}#/executions/")
            page.locator("#view[data-shows='#/executions/']").wait_for()  # the form before it is another
            page.locator(f"[name={field}]").fill(moment)
            page.get_by_role("button", name="Find").click()
            page.locator("#view", has_text=broken if there else "no run is like that").wait_for()
        assert complaints == []


def test_a_violated_guarantee_is_a_red_banner_that_is_read_out(monkeypatch, picture, tmp_path):
    monkeypatch.setattr(judge, "EVERY", 0.5)
    with Background() as server, browser_page(tmp_path) as page:
        page.goto(server.web.dashboard)
        page.locator("#judged", has_text="judged over").wait_for()
        done = server.call(server.app.wait(server.call(server.app.trigger("greet")), timeout=10))
        row(page, "recent", done.id).wait_for()
        forged = {"kind": "SUCCEEDED", "task": "greet", "execution": done.id, "attempt": "2", "token": "7",
                  "instance": "<b>i9</b>", "epoch": "", "data": "{}"}  # fmt: skip
        store = server.app._client
        server.call(store.redis.xadd(store.key("events"), forged))
        banner = page.get_by_role("alert")
        banner.wait_for()
        said = banner.inner_text()
        assert "effect-once is violated: " in said and f"{done.id} committed a second result" in said
        assert "<b>i9</b>" in said and banner.locator("b").count() == 0
        page.locator("#guarantees li[data-light=red]", has_text="effect-once: violated").wait_for()
        picture(page, "violated")
        red, green, blue = map(
            int, re.findall(r"\d+", banner.evaluate("b => getComputedStyle(b).backgroundColor"))[:3]
        )
        assert red > 150 and green < 60 and blue < 60


def test_runs_tasks_and_instances_lead_to_the_console(tmp_path):
    with Background() as server, browser_page(tmp_path) as page:
        complaints = heard(page)
        run = server.call(server.app.trigger(HTML))
        for table, name, said in (
            ("recent", run, "attempts"),
            ("tasks", HTML, "its runs"),
            ("instances", "i1", run),
        ):
            page.goto(server.web.dashboard)
            row(page, table, name).locator("td.name a").click()
            page.locator("#view", has_text=said).wait_for()
            assert "/scheduler/console#/" in page.url and page.locator("#view img").count() == 0
        assert complaints == []


def test_charts_and_timeline_are_told_in_words_and_the_feed_can_be_thinned(tmp_path):
    with Background() as server, browser_page(tmp_path) as page:
        page.goto(server.web.dashboard)
        page.get_by_role(
            "img", name=re.compile(r"^Runs per second, at .*: succeeded \d+.s, at most")
        ).wait_for()
        page.get_by_role(
            "img", name=re.compile(r"^Worst lateness, at .*worst lateness \d+ ms, at most")
        ).wait_for()
        run = server.call(server.app.trigger("greet"))
        page.locator("#events li", has_text=run).first.wait_for()
        page.get_by_role(
            "img", name=re.compile(r"^Attempts of the last 120 seconds .* i1: 1 attempts")
        ).wait_for()
        page.get_by_label("only the cluster, tasks and trouble").check()
        page.locator("#events li", has_text="INSTANCE_JOINED").wait_for()
        assert page.locator("#events li", has_text=run).count() == 0


def test_the_page_says_when_it_is_cut_off_and_comes_back_by_itself(tmp_path):
    live = re.compile("^live$")
    with browser_page(tmp_path) as page:
        with Background() as server:
            page.goto(server.web.dashboard)
            page.locator("#link", has_text=live).wait_for()
        page.locator("#link", has_text="connection lost").wait_for()
        with Background(port=server.web.port):
            page.locator("#link", has_text=live).wait_for()
            row(page, "tasks", "greet").wait_for()


def test_it_is_worked_by_keyboard_alone(tmp_path):
    with Background() as server, browser_page(tmp_path) as page:
        page.goto(server.web.dashboard)
        row(page, "tasks", "greet").wait_for()
        page.get_by_role("button", name="Pause greet").focus()
        page.keyboard.press("Enter")
        page.keyboard.type(TOKEN)
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        row(page, "tasks", "greet").locator("td", has_text="paused").wait_for()
        # The row was changed in place, and so was its button: the focus is where it was.
        page.get_by_role("button", name="Resume greet").wait_for()
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Resume greet"
        page.keyboard.press("Enter")
        row(page, "tasks", "greet").locator("td", has_text="active").wait_for()
