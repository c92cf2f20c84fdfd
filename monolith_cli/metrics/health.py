"""The memory of a process, and when tensors were there."""

from __future__ import annotations

from monolith_cli.errors import Error

STATUS_FILE = "/proc/self/status"
NO_LIMIT = 2**62


def resident_bytes(path: str = STATUS_FILE) -> int:
    """VmRSS of this process. Error where the kernel does not say."""
    with open(path, encoding="ascii") as f:
        for line in f:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    raise Error(f"{path} has no VmRSS: the memory of the process is not known")


def check_machine_health(mem_limit: int = NO_LIMIT) -> bytes:
    """A serialized MachineHealthResult: empty while the process is within mem_limit bytes, else OUT_OF_MEMORY with the
    message `Memory limit exceeded. Current: N, Limit: N`."""
    now = resident_bytes()
    if now < mem_limit:
        return b""
    from monolith_protos.machine_health_pb2 import MachineHealthResult

    message = f"Memory limit exceeded. Current: {now}, Limit: {mem_limit}"
    return MachineHealthResult(status=MachineHealthResult.OUT_OF_MEMORY, message=message).SerializeToString()


def tensors_timestamp(tensors: list):
    """(the same tensors, int64 microseconds since 1970 when they were all there)."""
    import tensorflow as tf

    with tf.control_dependencies(tensors):
        stamp = tf.cast(tf.timestamp() * 1e6, tf.int64)
    with tf.control_dependencies([stamp]):
        return [tf.identity(t) for t in tensors], stamp
