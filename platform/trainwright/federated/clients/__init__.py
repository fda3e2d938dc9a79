"""Training clients: one after another, or side by side as one computation."""
