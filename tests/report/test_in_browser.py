"""The page in a real browser: it loads in silence, sorts, shows all pictures, and fits a phone and a dark room."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .browser import find_browser, visit

pytestmark = pytest.mark.skipif(find_browser() is None, reason="there is no Chromium: apt-get install chromium")

SORT = """
const table = document.querySelectorAll('table.sortable')[{table}];
const head = table.tHead.rows[0].cells[{column}];
const told = [];
for (let press = 0; press < 2; press += 1) {{
  head.querySelector('button').click();
  const cells = Array.from(table.tBodies[0].rows, (row) => row.cells[{column}].textContent.trim());
  told.push([head.getAttribute('aria-sort'), ...cells]);
}}
told.push(table.querySelectorAll('[aria-sort]').length);
return told;
"""


def test_it_loads_in_silence_and_shows_every_picture(page: Path, tmp_path: Path) -> None:
    found = visit(page, tmp_path, "return [document.title, ...Array.from(document.images, (i) => i.naturalWidth)];")
    assert found.console == []
    title, *widths = found.told
    assert title == "Dataset001_Toy: comparison of trainers"  # no name of the page has run as a script
    assert len(widths) >= 16
    assert min(widths) > 0


def test_a_broken_page_would_be_heard(page: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    text = page.read_text(encoding="utf-8").replace("data:image/png;base64,", "data:image/png;base64,A", 1)
    broken.write_text(text.replace("<main", "<script>nothing.there</script><img src='http://127.0.0.1/x.png'><main"))
    found = visit(broken, tmp_path, "return Array.from(document.images, (i) => i.naturalWidth);")
    assert any("nothing is not defined" in line for line in found.console)
    assert any("Content Security Policy" in line for line in found.console)  # the network is closed to the page
    assert found.told.count(0) == 2


def test_a_press_on_a_name_sorts_by_numbers_and_another_turns_round(page: Path, tmp_path: Path) -> None:
    up, down, marked = visit(page, tmp_path, SORT.format(table=7, column=2)).told
    assert up == ["ascending", *sorted(up[1:], key=float)]
    assert down == ["descending", *up[:0:-1]]
    assert up[1] == "0.5000"
    assert marked == 1


def test_names_are_sorted_as_words(page: Path, tmp_path: Path) -> None:
    up, down, _ = visit(page, tmp_path, SORT.format(table=7, column=0)).told
    assert up[1:] == ["a<b>&'c", *(f"case{i}" for i in range(7))]
    assert down[1:] == up[:0:-1]


def test_words_are_sorted_in_columns_of_numbers_too(page: Path, tmp_path: Path) -> None:
    worded = tmp_path / "worded.html"
    text = page.read_text(encoding="utf-8")
    worded.write_text(re.sub(r'<td data-number="0[^"]*">(0\.)', r'<td data-number="">word \1', text), encoding="utf-8")
    up, down, _ = visit(worded, tmp_path, SORT.format(table=7, column=2)).told
    assert up[1:] == sorted(up[1:])
    assert down[1:] == up[:0:-1]
    assert up[1] == "word 0.5000"


def test_what_has_no_value_stands_last_in_either_order(page: Path, tmp_path: Path) -> None:
    lacking = tmp_path / "lacking.html"
    text = page.read_text(encoding="utf-8")
    head, _, tail = text.rpartition('<td data-number="0.5">0.5000</td>')
    lacking.write_text(f'{head}<td data-number="">–</td>{tail}', encoding="utf-8")
    up, down, _ = visit(lacking, tmp_path, SORT.format(table=7, column=2)).told
    assert up[-1] == down[-1] == "–"
    assert up[1] == down[-2] == "0.7000"


def test_a_phone_scrolls_tables_in_their_boxes_and_never_the_page(page: Path, tmp_path: Path) -> None:
    script = """
    document.querySelectorAll('details').forEach((part) => { part.open = true; });
    const root = document.documentElement;
    const boxes = Array.from(document.querySelectorAll('.scroll'));
    return [innerWidth, root.scrollWidth, boxes.some((box) => box.scrollWidth > box.clientWidth)];
    """
    inner, whole, scrolls = visit(page, tmp_path, script, width=360).told
    assert inner == 360
    assert whole <= inner
    assert scrolls


def test_every_box_that_scrolls_can_be_reached_by_key(page: Path, tmp_path: Path) -> None:
    script = """
    document.querySelectorAll('details').forEach((part) => { part.open = true; });
    return Array.from(document.querySelectorAll('.scroll, th button, summary, nav a'), (part) => {
      part.focus(); return document.activeElement === part;
    });
    """
    reached = visit(page, tmp_path, script).told
    assert len(reached) > 40
    assert all(reached)


@pytest.mark.parametrize("dark", [False, True])
def test_text_and_figures_stand_out_in_light_and_dark(page: Path, tmp_path: Path, dark: bool) -> None:
    script = """
    const style = (part) => getComputedStyle(part);
    const ground = style(document.body).backgroundColor;
    return [ground, style(document.body).color, style(document.querySelector('.plot svg text')).fill,
            style(document.querySelector('.plot svg path')).fill];
    """
    ground, text, label, backdrop = visit(page, tmp_path, script, dark=dark).told
    brightness = [sum(map(int, colour[4:-1].split(","))) / 3 for colour in (ground, text, label)]
    assert (brightness[0] < 60) == dark
    assert abs(brightness[0] - brightness[1]) > 180
    assert brightness[1] == brightness[2]
    assert backdrop == "none"
