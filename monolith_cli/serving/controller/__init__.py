"""What decides which models are served where: declarations and layouts in ZooKeeper."""
