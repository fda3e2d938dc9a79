"""The rounds, and everything that is kept and measured from one to the next."""
