"""Read-outs of a frozen backbone: what the backbone is shown, what is trained, and how answers become one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from autodiffseg.diffusion.process import noised
from autodiffseg.diffusion.schedule import alpha_bar, level
from autodiffseg.errors import UserError
from autodiffseg.inference.predictor import CasePredictor
from autodiffseg.plans import DiffusionPlan
from autodiffseg.sampling import Sampling
from autodiffseg.trainers import read_out
from autodiffseg.trainers.backbone import read_backbone
from autodiffseg.trainers.checkpoints import LAST, initialise_from, load_trainer, save_checkpoint
from autodiffseg.trainers.training_memory import bare_loop

Make = Callable[..., Any]
Save = Callable[..., Path]
READ_OUTS = ("tedm", "ledm", "ledme", "linear-probe")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(step: int, channels: int) -> Tensor:
    return torch.randn(2, channels, 8, 8, 8, generator=rng(step))


def shown(trainer: Any) -> list[tuple[Tensor, Tensor]]:
    """The list into which every later input and level of the backbone goes."""
    seen: list[tuple[Tensor, Tensor]] = []
    read = trainer.network.backbone.forward_features

    def record(image: Tensor, mask: None, told: Tensor) -> list[Tensor]:
        seen.append((image, told))
        features: list[Tensor] = read(image, mask, told)
        return features

    trainer.network.backbone.forward_features = record
    return seen


@pytest.mark.parametrize("name", READ_OUTS)
def test_training_leaves_the_backbone_as_it_was_bit_by_bit(
    make_trainer: Make, make_batch: Make, save_backbone: Save, name: str
) -> None:
    path = save_backbone()
    trainer = make_trainer(name, settings=(f"backbone={path}",))
    before = {key: value.clone() for key, value in trainer.network.head.state_dict().items()}
    loop = bare_loop(trainer)
    for _ in range(3):
        loop.step(make_batch())
        assert not any(module.training for module in trainer.network.backbone.modules())
        assert trainer.network.head.training
    wanted = read_backbone(path).weights
    assert all(torch.equal(value, wanted[key]) for key, value in trainer.network.backbone.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in trainer.network.backbone.parameters())
    assert not any(torch.equal(value, before[key]) for key, value in trainer.network.head.state_dict().items())


@pytest.mark.parametrize("name", READ_OUTS)
def test_the_backbone_is_shown_images_and_levels_as_in_its_pretraining(
    make_trainer: Make, make_batch: Make, save_backbone: Save, name: str
) -> None:
    path, image = save_backbone(), make_batch().image
    trainer = make_trainer(name, settings=(f"backbone={path}",))
    bare_loop(trainer)
    seen = shown(trainer)
    list(trainer.predict_steps(image, noise, Sampling()))
    bars = alpha_bar(read_backbone(path).record.diffusion)[list(trainer.options.timesteps)]
    assert len(seen) == len(bars) == trainer.passes(Sampling())
    for view, (x_t, told) in enumerate(seen):
        torch.testing.assert_close(x_t, noised(image, bars[view].expand(2), noise(view, 1)), rtol=0, atol=2e-6)
        torch.testing.assert_close(told, level(bars[view]).float().expand(2))


def test_the_reference_shows_the_backbone_other_images_than_in_its_pretraining(
    make_trainer: Make, make_batch: Make
) -> None:
    image = make_batch().image
    as_trained, as_released = (
        make_trainer("tedm", settings=(f"input_scale={scale}",)) for scale in ("pretraining", "reference")
    )
    seen, slipped = shown(as_trained), shown(as_released)
    list(as_trained.predict_steps((image + 1) / 2, noise, Sampling()))
    list(as_released.predict_steps(image, noise, Sampling()))
    assert all(torch.equal(ours[0], theirs[0]) for ours, theirs in zip(seen, slipped, strict=True))


@pytest.mark.parametrize("regions", [False, True])
def test_tedm_is_the_mean_probability_over_its_steps(make_trainer: Make, make_batch: Make, regions: bool) -> None:
    trainer, image = make_trainer("tedm", regions=regions), make_batch().image
    trainer.network.eval()
    alone = []
    for view in range(8):
        logits = trainer.network.head(trainer.network.features(image, noise(view, 1), view), (8, 8, 8))
        alone.append(logits.sigmoid() if regions else logits.softmax(1))
    for number, answer in enumerate(trainer.predict_steps(image, noise, Sampling()), start=1):
        torch.testing.assert_close(answer, torch.stack(alone[:number]).mean(0))
    logarithms = torch.stack(alone).log().logsumexp(0) - torch.tensor(8.0).log()
    torch.testing.assert_close(logarithms.exp(), answer)


def test_tedm_with_one_step_and_no_hidden_layer_is_the_linear_probe(make_trainer: Make, make_batch: Make) -> None:
    tedm, probe = make_trainer("tedm", settings=("timesteps=1", "hidden=")), make_trainer("linear-probe")
    batch = make_batch()
    assert torch.equal(tedm.loss(batch, rng()).total, probe.loss(batch, rng()).total)
    both = zip(*(list(trainer.predict_steps(batch.image, noise, Sampling())) for trainer in (tedm, probe)), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in both)


def test_with_one_step_it_makes_no_difference_whether_steps_are_averaged_or_seen_together(
    make_trainer: Make, make_batch: Make
) -> None:
    tedm, ledme = (make_trainer(name, settings=("timesteps=25",)) for name in ("tedm", "ledme"))
    assert torch.equal(tedm.loss(make_batch(), rng()).total, ledme.loss(make_batch(), rng()).total)


def test_the_loss_is_the_mean_over_the_steps_of_each_ones_own(make_trainer: Make, make_batch: Make) -> None:
    settings = ("timesteps=1,400", "norm=layer", "voxels=512")
    trainer, batch = make_trainer("tedm", settings=settings), make_batch()
    target, known = trainer.spec.one_hot(batch.label)
    source, losses = rng(), []
    for step in range(2):
        fresh = torch.randn(batch.image.shape, generator=source)
        logits = trainer.network.head(trainer.network.features(batch.image, fresh, step), (8, 8, 8))
        losses.append(trainer.segmentation_loss(logits, target, known).total)
    torch.testing.assert_close(trainer.loss(batch, rng()).total, torch.stack(losses).mean())


def test_the_batch_norm_takes_its_statistics_over_all_steps_at_once(make_trainer: Make, make_batch: Make) -> None:
    trainer = make_trainer("tedm", settings=("voxels=512",))
    inputs: list[Tensor] = []
    norm = next(module for module in trainer.network.head.modules() if isinstance(module, torch.nn.BatchNorm3d))
    norm.register_forward_pre_hook(lambda module, args: inputs.append(args[0].detach().clone()))
    trainer.network.train()
    trainer.loss(make_batch(), rng())
    assert [len(found) for found in inputs] == [8 * 2]
    torch.testing.assert_close(norm.running_mean, 0.1 * inputs[0].mean((0, 2, 3, 4)))


@pytest.mark.parametrize("name", ["tedm", "ledm"])
@pytest.mark.parametrize("regions", [False, True])
def test_the_loss_at_some_voxels_is_that_at_all_on_average(
    make_trainer: Make, make_batch: Make, name: str, regions: bool
) -> None:
    trainers = [
        make_trainer(name, regions=regions, settings=("timesteps=1,10", "norm=layer", f"voxels={voxels}"))
        for voxels in (512, 128)
    ]
    for trainer in trainers:
        trainer.features = lambda image, noise, step, network=trainer.network: network.features(image, 0 * image, step)
    every, some = trainers
    with torch.no_grad():
        losses = torch.stack([some.loss(make_batch(), rng(seed)).total for seed in range(40)])
        wanted = every.loss(make_batch(), rng()).total
    torch.testing.assert_close(losses.mean(), wanted, rtol=0.01, atol=0)
    assert losses.std() > 1e-3


def test_a_step_has_voxels_of_its_own(make_trainer: Make, make_batch: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, drawn = make_trainer("tedm", settings=("timesteps=1,10", "voxels=6")), list[Tensor]()
    at = read_out.features_at

    def record(feature: Tensor, size: Any, points: Tensor, **more: Any) -> Tensor:
        drawn.append(points)
        return at(feature, size, points, **more)

    monkeypatch.setattr(read_out, "features_at", record)
    trainer.loss(make_batch(), rng())
    assert [points[:, 0].tolist() for points in drawn] == [[0] * 6 + [1] * 6] * 4  # two steps of two levels
    first, again, second, _ = drawn
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_a_sixteenth_of_a_patch_is_trained_on_unless_told_otherwise(make_trainer: Make) -> None:
    trainer = make_trainer("tedm")
    assert [trainer._voxels(size) for size in (64 * 64, 128**3)] == [256, 16384]
    asked = make_trainer("tedm", settings=("voxels=500",))
    assert [asked._voxels(size) for size in (500, 501)] == [None, 500]


def test_batch_norm_is_never_shown_one_voxel(make_trainer: Make) -> None:
    assert make_trainer("ledm")._voxels(16) == 2
    with pytest.raises(UserError, match=r"voxels.*greater than or equal to 2"):
        make_trainer("ledm", settings=("voxels=1",))


def test_every_view_has_noise_of_its_own(make_trainer: Make, make_batch: Make) -> None:
    trainer, batch = make_trainer("tedm", settings=("timesteps=600", "noises=3")), make_batch()
    seen = shown(trainer)
    trainer.loss(batch, rng(7))
    trainer.loss(batch, rng(8))
    list(trainer.predict_steps(batch.image, noise, Sampling()))
    assert len(seen) == 9
    assert len({float(x_t.sum()) for x_t, _ in seen}) == 9


def test_a_shared_head_is_as_large_whatever_the_steps_and_one_that_sees_them_together_grows(make_trainer: Make) -> None:
    def weights(name: str, *settings: str) -> int:
        return sum(p.numel() for p in make_trainer(name, settings=settings).network.head.parameters())

    assert weights("tedm") == weights("tedm", "timesteps=1") == weights("tedm", "timesteps=1", "noises=8")
    assert weights("ledme") - weights("tedm") == 7 * 12 * 128  # features of the two levels, 8 + 4
    assert weights("ledm") - weights("tedm") == 2 * 12 * 128


def test_a_case_is_predicted_the_same_for_the_same_seed_and_otherwise_for_another(make_trainer: Make) -> None:
    trainer = make_trainer("linear-probe", settings=("timesteps=600",))
    trainer.prepare_prediction()
    image = torch.randn(1, 8, 8, 8, generator=rng()).numpy()

    def predicted(seed: int) -> Tensor:
        predictor = CasePredictor(
            [trainer],
            trainer.configuration,
            channels=3,
            device=trainer.device,
            sampling=Sampling(),
            seed=seed,
        )
        return torch.from_numpy(predictor.predict(image, "case"))

    assert trainer.draws_noise
    torch.testing.assert_close(predicted(0), predicted(0), rtol=0, atol=1e-6)
    assert (predicted(0) - predicted(1)).abs().max() > 1e-4


def test_prediction_needs_no_backbone_and_keeps_the_levels_that_were_trained(
    make_trainer: Make, save_backbone: Save, tmp_path: Path
) -> None:
    path = save_backbone(diffusion=make_trainer("tedm").plan.diffusion)  # another schedule than the usual one
    trainer = make_trainer("tedm", settings=(f"backbone={path}",))
    bare_loop(trainer)
    save_checkpoint(tmp_path / "read_out.pt", trainer, "tedm")
    path.unlink()
    loaded = load_trainer(tmp_path / "read_out.pt", torch.device("cpu"), "fp32")
    assert torch.equal(loaded.network.log_snr, trainer.network.log_snr)
    assert not torch.allclose(loaded.network.log_snr, make_trainer("tedm").network.log_snr, atol=1)


@pytest.mark.parametrize("name", ["tedm", "ledme"])
def test_a_resumed_training_is_the_uninterrupted_one(
    make_trainer: Make, make_batch: Make, save_backbone: Save, tmp_path: Path, name: str
) -> None:
    path = save_backbone()
    loops = [bare_loop(make_trainer(name, settings=(f"backbone={path}", "timesteps=1,400"))) for _ in range(3)]
    for loop in loops:
        loop.folder, loop.record = tmp_path, loop.record.model_copy(update={"trainer": name})
    whole, first, second = loops
    for loop, updates in ((whole, 4), (first, 2)):
        train(loop, make_batch(), updates)
    first._save(LAST)
    second.resume()
    train(second, make_batch(), 2)
    ours, theirs = (loop.trainer.network.state_dict() for loop in (whole, second))  # the batch norm's statistics too
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def train(loop: Any, batch: Any, updates: int) -> None:
    for _ in range(updates):
        loop.step(batch)
        loop.update += 1


def test_wrong_steps_are_refused(make_trainer: Make) -> None:
    for value, words in (
        ("1,1", "each step is read once, got 1,1"),
        ("", "at least 1 item"),
        ("-1", "greater than or equal to 0"),
        ("1,x", "valid integer"),
    ):
        with pytest.raises(UserError, match=words):
            make_trainer("tedm", settings=(f"timesteps={value}",))


def test_which_steps_there_are_is_for_the_backbone_to_say(
    make_trainer: Make, save_backbone: Save, tmp_path: Path
) -> None:
    long = DiffusionPlan(schedule="cosine", base_steps=2000, zero_terminal_snr=False)
    settings = (f"backbone={save_backbone(diffusion=long)}", "timesteps=10,1500")
    trainer = make_trainer("tedm", settings=settings)
    bare_loop(trainer)
    bars = alpha_bar(long)[[10, 1500]]
    torch.testing.assert_close(trainer.network.log_snr, torch.logit(bars).float())
    save_checkpoint(tmp_path / "read_out.pt", trainer, "tedm")
    loaded = load_trainer(tmp_path / "read_out.pt", torch.device("cpu"), "fp32")
    assert torch.equal(loaded.network.log_snr, trainer.network.log_snr)
    with pytest.raises(UserError, match=r"--timesteps 10,2000: the backbone was trained on the steps 0 to 1999"):
        bare_loop(make_trainer("tedm", settings=(settings[0], "timesteps=10,2000")))


def test_steps_and_levels_are_its_own_whatever_weights_it_begins_with(
    make_trainer: Make, save_backbone: Save, tmp_path: Path
) -> None:
    path = f"backbone={save_backbone()}"
    other, alone, begun = (
        make_trainer("ledme", settings=(path, f"timesteps={steps}")) for steps in ("50,150,250", "1,10,25", "1,10,25")
    )
    bare_loop(other)
    save_checkpoint(tmp_path / "other.pt", other, "ledme")
    initialise_from(begun, tmp_path / "other.pt")
    bare_loop(begun)
    bare_loop(alone)
    assert begun.network.timesteps.tolist() == [1, 10, 25]
    assert torch.equal(begun.network.log_snr, alone.network.log_snr)


def test_a_cascade_is_refused(make_trainer: Make) -> None:
    trainer = make_trainer("tedm")
    shown_before = trainer.configuration.model_copy(update={"previous_stage": "coarse"})
    both = {"coarse": trainer.configuration, "patches": shown_before}
    plan = trainer.plan.model_copy(update={"configurations": both})
    with pytest.raises(UserError, match=r"patches is a cascade.*use another configuration, such as coarse"):
        type(trainer)(plan, "patches", trainer.dataset, trainer.options, device=trainer.device, precision="fp32")
