"""The monitor: models, replicas, versions and their states, from ZooKeeper, agents and model servers."""
