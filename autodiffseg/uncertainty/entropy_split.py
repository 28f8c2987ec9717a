"""EntropySplit: the entropy of a mean prediction, split by what its models and samples disagree about.

With p_ks the probabilities of sample s of model k, p̄_k = mean_s p_ks and p̄ = mean_k p̄_k,

    H(p̄) = [H(p̄) - mean_k H(p̄_k)] + mean_k[H(p̄_k) - mean_s H(p_ks)] + mean_ks H(p_ks)
            between models            between samples                  residual

The first two are mutual informations (of the voxel's class and the model, or the sample), so they are not negative:
Depeweg et al. 2018, arXiv 1710.07283, applied twice. Between models is what more training data could settle
(epistemic); between samples is what one generative model leaves open when it draws again; the residual is what each
single answer is unsure of. Means over models may be weighted, if all are weighted alike.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from autodiffseg.uncertainty.entropy import Volume


class EntropySplit(NamedTuple):
    """Three volumes in nats, none negative anywhere."""

    between_models: Volume
    between_samples: Volume
    residual: Volume

    @property
    def total(self) -> Volume:
        """H(p̄): exactly the sum of the three."""
        return self.between_models + self.between_samples + self.residual


def split_entropy(*, of_mean: Volume, of_models: Volume, of_samples: Volume) -> EntropySplit:
    """The three parts; differences are cut at zero where rounding has made them negative.

    Args:
        of_mean: H(p̄).
        of_models: mean_k H(p̄_k); with one model the same as `of_mean`.
        of_samples: mean_ks H(p_ks), not negative; with one sample of each model the same as `of_models`. It is the
            residual, not copied.
    """
    return EntropySplit(_excess(of_mean, of_models), _excess(of_models, of_samples), of_samples)


def _excess(larger: Volume, smaller: Volume) -> Volume:
    difference = np.subtract(larger, smaller)
    return np.maximum(difference, 0, out=difference)
