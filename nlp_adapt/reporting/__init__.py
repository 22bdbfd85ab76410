"""What a run's files say: the comparison table and the model card. Nothing here sees a trainer."""
