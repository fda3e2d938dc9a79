"""What travels between clients and server, and how it is changed and summed on its way."""
