// Replaced by the ops.
