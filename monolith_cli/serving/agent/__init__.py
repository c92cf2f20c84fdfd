"""The agent: its configuration, the model servers it runs, and how they are found through ZooKeeper."""
