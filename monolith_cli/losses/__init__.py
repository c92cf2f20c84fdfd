"""Losses beyond those of Keras and TensorFlow: in-batch softmax, a surrogate of AUC, ranking of lists. Importing it
imports TensorFlow."""

from monolith_cli.losses.batch_softmax_loss import batch_softmax_loss
from monolith_cli.losses.inbatch_auc_loss import inbatch_auc_loss
from monolith_cli.losses.lambda_weights import (
    DCGLambdaWeight,
    IdentityLambdaWeight,
    ListMLELambdaWeight,
    PrecisionLambdaWeight,
    create_ndcg_lambda_weight,
    create_p_list_mle_lambda_weight,
    create_reciprocal_rank_lambda_weight,
)
from monolith_cli.losses.ltr_losses import (
    approx_ndcg_loss,
    list_mle_loss,
    make_loss_fn,
    mean_squared_loss,
    pairwise_hinge_loss,
    pairwise_logistic_loss,
    pairwise_soft_zero_one_loss,
    sigmoid_cross_entropy_loss,
    softmax_loss,
)
from monolith_cli.losses.ranking import (
    LossError,
    Reduction,
    approx_ranks,
    get_batch_idx_size,
    inverse_max_dcg,
    organize_valid_indices,
    reshape_first_ndims,
    sort_by_scores,
)

__all__ = [
    "DCGLambdaWeight",
    "IdentityLambdaWeight",
    "ListMLELambdaWeight",
    "LossError",
    "PrecisionLambdaWeight",
    "Reduction",
    "approx_ndcg_loss",
    "approx_ranks",
    "batch_softmax_loss",
    "create_ndcg_lambda_weight",
    "create_p_list_mle_lambda_weight",
    "create_reciprocal_rank_lambda_weight",
    "get_batch_idx_size",
    "inbatch_auc_loss",
    "inverse_max_dcg",
    "list_mle_loss",
    "make_loss_fn",
    "mean_squared_loss",
    "organize_valid_indices",
    "pairwise_hinge_loss",
    "pairwise_logistic_loss",
    "pairwise_soft_zero_one_loss",
    "reshape_first_ndims",
    "sigmoid_cross_entropy_loss",
    "softmax_loss",
    "sort_by_scores",
]
