"""What `AdaptationTrainer` shares with `transformers.Trainer`, a habit a file."""
