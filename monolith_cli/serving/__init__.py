"""Serving and operations: model server, agent, ZooKeeper layouts, TensorFlow Serving client and monitor."""
