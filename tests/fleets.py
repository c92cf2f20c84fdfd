"""Two agents of one version that serve the same sub model, and what the drills ask of them."""

import contextlib
import json
from pathlib import Path
from typing import Any

from agents import PS, SESSION_S, Agent, Client, wait_until

from monolith_cli.serving.zookeeper.node_errors import NoNode
from monolith_cli.serving.zookeeper.records import ContainerServiceInfo, ModelMeta, ReplicaMeta, SavedModelDeployConfig


class Fleet:
    """version: of the agents. models: folder with the model's `ps_0`. server: program of the model server, None:
    monolith-serve.

    ask() makes ZooKeeper want the model, take_back() not any more; listed() are its replicas in ZooKeeper, told() the
    addresses each agent answers with.
    """

    def __init__(self, version, folder, zookeeper, connection, models, server=None):
        self.version, self.connection, self.models, self.bzid = version, connection, models, f"fleet{version}"
        self.model = "ps_0" if version == 1 else "m:ps_0"
        self.root = {
            1: f"/{self.bzid}/service/m/ps:0",
            2: f"/{self.bzid}/service/m/ps:0",
            3: f"/{self.bzid}/binding/m",
        }[version]
        self.key = {1: "ps:0", 2: "m:ps:0", 3: "m:ps_0"}[version]
        base = {"bzid": self.bzid, "agent_version": version, "num_ps": 1} | ({"tfs_binary": server} if server else {})
        conf = (
            base
            | {
                1: {"base_name": "m", "base_path": models, "deploy_type": "ps", "file_system_poll_wait_seconds_ps": 1},
                2: {"deploy_type": "ps"},
                3: {"deploy_type": "unified", "layout_pattern": "main", "layout_filters": "ps_{i}; i % 1 == 0"},
            }[version]
        )
        flags = () if version == 1 else ("--model-root", str(models))
        self.agents = [
            Agent(
                Path(folder) / f"{version}-{i}",
                zookeeper,
                conf,
                *flags,
                session_s=SESSION_S,
                MY_POD_NAME=f"pod-{i}",
                SHARD_ID="0",
                REPLICA_ID=str(i),
            )
            for i in range(2)
        ]
        self.client = Client(self.addresses, self.model)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for agent in self.agents:
            agent.__exit__(*error)

    def ask(self):
        if self.version == 2:
            path, data = f"/{self.bzid}/portal/m", ModelMeta(model_name="m", model_dir=str(self.models)).to_json()
            self.connection.set(path, data) if self.connection.exists(path) else self.connection.create(path, data)
        if self.version == 3:
            self.connection.create(
                f"/{self.bzid}/saved_models/m/ps_0", SavedModelDeployConfig(f"{self.models}/ps_0", "latest").to_json()
            )
            self.connection.create(f"/{self.bzid}/layouts/main/m:ps_0")

    def take_back(self):
        if self.version != 1:
            self.connection.delete({2: f"/{self.bzid}/portal/m", 3: f"/{self.bzid}/layouts/main/m:ps_0"}[self.version])

    def containers_are_known(self):
        """Version 2: an order is given to the containers that are there."""
        return self.version != 2 or len(self.connection.children(f"/{self.bzid}/resource")) == 2

    def _available(self) -> dict[str, Any]:
        """Replicas in ZooKeeper that say they are AVAILABLE, and the stat of each, which are read at once: a node may
        be replaced at any time."""
        found = {}
        for node in self.connection.children(self.root):
            with contextlib.suppress(NoNode):
                data, stat = self.connection.get(f"{self.root}/{node}")
                if self.version == 3 or json.loads(data)["stat"] == 30:
                    found[node] = stat
        return found

    def listed(self) -> list[str]:
        """Replicas in ZooKeeper that say they are AVAILABLE."""
        return list(self._available())

    def owners(self) -> set[int]:
        """Sessions that the registrations belong to."""
        return {stat.ephemeralOwner for stat in self._available().values()}

    def registrations(self) -> set[tuple[str, int]]:
        """Replicas that say they are AVAILABLE, and when they said so: one that was struck off and is back is another
        one, even if nobody looked in between."""
        return {(node, stat.mzxid) for node, stat in self._available().items()}

    def lost_sessions(self) -> int:
        """How often agents have lost their sessions with ZooKeeper, as their logs say."""
        return sum(agent.log.read_text().count("ZooKeeper: lost") for agent in self.agents)

    def told(self, agent) -> list[str]:
        return sorted(agent.heart_beat(PS).get(self.key, []))

    def addresses(self) -> list[str]:
        """What a client sees that asks the agents in turn, and the next one where one does not answer."""
        for agent in self.agents:
            try:
                return self.told(agent)
            except Exception:  # noqa: BLE001
                continue
        return []

    def wait_whole(self, limit_s=90.0):
        """Both replicas are listed, and both agents tell of both."""
        try:
            wait_until(lambda: len(self.listed()) == 2, limit_s, "two registrations")
            wait_until(lambda: all(len(self.told(a)) == 2 for a in self.agents), limit_s, "two addresses from each agent")
        except AssertionError as e:
            states = [(a.process.poll(), a.log.read_text()[-1500:]) for a in self.agents]
            raise AssertionError(f"{e}; listed {self.listed()}; exit codes and logs: {states}") from None

    def prove_watches(self, limit_s=30.0):
        """A replica that comes and goes is seen by both agents."""
        address, nodes = "127.0.0.1:9", {}
        meta = ReplicaMeta(address=address, stat=30, model_name="m", server_type="ps", task=0, replica=77).to_json()
        if self.version == 3:
            nodes[f"/{self.bzid}/container_service/x;None;None:guest"] = ContainerServiceInfo(grpc=address).to_json()
            nodes[f"{self.root}/ps_0:x;None;None:guest"] = b""
        else:
            nodes[f"{self.root}/77"] = meta
        for path, data in nodes.items():
            self.connection.create(path, data, ephemeral=True)
        try:
            wait_until(lambda: all(address in self.told(a) for a in self.agents), limit_s, "the guest")
        finally:
            for path in nodes:
                self.connection.delete(path)
        wait_until(lambda: all(address not in self.told(a) for a in self.agents), limit_s, "the guest's leaving")

    def check_client(self, more=20):
        """The client has gone on, with answers from every address that it knows, and without a failure."""
        before, each = self.client.ok, self.client.answered.copy()

        def gone_on():
            client = self.client
            return client.ok >= before + more and all(client.answered[a] > each[a] for a in list(client.addresses))

        wait_until(gone_on, 60, "answers")
        assert self.client.failures == []


__all__ = ["SESSION_S", "Fleet"]
