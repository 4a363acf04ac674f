"""A real browser for the tests of pages, and what they share: the system's Chromium, headless, without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def chromium():
    """Where it is; the tests are skipped, with this reason, where it is not."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.skip("no chromium here: install it, or name it with CHROMIUM")
    return found


@contextmanager
def browsing():
    """A browser, closed at the end."""
    path = chromium()
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def opened(browser, path, width=1280, height=900, scheme="light"):
    """A page from the disk, ready; page.troubles collects what went wrong, page.asked what it asked for."""
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.troubles, page.asked = [], []
    page.on("console", lambda said: page.troubles.append(said.text))
    page.on("pageerror", lambda error: page.troubles.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(path.as_uri())
    return page


def written(folder, text):
    path = folder / "page.html"
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
    return path


def shown(page, name):
    return page.locator(f"#{name} b").inner_text()


def percent(x):
    return "–" if x is None else f"{x:.1%}"


def groupsigma(*words):
    done = subprocess.run([sys.executable, "-m", "groupsigma.cli", *words], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr
