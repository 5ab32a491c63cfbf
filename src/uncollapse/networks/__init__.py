"""Networks built from a method and a task: `mlp` for vectors (and small images as vectors)."""
