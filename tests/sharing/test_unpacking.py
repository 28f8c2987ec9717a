"""Zip files that no export-model has made are refused, and leave nothing behind."""

from __future__ import annotations

import copy
import io
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autodiffseg.cli import run
from autodiffseg.sharing.manifest import is_known_file, is_safe_name

Entries = list[tuple[zipfile.ZipInfo, bytes]]


@pytest.fixture(scope="module")
def exported(trained_phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shared") / "model.zip"
    assert run(["export-model", str(next(trained_phantom.glob("results/*/supervised*"))), "-o", str(out)]) == 0
    return out


def entries_of(path: Path) -> Entries:
    with zipfile.ZipFile(path) as archive:
        return [(info, archive.read(info)) for info in archive.infolist()]


def refused(entries: Entries, folder: Path, capsys: Any) -> str:
    """What import-model says of a zip file with these entries; nothing may be left of it."""
    with zipfile.ZipFile(folder / "bad.zip", "w") as archive:
        for info, content in entries:
            archive.writestr(info, content)
    return refused_file(folder / "bad.zip", capsys)


def refused_file(path: Path, capsys: Any) -> str:
    before = sorted(path.parent.parent.rglob("*"))
    capsys.readouterr()
    assert run(["import-model", str(path), "-o", str(path.parent / "in")]) == 2
    after = sorted(place for place in path.parent.parent.rglob("*") if place != path.parent / "in")
    assert after == before
    assert not (path.parent / "in").exists() or not list((path.parent / "in").iterdir())
    told: str = capsys.readouterr().err
    assert told.count("\n") == 1
    return told


def info(name: str, *, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr = mode << 16
    return made


@pytest.mark.parametrize(
    "name",
    [
        "../evil.txt",
        "m/../../evil.txt",
        "/etc/evil.txt",
        "C:/evil.txt",
        "m\\..\\evil.txt",
        "m/fold_0/../run.json",
        "m/fold_0/evil.py",
        "m//plan.json",
        "./model.json",
        "..",
        "m/fold_0/",
    ],
)
def test_a_name_that_no_exported_model_has_is_refused(name: str, exported: Path, tmp_path: Path, capsys: Any) -> None:
    assert not is_known_file(name)
    told = refused([*entries_of(exported), (info(name), b"evil")], tmp_path, capsys)
    assert "Nothing was imported" in told


@pytest.mark.parametrize(
    "name", ["..", ".", "", "a/b", "a\\b", "C:x", "a\x00b", "~x", ".hidden", "x.", "x ", "n" * 201]
)
def test_folders_are_named_so_that_they_are_in_the_results(name: str) -> None:
    assert not is_safe_name(name)


def test_names_of_runs_are_safe() -> None:
    assert is_safe_name("recycling__cpu__3d_fullres__n3-ls0")
    assert is_known_file("recycling__cpu__2d/fold_all/validation/summary.json")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFDIR])
def test_links_and_devices_are_refused(kind: int, exported: Path, tmp_path: Path, capsys: Any) -> None:
    entries = entries_of(exported)
    entries[-1][0].external_attr = (kind | 0o777) << 16
    assert "is a link or no plain file" in refused(entries, tmp_path, capsys)


@pytest.mark.parametrize("change", [str, str.upper])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_refused(
    change: Callable[[str], str], exported: Path, tmp_path: Path, capsys: Any
) -> None:
    entries = entries_of(exported)
    doubled = next(one for one in entries if one[0].filename.endswith("plan.json"))
    folder, _, rest = doubled[0].filename.partition("/")
    told = refused([*entries, (info(f"{change(folder)}/{rest}"), b"{}")], tmp_path, capsys)
    assert "is in it twice" in told


def test_a_zip_bomb_is_refused(exported: Path, tmp_path: Path, capsys: Any) -> None:
    entries = entries_of(exported)
    bomb = info("bomb/fold_0/progress.csv")
    bomb.compress_type = zipfile.ZIP_DEFLATED
    assert "would grow from" in refused([*entries, (bomb, bytes(2**20 + 1))], tmp_path, capsys)


def test_entries_that_share_their_bytes_are_refused(exported: Path, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "bad.zip").write_bytes(exported.read_bytes())
    with zipfile.ZipFile(tmp_path / "bad.zip", "a") as archive:
        weights = next(one for one in archive.filelist if one.filename.endswith(".pt"))
        for fold in range(1, 3):
            shared = copy.copy(weights)
            shared.filename = weights.filename.replace("fold_0", f"fold_{fold}")
            archive.filelist.append(shared)
        archive._didModify = True  # type: ignore[attr-defined]  # so that the directory is written anew
    assert "says to hold" in refused_file(tmp_path / "bad.zip", capsys)


def test_a_file_that_is_longer_than_it_says_is_refused(exported: Path, tmp_path: Path, capsys: Any) -> None:
    entries = entries_of(exported)
    target = next(one for one in entries if one[0].filename.endswith("progress.csv"))
    target[0].compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        for one, content in entries:
            archive.writestr(one, content + (b"\n" * 5000 if one is target[0] else b""))
    data = bytearray((tmp_path / "bad.zip").read_bytes())
    wrong, right = ((len(target[1]) + extra).to_bytes(4, "little") for extra in (5000, 0))
    for _ in range(data.count(wrong)):
        at = data.index(wrong)
        data[at : at + 4] = right
    (tmp_path / "bad.zip").write_bytes(data)
    told = refused_file(tmp_path / "bad.zip", capsys)
    assert "no zip file that can be read (Bad CRC-32 for file" in told  # what is read ends where the size says


def test_a_changed_byte_is_noticed(exported: Path, tmp_path: Path, capsys: Any) -> None:
    entries = [
        (one, content.replace(b"3d_fullres", b"3d_fullreS") if one.filename.endswith("run.json") else content)
        for one, content in entries_of(exported)
    ]
    assert "is damaged or was changed" in refused(entries, tmp_path, capsys)


def test_weights_that_would_execute_something_are_refused(exported: Path, tmp_path: Path, capsys: Any) -> None:
    marker = tmp_path / "executed"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (marker,))

    buffer = io.BytesIO()
    torch.save({"format": 1, "network": Evil()}, buffer)
    told = refused(_with(entries_of(exported), "checkpoint_last.pt", buffer.getvalue()), tmp_path, capsys)
    assert "holds no sound model" in told
    assert "no readable checkpoint" in told
    assert not marker.exists()


def test_weights_that_would_fill_the_memory_are_refused(exported: Path, tmp_path: Path, capsys: Any) -> None:
    weights = next(content for one, content in entries_of(exported) if one.filename.endswith("checkpoint_last.pt"))
    bomb = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(weights)) as plain, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in plain.namelist():
            archive.writestr(name, plain.read(name))
    told = refused(_with(entries_of(exported), "checkpoint_last.pt", bomb.getvalue()), tmp_path, capsys)
    assert "checkpoint_last.pt is compressed, which no checkpoint is" in told


def test_a_trainer_that_would_be_imported_unannounced_is_refused(exported: Path, tmp_path: Path, capsys: Any) -> None:
    record = next(content for one, content in entries_of(exported) if one.filename.endswith("run.json"))
    other = json.dumps(json.loads(record) | {"trainer": "antigravity:Trainer"}).encode()
    told = refused(_with(entries_of(exported), "run.json", other), tmp_path, capsys)
    assert "is of the trainer antigravity:Trainer, of which model.json says nothing" in told


@pytest.mark.parametrize("change", [{"fold": "../../x"}, {"dataset": "Dataset001_Other"}])
def test_a_record_of_another_place_is_refused(
    change: dict[str, str], exported: Path, tmp_path: Path, capsys: Any
) -> None:
    record = next(content for one, content in entries_of(exported) if one.filename.endswith("run.json"))
    other = json.dumps(json.loads(record) | change).encode()
    told = refused(_with(entries_of(exported), "run.json", other), tmp_path, capsys)
    assert "run.json is of another fold or dataset" in told


def test_weights_of_another_trainer_than_their_record_are_refused(exported: Path, tmp_path: Path, capsys: Any) -> None:
    weights = next(content for one, content in entries_of(exported) if one.filename.endswith("checkpoint_last.pt"))
    buffer = io.BytesIO()
    torch.save(torch.load(io.BytesIO(weights), weights_only=True) | {"trainer": "antigravity:Trainer"}, buffer)
    told = refused(_with(entries_of(exported), "checkpoint_last.pt", buffer.getvalue()), tmp_path, capsys)
    assert "is of another trainer than its run.json" in told


def test_a_damaged_stream_is_told_in_a_line(exported: Path, tmp_path: Path, capsys: Any) -> None:
    data = bytearray(exported.read_bytes())
    with zipfile.ZipFile(exported) as archive:
        damaged = archive.getinfo("model.json")
    start = damaged.header_offset + 30 + len(damaged.filename)
    data[start : start + 20] = b"\xff" * 20  # a kind of block that deflate does not have
    (tmp_path / "bad.zip").write_bytes(data)
    assert "no zip file that can be read" in refused_file(tmp_path / "bad.zip", capsys)


@pytest.mark.parametrize("content", [b'{"wrong": 1}', b"[" * 200_000], ids=["wrong", "deep"])
@pytest.mark.parametrize("file", ["run.json", "plan.json", "summary.json", "dataset.json"])
def test_records_of_another_kind_are_refused(
    content: bytes, file: str, exported: Path, tmp_path: Path, capsys: Any
) -> None:
    told = refused(_with(entries_of(exported), f"/{file}", content), tmp_path, capsys)
    assert f"holds no sound model: {Path('supervised')}" in told
    assert file in told


def test_what_is_not_from_export_model_is_refused(exported: Path, tmp_path: Path, capsys: Any) -> None:
    without = [one for one in entries_of(exported) if one[0].filename != "model.json"]
    assert "was not made by" in refused(without, tmp_path, capsys)
    missing = [one for one in entries_of(exported) if not one[0].filename.endswith("run.json")]
    assert "is not as model.json lists it" in refused(missing, tmp_path, capsys)
    (tmp_path / "text.zip").write_text("no zip")
    assert "no zip file that can be read" in refused_file(tmp_path / "text.zip", capsys)
    whole = exported.read_bytes()
    (tmp_path / "half.zip").write_bytes(whole[: len(whole) // 2])
    assert "no zip file that can be read" in refused_file(tmp_path / "half.zip", capsys)
    assert "does not exist" in refused_file(tmp_path / "nowhere.zip", capsys)


def _with(entries: Entries, ending: str, content: bytes) -> Entries:
    """The entries with another content of one file, and a model.json that has its size and hash."""
    import hashlib

    changed = [(one, content if one.filename.endswith(ending) else old) for one, old in entries]
    listed = json.loads(next(old for one, old in changed if one.filename == "model.json"))
    for one, new in changed:
        if one.filename in listed["files"]:
            listed["files"][one.filename] = {"bytes": len(new), "sha256": hashlib.sha256(new).hexdigest()}
    return [(one, json.dumps(listed).encode() if one.filename == "model.json" else new) for one, new in changed]
