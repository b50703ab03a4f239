"""The engine: triggers, runs and executors of functions, and the serving model."""

import os

# Read when onnxruntime is imported, which otherwise reports to Microsoft from this host.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
