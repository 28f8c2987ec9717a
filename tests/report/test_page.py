"""The page as a file: whole, self-contained, readable without eyes, and closed to names that look like HTML."""

from __future__ import annotations

import base64
import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from autodiffseg.cli import run

from .conftest import CASES, DATASET, EVIL, write_run

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Outline(HTMLParser):
    """Every element with its attributes, and the elements that were closed wrongly."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.wrong: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.wrong += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.wrong.append(tag)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def outline(text: str) -> Outline:
    return Outline(text)


def test_every_element_is_closed_and_no_id_comes_twice(outline: Outline) -> None:
    assert outline.wrong == []
    ids = Counter(attributes["id"] for _, attributes in outline.elements if "id" in attributes)
    assert [name for name, count in ids.items() if count > 1] == []


def test_the_page_loads_nothing(outline: Outline, text: str) -> None:
    for tag, attributes in outline.elements:
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png;base64,")), (tag, attributes)
    assert "default-src 'none'" in text
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_pictures_are_small_pngs_with_a_description(outline: Outline) -> None:
    pictures = outline.all("img")
    assert len(pictures) >= 4 * 4  # image, reference and two rows of four cases
    for picture in pictures:
        data = base64.b64decode(picture["src"].partition(",")[2])
        assert data.startswith(b"\x89PNG")
        assert max(int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")) == 360
        assert len(picture["alt"]) > 10


def test_figures_have_a_description(outline: Outline) -> None:
    drawn = [attributes for attributes in outline.all("svg") if attributes.get("role") == "img"]
    assert len(drawn) == 2 + 2 + 2  # classes and pairs of two metrics, two training curves
    assert all(len(attributes["aria-label"]) > 20 for attributes in drawn)


def test_every_column_of_a_sortable_table_has_a_button(text: str) -> None:
    tables = re.findall(r'<table class="sortable">(.*?)</table>', text, flags=re.DOTALL)
    assert len(tables) == 8  # scores, intervals, two against the baseline, classes, two of cost; cases
    for table in tables:
        head = table.partition("</thead>")[0]
        assert head.count("<th ") == head.count('<button type="button">') > 1


def test_names_are_shown_as_they_are_and_never_as_html(outline: Outline, text: str) -> None:
    assert EVIL not in text
    assert text.count("&lt;img src=x onerror") >= 3  # command, hardware, plan
    assert "a&lt;b&gt;&amp;&#39;c" in text
    assert all(set(attributes) <= {"src", "alt"} for attributes in outline.all("img"))
    assert "$x_2$" in text.partition('id="classes"')[2]  # in a figure too, where it is no formula


def test_the_page_says_how_it_came_about_and_what_holds(text: str) -> None:
    plain = re.sub(r"<[^>]+>", "", text)
    assert "autodiffseg compare 1 --workspace" in plain
    assert "Same number of updates" in plain
    assert "not of training them anew" in plain
    assert "Every row is one training" in plain  # no spread over seeds is known
    assert "because &lt;img" in plain  # the plan's reasons


def test_without_images_outlines_are_drawn_on_black_and_that_is_said(toy: Path, tmp_path: Path) -> None:
    place = shutil.copytree(toy, tmp_path / "workspace")
    shutil.rmtree(place / "raw")
    page = tmp_path / "report.html"
    assert run(["compare", "1", "--workspace", str(place), "--html", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "drawn on black" in text
    assert text.count("data:image/png") >= 16


def test_a_prediction_that_is_gone_costs_its_pictures_alone(toy: Path, tmp_path: Path) -> None:
    place = shutil.copytree(toy, tmp_path / "workspace")
    page = tmp_path / "report.html"
    for run_folder in (place / "results" / DATASET).iterdir():
        (run_folder / "fold_0" / "validation" / f"{CASES[0]}.nii.gz").unlink()
    shutil.move(toy, toy.with_name("elsewhere"))  # where summary.json says that the files were written
    try:
        assert run(["compare", "1", "--workspace", str(place), "--html", str(page)]) == 0
    finally:
        shutil.move(toy.with_name("elsewhere"), toy)
    text = page.read_text(encoding="utf-8")
    assert "No pictures of a&lt;b" in text
    assert text.count("<article>") == 3


def test_three_trainings_show_their_spread(toy: Path, tmp_path: Path) -> None:
    place = shutil.copytree(toy, tmp_path / "workspace")
    for seed in (1, 2):
        write_run(place, "recycling", [0.7 + seed / 100] * len(CASES), 1, tag=f"seed-{seed}", seed=seed)
    page = tmp_path / "report.html"
    assert run(["compare", "1", "--workspace", str(place), "--html", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "a dot is one training" in text
    assert "Every row is one training" not in text
    assert "recycling (3 trainings), seed 2, fold 0" in text


def test_uncertainty_maps_beside_predictions_are_shown(toy: Path, tmp_path: Path) -> None:
    import numpy as np

    from autodiffseg.images import write_image
    from autodiffseg.uncertainty.map_files import TOTAL, map_file

    from .conftest import GRID, SHAPE

    place = shutil.copytree(toy, tmp_path / "workspace")
    folder = place / "results" / DATASET / "recycling__cpu__3d_fullres" / "fold_0" / "validation"
    write_image(map_file(folder, CASES[0], TOTAL), np.full(SHAPE, 0.5, dtype=np.float32), GRID)
    page = tmp_path / "report.html"
    assert run(["compare", "1", "--workspace", str(place), "--html", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.count("uncertainty of recycling") == 1
    assert "0 to 0.50 nats" in text


def test_a_folder_is_no_page(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "1", "--workspace", str(toy), "--html", str(tmp_path), "-o", str(tmp_path)]) == 2
    assert "report.html" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_figures_of_several_trainings_are_written_too(toy: Path, tmp_path: Path) -> None:
    place = shutil.copytree(toy, tmp_path / "workspace")
    for seed in (1, 2):
        write_run(place, "recycling", [0.7 + seed / 100] * len(CASES), 1, tag=f"seed-{seed}", seed=seed)
    assert run(["compare", "1", "--workspace", str(place), "--figures", str(tmp_path / "figures")]) == 0
    assert {"trainings.svg", "trainings.pdf"} <= {path.name for path in (tmp_path / "figures").iterdir()}
