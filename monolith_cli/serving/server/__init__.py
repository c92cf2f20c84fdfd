"""The embedded model server, `monolith-serve`: TensorFlow Serving's gRPC and REST API over SavedModels.

    grpc_service, rest ─ predictor ─ catalog (what is configured) ─ manager (versions and their states) ─ saved_model, batching

Only `saved_model` and `runtime` import TensorFlow.
"""
