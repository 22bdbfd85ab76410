"""A person's answers on the rows where a run's two models differ, and what follows from them."""
