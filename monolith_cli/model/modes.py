"""What a graph is built for."""

TRAIN, EVAL, PREDICT = "train", "eval", "predict"
