"""Writes version VERSION of a model of two sub graphs, `entry` and `ps_0`, below FOLDER: model.py FOLDER VERSION.

`entry` answers x with x * VERSION, so that one sees which version it was; `ps_0` looks a row of a small table up.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import tensorflow as tf


def write(folder, version, build):
    """One SavedModel; it appears whole, for a server looks into the folder every second."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        inputs, outputs = build()
        session.run(tf.compat.v1.global_variables_initializer())
        hidden = os.path.join(folder, f".writing-{version}")
        tf.compat.v1.saved_model.simple_save(session, hidden, inputs, outputs)
    os.rename(hidden, os.path.join(folder, str(version)))


def main(folder, version):
    def entry():
        x = tf.compat.v1.placeholder(tf.float32, [None], "x")
        return {"x": x}, {"y": x * float(version)}

    def ps():
        ids = tf.compat.v1.placeholder(tf.int64, [None], "ids")
        table = tf.compat.v1.get_variable("table", initializer=tf.reshape(tf.range(40.0), [10, 4]))
        return {"ids": ids}, {"rows": tf.gather(table, ids)}

    for name, build in (("entry", entry), ("ps_0", ps)):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
        write(os.path.join(folder, name), version, build)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
