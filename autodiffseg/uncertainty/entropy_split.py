"""EntropySplit: the entropy of a mean prediction, split by what its models and samples disagree about.

With p_ks the probabilities of sample s of model k, p̄_k = mean_s p_ks and p̄ = mean_k p̄_k,

    H(p̄) = [H(p̄) - mean_k H(p̄_k)] + mean_k[H(p̄_k) - mean_s H(p_ks)] + mean_ks H(p_ks)
            between models            between samples                  residual

The first two are mutual informations (of the voxel's class and the model, or the sample), so they are not negative:
Depeweg et al. 2018, arXiv 1710.07283, eq. 8, applied twice. Between models is what more training data could settle
(epistemic); between samples is what one generative model leaves open when it draws again; the residual is what each
single answer is unsure of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autodiffseg.uncertainty.entropy import Volume

Probabilities = npt.NDArray[np.floating[Any]]


class EntropySplit(NamedTuple):
    """Three volumes in nats, none negative anywhere."""

    between_models: Volume
    between_samples: Volume
    residual: Volume

    @property
    def total(self) -> Volume:
        """H(p̄): exactly the sum of the three."""
        return self.between_models + self.between_samples + self.residual


class SplitAccumulator:
    """Takes the samples of several models as they come, and splits the entropy of their mean.

    It holds the sum of all samples (K volumes), with several models *and* several samples one such sum for each model,
    and two volumes of entropies: nothing that grows with the number of samples.
    """

    def __init__(self, entropy: Callable[[Probabilities], Volume], *, models: int, samples: int) -> None:
        """Expect `samples` probabilities of each of `models` models, in any order.

        Args:
            entropy: of probabilities `(K, Z, Y, X)`, in nats; it may give it on another grid.
            models: K, one or more.
            samples: S of each, one or more.
        """
        if models < 1 or samples < 1:
            raise ValueError(f"got {models} models and {samples} samples; one or more of each are needed")
        self._entropy = entropy
        self._models, self._samples = models, samples
        self._seen = [0] * models
        self._sum: Probabilities | None = None
        self._sums: list[Probabilities | None] = [None] * models  # used when neither number is 1
        self._residual: Volume | None = None

    def add(self, probabilities: Probabilities, *, model: int = 0) -> None:
        """Take one sample.

        Args:
            probabilities: `(K, Z, Y, X)`; not changed and not kept.
            model: the number of the one that gave it.
        """
        self._seen[model] += 1
        self._sum = _plus(self._sum, probabilities)
        if self._models > 1 and self._samples > 1:
            self._sums[model] = _plus(self._sums[model], probabilities)
        self._residual = _plus(self._residual, self._entropy(probabilities))

    @property
    def mean(self) -> Probabilities:
        """p̄ `(K, Z, Y, X)` of what was taken so far."""
        if self._sum is None:
            raise ValueError("no sample was taken")
        mean: Probabilities = self._sum / np.float32(sum(self._seen))
        return mean

    def split(self) -> EntropySplit:
        """The three parts.

        Each is cut at zero where rounding has made it negative, and `total` is their sum.
        """
        if any(seen != self._samples for seen in self._seen):
            raise ValueError(f"{self._samples} samples of each model are needed, taken were {self._seen}")
        assert self._residual is not None
        residual = self._residual / np.float32(self._models * self._samples)
        total = self._entropy(self.mean)
        if self._samples == 1:
            of_models = residual
        elif self._models == 1:
            of_models = total
        else:
            of_models = np.zeros_like(total)
            for whole in self._sums:
                assert whole is not None
                of_models += self._entropy(whole / np.float32(self._samples)) / np.float32(self._models)
        return EntropySplit(_not_negative(total - of_models), _not_negative(of_models - residual), residual)


def _plus(total: Volume | None, more: Volume) -> Volume:
    return more.copy() if total is None else np.add(total, more, out=total)


def _not_negative(volume: Volume) -> Volume:
    return np.maximum(volume, 0, out=volume)
