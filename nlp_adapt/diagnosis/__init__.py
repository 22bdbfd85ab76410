"""Before training: how two domains differ, as far as their text tells, and what follows from that."""
