"""JupyterLab or Notebook 7 on the loopback and headless Chromium, for the tests that press real buttons."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
WITHIN = 60_000  # ms; a browser, a server and a kernel start on a machine that has other things to do


def notebook(path: Path, *cells: str) -> Path:
    """A notebook with these code cells and a kernelspec, so that no dialog asks for one."""
    made = [
        {"cell_type": "code", "id": f"cell-{n}", "metadata": {}, "source": cell, "outputs": [], "execution_count": None}
        for n, cell in enumerate(cells)
    ]  # fmt: skip
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": spec, "cells": made}))
    return path


@contextlib.contextmanager
def jupyterlab(folder: Path, *, dark: bool = False):
    """A server of its own that serves `folder`: yields what makes a notebook's address of its name."""
    theme = "JupyterLab Dark" if dark else "JupyterLab Light"
    _settle(folder, "apputils-extension/themes", theme=theme)
    _settle(folder, "apputils-extension/notification", fetchNews="false")
    _settle(
        folder, "notebook-extension/tracker", windowingMode="none"
    )  # a test looks for cells out of sight too
    no_news = "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"
    with _server(folder, "jupyterlab", no_news, "--LabApp.expose_app_in_browser=True") as address:
        yield lambda name: address(f"doc/tree/{name}")


@contextlib.contextmanager
def notebook7(folder: Path):
    """The same with Notebook 7. Skips, and says so, where it is not installed."""
    pytest.importorskip("notebook", reason="notebook is not installed: extra [browser]")
    with _server(folder, "notebook", "--JupyterNotebookApp.expose_app_in_browser=True") as address:
        yield lambda name: address(f"notebooks/{name}")


def _settle(folder: Path, plugin: str, **settings: str) -> None:
    file = folder / "home" / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(settings))


@contextlib.contextmanager
def _server(folder: Path, module: str, *words: str):
    home = folder / "home"
    home.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    command = [
        *(sys.executable, "-m", module, "--no-browser", "--allow-root", "--ip=127.0.0.1", *words),
        *(f"--port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}"),
        f"--IdentityProvider.token={token}",
    ]
    places = {
        "HOME": home, "JUPYTER_CONFIG_DIR": home / "config", "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime", "IPYTHONDIR": home / "ipython",
        "JUPYTERLAB_SETTINGS_DIR": home / "settings", "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
    }  # fmt: skip
    environment = os.environ | {name: str(place) for name, place in places.items()}
    with open(folder / "jupyter.log", "wb") as log:
        server = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/api/status?token={token}", server, folder / "jupyter.log")
        yield lambda path: f"http://127.0.0.1:{port}/{path}?token={token}"
    finally:
        server.send_signal(signal.SIGTERM)  # it ends its kernels
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    import time

    deadline = time.monotonic() + WITHIN / 1000
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.2)
    pytest.fail(f"Jupyter did not start:\n{log.read_text()[-2000:]}")


@contextlib.contextmanager
def browser_page(folder: Path):
    """A page in a browser of its own. Skips, and says so, where there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: extra [browser]"
    )
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with playwright.sync_playwright() as play:
        context = play.chromium.launch_persistent_context(
            str(folder / "profile"),
            executable_path=CHROMIUM,
            args=FLAGS,
            viewport={"width": 1200, "height": 1150},
        )
        try:
            page = context.new_page()
            page.set_default_timeout(WITHIN)
            yield page
        finally:
            context.close()


# What shows of a kernel says "idle" also before the page has reached it.
READY = """() => {
    const kernel = window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel;
    return kernel?.connectionStatus === "connected" && kernel.status === "idle";
}"""


def open_notebook(page, address: str) -> None:
    """Returns once its kernel waits for work: earlier, a request to run is dropped silently."""
    page.goto(address)
    page.locator(".jp-Notebook").wait_for()
    page.wait_for_function(READY)


def run_cells(page, address: str, count: int) -> None:
    """Open that notebook, wait for its kernel, and run its first `count` cells."""
    open_notebook(page, address)
    page.locator(".jp-Cell .cm-content").first.click()
    for _ in range(count):
        page.keyboard.press("Shift+Enter")


@pytest.fixture
def picture(tmp_path):
    """Keeps what a page shows, in the folder named by LABSCHED_SCREENSHOTS, else in pytest's temporary folder."""
    folder = Path(os.environ.get("LABSCHED_SCREENSHOTS") or tmp_path)

    def take(page, name: str) -> None:
        page.screenshot(path=str(folder / f"{name}.png"))

    return take
