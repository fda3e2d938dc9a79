"""How a federation makes one model of what its clients send: one aggregator in each file."""
