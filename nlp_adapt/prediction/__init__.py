"""A saved model at work: opening, predicting, ensembles, export."""
