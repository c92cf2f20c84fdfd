"""monolith-cli: Unix programs for recommendation models on collisionless embedding tables."""

__version__ = "0.1.0"
