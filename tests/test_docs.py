"""Every command line in README, docs and help texts names commands and options that exist, and links lead somewhere."""

from __future__ import annotations

import functools
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from autodiffseg import registry
from autodiffseg.cli import build_app
from autodiffseg.several_values import repeated

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])


@functools.cache
def commands() -> dict[str, Any]:
    """Every command by name, with its parameters; the members of a group are called `convert msd`."""
    found: dict[str, Any] = {}
    for name, command in typer.main.get_command(build_app()).commands.items():  # type: ignore[attr-defined]  # a group
        members = getattr(command, "commands", None)
        found |= {f"{name} {member}": members[member] for member in members} if members else {name: command}
    return found


def command_lines(text: str) -> list[str]:
    """Lines of code blocks and inline code that call the console script; continued lines are joined."""
    text = re.sub(r"\\\n\s*", " ", text)
    blocks = "\n".join(re.findall(r"^```[^\n]*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL))
    lines = [line.strip() for line in blocks.splitlines()]
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return [line for line in (*lines, *inline) if line.startswith("autodiffseg ")]


def faults(line: str) -> list[str]:
    """What of a command line does not exist."""
    words = shlex.split(line, comments=True)[1:]
    if not words or words[0] in ("--help", "--version", "--debug", "<verb>"):
        return []
    if " ".join(words[:2]) in commands():
        words = [" ".join(words[:2]), *words[2:]]
    if words[0] not in commands():
        return [] if len(words) == 1 and words[0] in registry.known(registry.COMMANDS) else [f"no command {words[:2]}"]
    command = commands()[words[0]]
    options = {name: option for option in command.params for name in (*option.opts, *option.secondary_opts)}
    options_without_value = {name for name, option in options.items() if getattr(option, "is_flag", False)}
    found, arguments = [], []
    remaining = iter(repeated(words[1:], getattr(command, "several_values", ())))
    for word in remaining:
        name = word.partition("=")[0]
        if name in ("--help", "--debug") or name in options_without_value:
            continue
        if name.startswith("-"):
            if name not in options:
                found.append(f"{words[0]} has no option '{name}'")
            elif "=" not in word and None in [next(remaining, None) for _ in range(options[name].nargs)]:
                found.append(f"{name} has no value")
        elif word != "…":  # stands for what the reader fills in
            arguments.append(word)
    places = [option for option in command.params if option.param_type_name == "argument"]
    if arguments and all(place.nargs == 1 for place in places) and len(arguments) > len(places):
        found.append(f"{words[0]} takes {len(places)} arguments, not {arguments}")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_command_lines_of_a_page_exist(page: Path) -> None:
    assert {line: faults(line) for line in command_lines(page.read_text(encoding="utf-8")) if faults(line)} == {}


@pytest.mark.parametrize("name", commands())
def test_the_examples_of_a_help_text_exist(name: str) -> None:
    told = (commands()[name].help or "").replace("\b", "")
    lines = [line.strip() for line in re.sub(r"\\\n\s*", " ", told).splitlines()]
    examples = [line.strip("` ") for line in lines if line.strip("` ").startswith("autodiffseg ")]
    assert examples
    assert {line: faults(line) for line in examples if faults(line)} == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readme_shows_the_main_path_and_both_make_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = {line.split()[1] for line in command_lines(text)}
    assert {"plan-and-preprocess", "train", "predict", "compare"} <= shown
    assert "make demo" in text
    assert "make test" in text


@pytest.mark.parametrize(
    "line",
    [
        "autodiffseg tarin Hippocampus 3d_fullres 0",
        "autodiffseg train Hippocampus 3d_fullres 0 --no-such-option 3",
        "autodiffseg train Hippocampus 3d_fullres 0 one-too-many",
        "autodiffseg train Hippocampus 3d_fullres 0 --plan",
    ],
)
def test_the_check_sees_a_wrong_command_line(line: str) -> None:
    assert faults(line)


def test_the_configuration_of_the_docs_can_be_added_to_a_plan(planned_phantom: Path) -> None:
    from autodiffseg.plans import Plan
    from autodiffseg.workspace import Workspace

    text = (ROOT / "docs" / "edit_a_plan.md").read_text(encoding="utf-8")
    own = json.loads(re.findall(r"```json\n(.*?)```", text, flags=re.DOTALL)[0])
    content = json.loads(Workspace(planned_phantom).plan_path("Dataset900_Phantom", "cpu").read_text())
    content["configurations"] |= own
    plan = Plan.check(content, source="the example")
    assert plan.configuration("3d_large_batch").batch_size == 4
    assert plan.configuration("3d_large_batch").patch_size == plan.configuration("3d_fullres").patch_size


def test_the_trainer_of_the_docs_trains(planned_phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from autodiffseg.dataloading.batches import Batch
    from autodiffseg.dataset import DatasetJson
    from autodiffseg.workspace import Workspace

    text = (ROOT / "docs" / "add_a_trainer.md").read_text(encoding="utf-8")
    (tmp_path / "my_trainers.py").write_text(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[0])
    monkeypatch.syspath_prepend(str(tmp_path))
    trainer_class = registry.load(registry.TRAINERS, "my_trainers:MixedTrainer")

    workspace = Workspace(planned_phantom)
    plan = workspace.plan("Dataset900_Phantom", "cpu")
    dataset = DatasetJson.load(workspace.dataset_json_path("Dataset900_Phantom"))
    options = trainer_class.Options(label_share=1.0)
    trainer = trainer_class(plan, "3d_fullres", dataset, options, device=torch.device("cpu"), precision="fp32")
    image = torch.randn(2, 1, 16, 16, 16)
    batch = Batch(image, (image[:, 0] > 0).to(torch.int16), ("a", "b"))
    loss = trainer.loss(batch, torch.Generator().manual_seed(0))
    loss.total.backward()
    assert torch.isfinite(loss.total)

    t = torch.zeros(2, dtype=torch.int64)  # at the first base step the mask is nearly the label
    x0 = torch.sign(torch.randn(2, 3, 16, 16, 16))
    seen, steps = trainer.noised_mask(image, x0, t, torch.Generator().manual_seed(0))
    assert torch.equal(steps, t)
    assert torch.equal(torch.sign(seen), x0)
