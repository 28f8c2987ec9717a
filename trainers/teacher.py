"""A frozen teacher: the network of another training, which makes recycling's first pass and never changes."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from autodiffseg.errors import UserError

from .base import Trainer
from .checkpoints import checkpoint_id, hash_as_tensor, read_checkpoint, trainer_of
from .diffusion import DiffusionTrainer


class Teacher:
    """A trainer whose weights stay, and the hash of the file that they came from.

    Only the hash goes into the student's checkpoints, so that a training that is gone on with has the same teacher.
    The teacher keeps its own options: what it predicts, and how it is told of noise.
    """

    def __init__(self, path: Path, student: DiffusionTrainer) -> None:
        """Load a checkpoint onto the student's device, in its precision.

        Raises:
            UserError: when the file is no checkpoint, or of another plan or configuration, of other labels, or of a
                trainer that makes no mask from noise.
        """
        self.path = path
        try:
            content = read_checkpoint(path)
            with student.device if student.device.type == "meta" else nullcontext():
                trainer = trainer_of(content, student.device, student.precision, source=path)
            self.trainer = _fitting(trainer, student, content["trainer"], path)
        except UserError as error:
            raise UserError(f"--set teacher: {error}") from error
        self.trainer.network.requires_grad_(False)
        self.digest = hash_as_tensor(checkpoint_id(path))

    def answer(self, image: Tensor, x_last: Tensor) -> Tensor:
        """Probabilities `(B, K, *patch)` of the clean mask, from x_T `(B, K, *patch)`."""
        bars = self.trainer.alpha_bar[-1].expand(len(x_last))
        return self.trainer.predicted_mask(image, self.trainer.beside(x_last, None), bars)

    def require_same(self, digest: Tensor) -> None:
        """Refuse another file than a training was begun with.

        Raises:
            UserError: when `digest` is another one's.
        """
        if not torch.equal(self.digest, digest.cpu()):
            raise UserError(
                f"--continue: {self.path} is not the teacher that this training was begun with; put that file back, or "
                "give the new training a --tag."
            )


def _fitting(teacher: Trainer, student: Trainer, name: str, path: Path) -> DiffusionTrainer:
    """The teacher, if it can teach: of the student's data, and with an answer to noise."""
    if not isinstance(teacher, DiffusionTrainer):
        raise UserError(f"{path} is of the trainer {name}, which makes no mask from noise; name a diffusion trainer's.")
    if teacher.configuration_name != student.configuration_name:
        raise UserError(
            f"{path} is of the configuration {teacher.configuration_name}, not {student.configuration_name}."
        )
    if teacher.plan != student.plan:
        raise UserError(f"{path} was trained with another plan than '{student.plan.name}' is now.")
    if teacher.dataset.spec != student.dataset.spec:
        raise UserError(f"{path} was trained on other labels than dataset.json declares now.")
    return teacher
