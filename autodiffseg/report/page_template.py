"""Pages from templates: everything that is put into them is escaped, and a name that is not there is an error."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from autodiffseg import __version__
from autodiffseg.invocation import command_line

TEMPLATES = Path(__file__).parent / "templates"


def rendered_page(name: str, **content: Any) -> str:
    """The page of the template `name` with `content`, and with what all pages tell of their making."""
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return page_template(name).render(command=command_line(), version=__version__, made=made, **content)


def page_template(name: str) -> Template:
    """The template in the file `name`."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = code
    return environment.get_template(name)


def code(text: str) -> Markup:
    """A sentence in which what stands between backticks is a command; everything is escaped."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
