"""What a run keeps on disk: checkpoints, manifests, resume."""
