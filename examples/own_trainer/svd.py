"""An own trainer: the truncated singular value decomposition of the matrix of labels, where unseen pairs are 0."""

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from tfx.components.trainer.fn_args_utils import FnArgs

from trainer.own import read_pairs, write_model


def run_fn(fn_args: FnArgs) -> None:
    """Trains and writes the model."""
    pairs = read_pairs(fn_args)
    shape = (pairs.left_rows, pairs.right_rows)
    bias = np.bincount(pairs.right, pairs.label, shape[1]) / np.maximum(np.bincount(pairs.right, minlength=shape[1]), 5)
    matrix = scipy.sparse.csr_array((pairs.label - bias[pairs.right], (pairs.left, pairs.right)), shape)
    dimension = min(fn_args.custom_config["model"]["dimension"], min(shape) - 1)
    left, values, right = scipy.sparse.linalg.svds(matrix, dimension, random_state=1)
    write_model(fn_args, left * values, right.T, right_bias=bias)
