"""A headless Chromium, driven by its command line: opens a copy of a page, runs a script at its end, and listens."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr",
    "--virtual-time-budget=10000", "--allow-file-access-from-files", "--disable-background-networking",
)  # fmt: skip


@dataclass(frozen=True)
class Visit:
    """What came of opening a page."""

    told: Any
    """What the script told."""
    console: list[str]
    """Errors, warnings and messages of the page's console."""


def find_browser() -> str | None:
    """The program, where there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def visit(page: Path, folder: Path, script: str, *, width: int = 1280, dark: bool = False) -> Visit:
    """Open a copy of `page` in a frame of so many pixels (a window cannot be as narrow as a phone).

    Args:
        page: stays as it is.
        folder: for the copy and the browser's own files.
        script: the body of a function that returns what is to be told; run when everything is loaded.
        width: of the frame.
        dark: whether the reader prefers dark pages.
    """
    program = find_browser()
    assert program is not None
    end = f"<script>addEventListener('load', () => parent.postMessage((() => {{ {script} }})(), '*'));</script></body>"
    text = page.read_text(encoding="utf-8")
    assert text.count("</body>") == 1
    (folder / "copy.html").write_text(text.replace("</body>", end), encoding="utf-8")
    frame = folder / "frame.html"
    frame.write_text(
        "<!DOCTYPE html><body><script>addEventListener('message', (event) => {"
        "const told = document.createElement('pre'); told.textContent = JSON.stringify(event.data);"
        "document.body.append(told); });</script>"
        f"<iframe src='copy.html' width='{width}' height='900'></iframe></body>"
    )
    scheme = "--blink-settings=preferredColorScheme=" + ("0" if dark else "1")
    command = [
        program,
        *FLAGS,
        scheme,
        f"--user-data-dir={folder / 'profile'}",
        "--window-size=1400,1000",
        "--dump-dom",
    ]
    done = subprocess.run([*command, frame.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"<pre>(.*?)</pre>", done.stdout, flags=re.DOTALL)
    console = re.findall(r"^.*CONSOLE.*$", done.stderr, flags=re.MULTILINE)
    return Visit(json.loads(html.unescape(found[1])) if found else None, console)
