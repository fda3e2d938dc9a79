"""Supernets: networks that hold many architectures, of which each forward pass runs one."""
