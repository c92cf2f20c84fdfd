"""TensorFlow Serving client: status, metadata, reload, predict, load generator. Talks to any TensorFlow Serving."""
