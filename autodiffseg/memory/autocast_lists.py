"""Which functions torch's autocast runs in which number type, by the names under which Python calls them.

Source: ATen/autocast_mode.h (CUDA) and autocast_mode.cpp (CPU) of torch 2.13; a test asks torch itself whether the
lists are complete. What is on no list keeps the type of its input: instance and batch norm, activations.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Place = Literal["cuda", "cpu"]


class AutocastLists(NamedTuple):
    """Names of functions, by what autocast does to their tensor arguments."""

    lower: frozenset[str]
    """Cast to the half type; casts of weights are kept until the context ends."""
    fp32: frozenset[str]
    """Cast to float32."""
    fp32_result: frozenset[str]
    """Told to compute and answer in float32, without a cast of their own."""
    promote: frozenset[str]
    """Cast to the widest type among them."""


def _names(*texts: str) -> frozenset[str]:
    return frozenset(name for text in texts for name in text.split())


_CONVOLUTIONS = "conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d _convolution"
_PRODUCTS = "addbmm addmm baddbmm bmm linalg_vecdot linear matmul mm prelu scaled_dot_product_attention"
_LOSSES = """cdist cosine_embedding_loss binary_cross_entropy_with_logits hinge_embedding_loss huber_loss kl_div l1_loss
    margin_ranking_loss mse_loss multi_margin_loss multilabel_margin_loss nll_loss nll_loss2d poisson_nll_loss
    smooth_l1_loss soft_margin_loss triplet_margin_loss"""
# Functions written in Python and operators, which reach a listed function further down.
_OVER_PRODUCTS = "__matmul__ __rmatmul__ multi_dot multi_head_attention_forward vecdot"
_OVER_LOSSES = "cross_entropy gaussian_nll_loss multilabel_soft_margin_loss triplet_margin_with_distance_loss"

CUDA = AutocastLists(
    lower=_names(
        _CONVOLUTIONS,
        _PRODUCTS,
        _OVER_PRODUCTS,
        """addmv addr chain_matmul convolution cudnn_convolution cudnn_convolution_transpose einsum gru_cell
        linalg_multi_dot lstm_cell mv rnn_relu_cell rnn_tanh_cell _scaled_dot_product_flash_attention
        _thnn_fused_gru_cell _thnn_fused_lstm_cell""",
    ),
    fp32=_names(
        _LOSSES,
        _OVER_LOSSES,
        """acos asin cosh cosine_similarity dist erfinv exp expm1 frobenius_norm group_norm layer_norm log log10 log1p
        log2 logsumexp native_layer_norm norm nuclear_norm pdist pow reciprocal renorm rms_norm rsqrt sinh softplus tan
        upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d
        upsample_nearest3d upsample_trilinear3d _upsample_bicubic2d_aa _upsample_bilinear2d_aa
        _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d""",
        "interpolate normalize upsample __ipow__ __pow__ __rpow__",
    ),
    fp32_result=_names(
        """cumprod cumsum linalg_matrix_norm linalg_vector_norm log_softmax matrix_norm prod softmax sum vector_norm"""
    ),
    promote=_names(
        """addcdiv addcmul atan2 bilinear cross dot grid_sample grid_sampler index_put scatter_add tensordot vdot"""
    ),
)
CPU = AutocastLists(
    lower=_names(
        _CONVOLUTIONS,
        _PRODUCTS,
        _OVER_PRODUCTS,
        "mkldnn_rnn_layer _addmm_activation _native_multi_head_attention",
    ),
    fp32=_names(
        _LOSSES,
        _OVER_LOSSES,
        """adaptive_avg_pool3d adaptive_max_pool3d avg_pool3d binary_cross_entropy cholesky cholesky_inverse
        cholesky_solve cross_entropy_loss ctc_loss fake_quantize_per_tensor_affine fft_fft fft_fft2 fft_fftn fft_hfft
        fft_ifft fft_ifft2 fft_ifftn fft_ihfft fft_irfft fft_irfft2 fft_irfftn fft_rfft fft_rfft2 fft_rfftn
        fractional_max_pool2d fractional_max_pool3d geqrf grid_sample grid_sampler grid_sampler_2d grid_sampler_3d
        inverse linalg_cholesky linalg_cholesky_ex linalg_cond linalg_eig linalg_eigh linalg_eigvals linalg_eigvalsh
        linalg_householder_product linalg_inv linalg_inv_ex linalg_lstsq linalg_matrix_rank linalg_qr linalg_solve
        linalg_svd linalg_svdvals linalg_tensorinv linalg_tensorsolve lu_solve max_pool3d max_unpool2d max_unpool3d
        multilabel_margin_loss_forward nanquantile orgqr ormqr pinverse polar prod qr quantile reflection_pad1d
        reflection_pad2d replication_pad1d replication_pad2d replication_pad3d stft svd trace triangular_solve
        view_as_complex _grid_sampler_2d_cpu_fallback _lu_with_info""",
    ),
    fp32_result=_names(),
    promote=_names("cat concat concatenate index_copy stack"),
)
LISTS: dict[Place, AutocastLists] = {"cuda": CUDA, "cpu": CPU}
