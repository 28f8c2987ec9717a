"""Pretraining: the noise of the TEDM paper, its loss in closed form, and checkpoints that are backbones."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autodiffseg.dataloading.batches import Batch
from autodiffseg.errors import UserError
from autodiffseg.runs import RunRecord
from autodiffseg.trainers.backbone import build_backbone, read_backbone, require_fits
from autodiffseg.trainers.checkpoints import LAST, save_checkpoint
from autodiffseg.trainers.ddpm_pretraining import NAME, DdpmPretrainingTrainer, PretrainingOptions, Seen
from autodiffseg.trainers.loop import Loop
from autodiffseg.trainers.options import read_settings
from autodiffseg.trainers.training_memory import bare_loop

from .conftest import dataset_json, tiny_batch, tiny_plan

STEPS = [1, 10, 25, 50, 150, 200, 250, 400, 500, 600, 800, 950]
# Of the TEDM paper's schedule, to the digits of specs and tables: √ᾱ, √(1-ᾱ), log-SNR in dB (cosine, then linear).
SIGNAL = ["1.000", ".9996", ".9987", ".9959", ".970", ".948", ".920", ".804", ".702", ".583", ".305", ".076"]
SIGMA = [".0094", ".0269", ".0515", ".0910", ".245", ".320", ".393", ".595", ".713", ".813", ".952", ".997"]
COSINE_DB = ["40.6", "31.4", "25.8", "20.8", "11.9", "9.4", "7.4", "2.6", "-0.1", "-2.9", "-9.9", "-22.3"]
LINEAR_DB = ["36.6", "26.6", "20.4", "15.1", "5.6", "2.8", "0.4", "-6.2", "-10.7", "-15.8", "-28.2", "-39.7"]


def make(
    *settings: str, dimensions: int = 3, device: str = "cpu", precision: Any = "fp32", **changes: Any
) -> DdpmPretrainingTrainer:
    torch.manual_seed(0)
    plan = changes.pop("plan", None) or tiny_plan(dimensions, **changes)
    return DdpmPretrainingTrainer(
        plan,
        "patches",
        dataset_json(),
        read_settings(PretrainingOptions, settings),
        device=torch.device(device),
        precision=precision,
    )


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Stub(nn.Module):
    """A network that answers what it is told to."""

    def __init__(self, answer: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, image: Tensor, mask: Tensor | None, level: Tensor) -> Tensor:
        return self.answer(image, level)


class Source:
    """Batches by number, as a BatchSource makes them."""

    def batch(self, n: int) -> Batch:
        return tiny_batch(3, seed=n)


@pytest.mark.parametrize(
    ("values", "of"), [(SIGNAL, "signal"), (SIGMA, "sigma"), (COSINE_DB, "cosine"), (LINEAR_DB, "linear")]
)
def test_the_noise_at_a_step_is_that_of_the_paper_to_the_digits_given(values: list[str], of: str) -> None:
    bars = make(f"schedule={'linear' if of == 'linear' else 'cosine'}").alpha_bar
    found = {"signal": bars.sqrt(), "sigma": (1 - bars).sqrt()}.get(of, 10 * torch.log10(bars / (1 - bars)))
    for step, value in zip(STEPS, values, strict=True):
        digits = len(value.partition(".")[2])
        assert float(found[step]) == pytest.approx(float(value), abs=0.51 * 10**-digits)


def test_the_last_step_keeps_a_trace_of_the_image() -> None:
    bars = make().alpha_bar
    assert (len(bars), bars.dtype) == (1000, torch.float64)
    assert 0 < bars[-1] < 1e-8


@pytest.mark.parametrize("loss", ["l1", "l2"])
def test_a_network_that_knows_the_noise_has_no_loss_and_one_that_says_nothing_that_of_noise(loss: str) -> None:
    trainer, batch = make(f"loss={loss}"), tiny_batch()

    def knowing(x_t: Tensor, level: Tensor) -> Tensor:
        bars = torch.sigmoid(level.double()).reshape(-1, 1, 1, 1, 1)
        return ((x_t - bars.sqrt() * batch.image) / (1 - bars).sqrt()).float()

    trainer.network = Stub(knowing)  # type: ignore[assignment]
    assert float(trainer.loss(batch, rng()).total) < 1e-3  # at t = 0 float32 divides by 0.006
    trainer.network = Stub(lambda x_t, level: torch.zeros_like(x_t))  # type: ignore[assignment]
    mean = torch.stack([trainer.loss(batch, rng(seed)).total for seed in range(20)]).mean()
    assert float(mean) == pytest.approx({"l1": math.sqrt(2 / math.pi), "l2": 1.0}[loss], abs=0.03)


def test_voxels_beyond_the_image_do_not_count() -> None:
    trainer, batch = make(), tiny_batch()
    trainer.network = Stub(lambda x_t, level: x_t)  # type: ignore[assignment]
    beyond = batch.image.clone()
    beyond[:, :, :2] += 100
    before, after = (float(trainer.loss(batch._replace(image=image), rng()).total) for image in (batch.image, beyond))
    assert before == after > 0
    within = batch.image.clone()
    within[:, :, 2:] += 100
    assert float(trainer.loss(batch._replace(image=within), rng()).total) > before


def test_every_step_is_drawn_and_the_network_hears_its_level() -> None:
    trainer, heard = make("base_steps=10"), []

    def remember(x_t: Tensor, level: Tensor) -> Tensor:
        heard.extend(level.tolist())
        return x_t

    trainer.network = Stub(remember)  # type: ignore[assignment]
    for seed in range(60):
        trainer.loss(tiny_batch(), rng(seed))
    wanted = torch.logit(trainer.alpha_bar).clamp(-20, 20).tolist()
    assert sorted({round(value, 3) for value in heard}) == sorted(round(value, 3) for value in wanted)


@pytest.mark.parametrize(
    ("device", "precision"), [("cpu", "fp32"), ("cpu", "bf16"), pytest.param("cuda", "fp16", marks=pytest.mark.gpu)]
)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_gradient_reaches_every_weight_under_a_plan_with_deep_supervision(
    dimensions: int, device: str, precision: str
) -> None:
    trainer = make(dimensions=dimensions, deep_supervision=True, device=device, precision=precision)
    generator = torch.Generator(device).manual_seed(0)
    loss = trainer.loss(tiny_batch(dimensions, device=device), generator).total * 2.0**10
    loss.backward()  # type: ignore[no-untyped-call]
    found = {name: parameter.grad for name, parameter in trainer.network.named_parameters()}
    assert [name for name, grad in found.items() if grad is None or not 0 < float(grad.abs().sum()) < math.inf] == []


def test_the_loss_is_a_function_of_the_generator() -> None:
    trainer, batch = make(), tiny_batch()
    first, again, other = (trainer.loss(batch, rng(seed)).total.item() for seed in (1, 1, 2))
    assert first == again != other


def test_a_look_is_minus_the_averaged_networks_loss_the_same_every_time() -> None:
    trainer = make()
    bare_loop(trainer).step(tiny_batch())
    first = trainer.look(Source(), batches=2)  # type: ignore[arg-type]
    with torch.no_grad():
        trainer.network.heads[0].bias.add_(100)  # type: ignore[union-attr,operator]
    again = trainer.look(Source(), batches=2)  # type: ignore[arg-type]
    assert first == again
    assert first.score == -first.columns["validation_loss"]
    with torch.no_grad():
        trainer.average.network.heads[0].bias.add_(100)  # type: ignore[union-attr,operator]
    assert trainer.look(Source(), batches=2).score < first.score - 90  # type: ignore[arg-type]
    assert trainer.network.training


def test_the_steps_of_a_look_lie_evenly_over_all_noise() -> None:
    trainer, heard = make(), []
    bars = trainer.alpha_bar
    trainer.__dict__["average"] = type("Average", (), {"network": Stub(lambda x_t, level: heard.append(level) or x_t)})
    trainer.look(Source(), batches=4)  # type: ignore[arg-type]
    wanted = torch.logit(bars[[62, 187, 312, 437, 562, 687, 812, 937]])
    torch.testing.assert_close(torch.cat(heard).sort(descending=True).values, wanted.float())
    assert all(levels[0] - levels[1] > 2 for levels in heard)  # each batch sees little and much noise


def record(**changes: Any) -> RunRecord:
    told = {"dataset": "Dataset999_Tiny", "plan": "tiny", "configuration": "patches", "tag": "", "fold": "pool"}
    more = {"trainer": NAME, "seed": 0, "options": {}, "plan_hash": "", "iterations": 6}
    return RunRecord(**(told | more | changes))


def test_a_resumed_pretraining_is_the_uninterrupted_one_to_the_bit(tmp_path: Path) -> None:
    settings = ("checkpoint_every=3", "validate_every=3", "validation_batches=1", "sheet_every=0")

    def run(name: str, *, stop: int | None = None, resume: bool = False) -> Any:
        (tmp_path / name).mkdir(exist_ok=True)
        loop = Loop(make(*settings), record(), tmp_path / name, Source(), Source())  # type: ignore[arg-type]
        if resume:
            loop.resume()

        def watch(update: int, row: dict[str, float]) -> None:
            if update == stop:
                raise OSError("disk full")

        loop.run(workers=0, on_update=watch)
        return read_backbone(tmp_path / name)

    whole = run("whole")
    with pytest.raises(OSError, match="disk full"):
        run("broken", stop=5)
    assert read_backbone(tmp_path / "broken").record.updates == 3
    broken = run("broken", resume=True)
    assert whole.record == broken.record
    assert whole.record.updates == 6
    assert all(torch.equal(value, broken.weights[name]) for name, value in whole.weights.items())
    header = (tmp_path / "whole" / "progress.csv").read_text().splitlines()[0]
    assert header == "update,loss,learning_rate,gradient_norm,updates_per_second,data_wait_share,validation_loss"
    assert {path.name for path in (tmp_path / "whole").iterdir()} >= {"pretraining.json", "progress.png", "run.json"}


def test_a_checkpoint_is_a_backbone_of_the_averaged_weights_and_fits_its_plan(tmp_path: Path) -> None:
    trainer = make()
    trainer.seen = Seen(images=9, digest="d", labelled=("a",), transductive=True, fold="1")
    loop = bare_loop(trainer)
    for _ in range(2):
        loop.step(tiny_batch())
    save_checkpoint(tmp_path / LAST, trainer, NAME, **trainer.beside_weights(2))
    found = read_backbone(tmp_path)
    require_fits(found, trainer.plan, "patches", 1)
    assert (found.record.updates, found.record.pool_images, found.record.labelled) == (2, 9, ("a",))
    assert (found.record.transductive, found.record.fold, found.record.ema_decay) == (True, "1", 0.9999)
    network = build_backbone(found.record)
    network.load_state_dict(found.weights)
    image, level = tiny_batch().image, torch.tensor([3.0, -3.0])
    wanted = trainer.average.network.eval()
    torch.testing.assert_close(network(image, None, level), wanted(image, None, level))
    assert not torch.equal(found.weights["heads.0.bias"], trainer.network.state_dict()["heads.0.bias"])


@pytest.mark.usefixtures("patient_sheets")
def test_sheets_are_drawn_every_few_looks_and_at_the_end(tmp_path: Path) -> None:
    trainer = make("sheet_every=2", "validate_every=10")
    trainer.before_training(record(iterations=55))
    for update in (10, 20, 30, 40, 50, 55):
        trainer.after_look(tmp_path, update, Source())  # type: ignore[arg-type]
    assert [path.name for path in sorted((tmp_path / "samples").iterdir())] == [
        f"update_00000{update}.png" for update in (20, 40, 55)
    ]
    without = make("sheet_every=0")
    without.before_training(record(iterations=45))
    without.after_look(tmp_path / "none", 45, Source())  # type: ignore[arg-type]
    assert not (tmp_path / "none").exists()


@pytest.mark.usefixtures("patient_sheets")
def test_a_sheet_is_made_by_the_averaged_network_and_leaves_the_training_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Tensor] = []
    monkeypatch.setattr(
        "autodiffseg.trainers.ddpm_pretraining.draw_sheet", lambda real, made, *_, **__: drawn.extend((real, made))
    )
    trainer, image = make("sheet_every=1", "validate_every=1"), Source().batch(0).image

    def knowing(x_t: Tensor, level: Tensor) -> Tensor:
        bars = torch.sigmoid(level.double()).reshape(-1, 1, 1, 1, 1)
        return ((x_t - bars.sqrt() * image) / (1 - bars).sqrt()).float()

    trainer.__dict__["average"] = type("Average", (), {"network": Stub(knowing)})
    state = torch.get_rng_state()
    trainer.after_look(tmp_path, 1, Source())  # type: ignore[arg-type]
    assert torch.equal(state, torch.get_rng_state())
    assert trainer.network.training
    assert torch.equal(drawn[0], image)
    torch.testing.assert_close(drawn[1], image, atol=1e-3, rtol=0)


def test_once_a_sheet_takes_too_long_no_other_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("autodiffseg.trainers.ddpm_pretraining.generated_images", lambda *_, **__: asked.append(1))
    trainer = make("sheet_every=1", "validate_every=1")
    for update in (1, 2):
        trainer.after_look(tmp_path, update, Source())  # type: ignore[arg-type]
    assert asked == [1]
    assert not (tmp_path / "samples").exists()


def test_its_memory_is_counted_with_the_average_as_one_more_set_of_weights() -> None:
    plan = tiny_plan()
    found = DdpmPretrainingTrainer.training_memory(plan, "patches", dataset_json(), precision="fp32")
    weights = sum(max(p.nbytes, 512) for p in make().network.parameters())
    assert found.peak > found.parameters >= 2 * weights


def test_a_cascade_is_refused_with_what_to_pretrain_instead() -> None:
    plan = tiny_plan()
    low = plan.configurations["patches"]
    cascade = low.model_copy(update={"previous_stage": "low"})
    plan = plan.model_copy(update={"configurations": {"low": low, "patches": cascade}})
    with pytest.raises(UserError, match=r"patches is a cascade, .* pretrain low"):
        make(plan=plan)
