"""Writes versions of a model of two sub graphs, `entry` and `ps_0`, below FOLDER: model.py FOLDER VERSION...

`entry` answers x with x * VERSION, so that one sees which version it was; `ps_0` looks a row of a small table up.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf

tf.get_logger().setLevel("ERROR")


def write(folder, build):
    """One SavedModel, which must not be there yet."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        inputs, outputs = build()
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.saved_model.simple_save(session, folder, inputs, outputs)


def main(folder, version):
    def entry():
        x = tf.compat.v1.placeholder(tf.float32, [None], "x")
        return {"x": x}, {"y": x * float(version)}

    def ps():
        ids = tf.compat.v1.placeholder(tf.int64, [None], "ids")
        table = tf.compat.v1.get_variable("table", initializer=tf.reshape(tf.range(40.0), [10, 4]))
        return {"ids": ids}, {"rows": tf.gather(table, ids)}

    for name, build in (("entry", entry), ("ps_0", ps)):
        write(os.path.join(folder, name, str(version)), build)


if __name__ == "__main__":
    for number in map(int, sys.argv[2:]):
        main(sys.argv[1], number)
