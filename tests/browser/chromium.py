"""A real Chromium for the pages' tests: the one that is there, or one that is installed now."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

_SHELL = "chromium-headless-shell"
"""Chromium without windows, which takes half the time for the same pages."""
_NAMES = (_SHELL, "chromium", "chromium-browser", "google-chrome")


def find() -> str | None:
    """The path of a Chromium: the system's, or the one that Playwright has installed; None if there is none."""
    for name in _NAMES:
        if found := shutil.which(name):
            return found
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
    return str(own) if own.exists() else None


def install() -> None:
    """Install one: root from the system's packages, others in their own cache. Raises CalledProcessError."""
    if os.getuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        has_shell = subprocess.run(["apt-cache", "show", "--quiet", _SHELL], capture_output=True, check=False)
        packages = ["chromium" if has_shell.returncode else _SHELL, "fonts-liberation"]
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], check=True)
    else:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)


if __name__ == "__main__":
    if find() is None:
        install()
    if find() is None:
        sys.exit("there is no Chromium, and none could be installed: the tests of the portal need one")
