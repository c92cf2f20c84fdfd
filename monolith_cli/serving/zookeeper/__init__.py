"""ZooKeeper: sessions that come back by themselves, the records and paths of serving, and tools for people."""
