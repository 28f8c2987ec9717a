"""The training loop: batches in, checkpoints and a logbook out. The same for every trainer."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from autodiffseg.dataloading.batches import Batch, BatchSource, batch_stream
from autodiffseg.errors import UserError
from autodiffseg.losses.segmentation import Loss
from autodiffseg.memory.peak import PeakMemory
from autodiffseg.runs import RECORD, RunRecord

from .checkpoints import BEST, LAST, load_weights, read_checkpoint, require_same_training, save_checkpoint
from .interruption import interruption
from .learner import Learner
from .logbook import Logbook
from .optimisation import learning_rate, make_optimiser
from .randomness import generator

LOG_EVERY = 50
"""Fewest updates between two rows of the logbook."""
MOST_ROWS = 1000
"""Of the logbook: a long training has rows further apart."""

OnUpdate = Callable[[int, dict[str, float]], None]


class Loop:
    """Trains one fold of one run, from the start or from its last checkpoint."""

    def __init__(
        self, trainer: Learner, record: RunRecord, folder: Path, training: BatchSource, validation: BatchSource
    ) -> None:
        """Prepare to train.

        Args:
            trainer: with the network that is trained.
            record: what is to be done; its copy in `folder` is kept up to date.
            folder: of the fold.
            training: batches to learn from.
            validation: batches to look at, unaugmented.

        Raises:
            UserError: when the trainer lacks something that it needs.
        """
        trainer.before_training(record)
        self.trainer, self.folder = trainer, folder
        self.record = record.model_copy(update=trainer.recorded())
        self.training, self.validation = training, validation
        self.optimiser = make_optimiser(trainer.network, trainer.options)
        self.scaler = torch.amp.GradScaler(trainer.device.type, enabled=trainer.precision == "fp16")
        self.update = 0
        self.best = -math.inf

    def resume(self) -> None:
        """Go on from the last checkpoint of the folder.

        Raises:
            UserError: when it is missing, damaged or of another trainer, plan or configuration.
        """
        path = self.folder / LAST
        content = read_checkpoint(path)
        require_same_training(content, self.trainer, self.record.trainer, source=path)
        if "optimiser" not in content:
            raise UserError(f"{path} holds weights alone (was it imported?), so its training cannot be gone on with.")
        load_weights(self.trainer, content["network"], source=path)
        self.optimiser.load_state_dict(content["optimiser"])
        self.scaler.load_state_dict(content["scaler"])
        self.trainer.load_state(content.get("trainer_state", {}))
        self.update = content["update"]
        self.best = content["best"]
        self.record = self.record.model_copy(update={"training_seconds": content["training_seconds"]})

    def run(self, *, workers: int, on_update: OnUpdate) -> RunRecord:
        """Train to the last update; `on_update` is told each number of updates done and the newest row.

        Raises:
            UserError: when the loss is not finite.
            KeyboardInterrupt: after a checkpoint, when the user asked to stop.
        """
        began, memory = time.perf_counter() - self.record.training_seconds, PeakMemory(self.trainer.device)
        logbook = Logbook(self.folder, looks=self.trainer.look_columns, resume_at=self.update)
        options, iterations = self.trainer.options, self.record.iterations
        self.trainer.network.train()
        tally, log_every = _Tally(), max(LOG_EVERY, iterations // MOST_ROWS)
        row: dict[str, float] = {}
        with (
            interruption() as stop_asked,
            batch_stream(self.training, start=self.update, stop=iterations, workers=workers) as batches,
        ):
            for batch in _timed(batches, tally):
                tally.add(*self.step(batch))
                self.update += 1
                if self.update % log_every == 0 or self.update == iterations:
                    row = self._look(tally)
                    logbook.add(row)
                    tally.clear()
                stopping = stop_asked()
                if self.update % options.checkpoint_every == 0 or self.update == iterations or stopping:
                    self._refuse_nonfinite(tally)
                    most = max(self.record.peak_memory_gb, memory.gb() or 0.0)
                    spent = {"training_seconds": time.perf_counter() - began, "peak_memory_gb": most}
                    self.record = self.record.model_copy(update=spent)
                    self._save(LAST)
                on_update(self.update, row)
                if stopping and self.update < iterations:
                    raise KeyboardInterrupt
        return self.record

    def step(self, batch: Batch) -> tuple[Loss, torch.Tensor]:
        """One update of the weights; the loss and the norm of the gradient before clipping."""
        trainer, options = self.trainer, self.trainer.options
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.update, self.record.iterations, options)
        moved = batch._replace(image=batch.image.to(trainer.device), label=batch.label.to(trainer.device))
        loss = trainer.loss(moved, generator(trainer.device, self.record.seed, self.update))
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss.total).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimiser)
        norm = torch.nn.utils.clip_grad_norm_(trainer.network.parameters(), options.gradient_clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        trainer.after_update()
        return loss, norm

    def _look(self, tally: _Tally) -> dict[str, float]:
        self._refuse_nonfinite(tally)
        trainer, options = self.trainer, self.trainer.options
        row = {
            "update": float(self.update),
            **tally.means(),
            "learning_rate": self.optimiser.param_groups[0]["lr"],
            **dict.fromkeys(trainer.look_columns, math.nan),
        }
        if self.update % options.validate_every == 0 or self.update == self.record.iterations:
            found = trainer.look(self.validation, batches=options.validation_batches)
            row |= found.columns
            if found.score > self.best:
                self.best = found.score
                self._save(BEST)
            trainer.after_look(self.folder, self.update, self.validation)
        return row

    def _refuse_nonfinite(self, tally: _Tally) -> None:
        """Stop before diverged weights replace a good checkpoint."""
        if tally.count and not math.isfinite(tally.means()["loss"]):
            raise UserError(
                f"The loss is not finite in updates {self.update - tally.count + 1} to {self.update}. The last "
                "checkpoint is kept; try --set learning_rate=… smaller, or --precision fp32."
            )

    def _save(self, name: str) -> None:
        self.record = self.record.model_copy(
            update={"iterations_done": self.update, "finished": self.update >= self.record.iterations}
        )
        state: dict[str, Any] = {}
        if name == LAST:
            state = {"optimiser": self.optimiser.state_dict(), "scaler": self.scaler.state_dict(), "best": self.best}
            state["trainer_state"] = self.trainer.state()
            state["training_seconds"] = self.record.training_seconds
        state |= self.trainer.beside_weights(self.update)
        save_checkpoint(self.folder / name, self.trainer, self.record.trainer, update=self.update, **state)
        if name == LAST:
            self.record.save(self.folder / RECORD)
            self.trainer.after_save(self.folder, self.update)


class _Tally:
    """Sums over the updates since the last row; they stay on the device until the row is made."""

    def __init__(self) -> None:
        self.sums: dict[str, torch.Tensor] = {}
        self.clear()

    def clear(self) -> None:
        self.sums.clear()
        self.began = time.perf_counter()
        self.waited = 0.0
        self.count = 0

    def add(self, loss: Loss, norm: torch.Tensor) -> None:
        values = {"loss": loss.total.detach(), **loss.parts, "gradient_norm": norm.detach()}
        self.count += 1
        for name, value in values.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def means(self) -> dict[str, float]:
        row = {name: float(value) / self.count for name, value in self.sums.items()}
        seconds = time.perf_counter() - self.began
        return {**row, "updates_per_second": self.count / seconds, "data_wait_share": self.waited / seconds}


def _timed(batches: Iterator[Batch], tally: _Tally) -> Iterator[Batch]:
    """The batches, with the time spent waiting for them added up."""
    while True:
        began = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            return
        tally.waited += time.perf_counter() - began
        yield batch
