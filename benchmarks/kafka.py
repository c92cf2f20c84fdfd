"""Kafka, in one run: pb-cat and pb-publish beside kcat and the client libraries that were to choose from.

Starts the broker of the tests. Every round runs each subject once, in turn; medians of wall time are compared, start of the
command included. Prints a table and one JSON object per subject.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import kafka_broker  # noqa: E402

ENV = os.environ | {"MONOLITH_PYTHON": sys.executable, "PATH": f"{ROOT / 'bin'}:{os.environ['PATH']}"}
READ = {
    "kafka-python": "import kafka, sys\nc = kafka.KafkaConsumer(bootstrap_servers=sys.argv[1], enable_auto_commit=False, "
                    "auto_offset_reset='earliest', max_poll_records=4096)\nc.assign([kafka.TopicPartition(sys.argv[2], 0)])\nn = 0\n"
                    "while n < int(sys.argv[3]):\n    n += sum(len([m.value for m in p]) for p in c.poll(1000).values())",
    "confluent-kafka": "import confluent_kafka as k, sys\nc = k.Consumer({'bootstrap.servers': sys.argv[1], 'group.id': 'x', 'enable.auto.commit': False})\n"
                       "c.assign([k.TopicPartition(sys.argv[2], 0, 0)])\nn = 0\n"
                       "while n < int(sys.argv[3]):\n    n += len([m.value() for m in c.consume(1000, 0.1)])",
}
WRITE = {
    "kafka-python": "import kafka, sys\np = kafka.KafkaProducer(bootstrap_servers=sys.argv[1], acks='all')\n"
                    "for _ in range(int(sys.argv[3])): p.send(sys.argv[2], b'x' * 400)\np.flush()",
    "confluent-kafka": "import confluent_kafka as k, sys\np = k.Producer({'bootstrap.servers': sys.argv[1], 'acks': 'all'})\n"
                       "for _ in range(int(sys.argv[3])):\n    while True:\n        try:\n            p.produce(sys.argv[2], b'x' * 400)\n            break\n"
                       "        except BufferError: p.poll(0.01)\np.flush()",
}


def seconds(*command: str) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(f"exit {done.returncode}: {' '.join(command)}\n{done.stderr.decode()}")
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=300_000)
    parser.add_argument("--slow", type=int, default=50_000, help="messages for kafka-python")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        broker = kafka_broker.Broker(Path(folder))
        broker.start()
        try:
            measure(broker, Path(folder), options)
        finally:
            broker.stop()


def measure(broker, folder: Path, options) -> None:
    topic, address = broker.create_topic("read"), broker.address
    records = folder / "records.pb"
    records.write_bytes((b"\x90\1" + bytes(6) + b"x" * 400) * options.messages)
    subprocess.run(["pb-publish", "-q", f"kafka://{address}/{topic}", records], env=ENV, check=True)
    subjects = {"read pb-cat": (("pb-cat", "-q", f"kafka://{address}/{topic}?until=end"), options.messages)}
    if shutil.which("kcat"):
        subjects["read kcat"] = (("kcat", "-q", "-C", "-b", address, "-t", topic, "-e"), options.messages)
    for name, code in READ.items():
        count = options.slow if name == "kafka-python" else options.messages
        subjects[f"read {name}"] = ((sys.executable, "-c", code, address, topic, str(count)), count)
    subjects["write pb-publish"] = (("pb-publish", "-q", f"kafka://{address}/{broker.create_topic('write0')}", str(records)), options.messages)
    for i, (name, code) in enumerate(WRITE.items(), 1):
        count = options.slow if name == "kafka-python" else options.messages
        subjects[f"write {name}"] = ((sys.executable, "-c", code, address, broker.create_topic(f"write{i}"), str(count)), count)
    times: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(options.rounds):
        for name, (command, _) in subjects.items():
            times[name].append(seconds(*command))
    for name, (_, count) in subjects.items():
        rate = count / statistics.median(times[name])
        print(f"{name:24} {rate:12,.0f} messages of 400 bytes/s")
        print(json.dumps({"subject": name, "messages_per_second": round(rate), "seconds": [round(t, 3) for t in times[name]]}))


if __name__ == "__main__":
    main()
