"""Who there is, with which samples, and who takes part in a round."""
