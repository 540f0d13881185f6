"""A headless Chromium, of whatever package it comes from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
NONE_FOUND = f"no Chromium: neither CONFRAG_CHROMIUM names one, nor is any of {', '.join(NAMES)} on the PATH"

_ARGUMENTS = ("--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync")


def find() -> str | None:
    """The path of a Chromium: what ``CONFRAG_CHROMIUM`` names, else the first that the PATH has."""
    named = os.environ.get("CONFRAG_CHROMIUM")
    if named:
        return named if Path(named).is_file() else None
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def running() -> Iterator[Browser]:
    """A browser with a profile of its own, which is gone at the end."""
    # Chromium's sandbox refuses to run as root, as in most containers.
    arguments = [*_ARGUMENTS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), headless=True, args=arguments)
        try:
            yield browser
        finally:
            browser.close()
