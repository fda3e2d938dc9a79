"""Differential privacy of single clients: clipping, noise, and what they add up to.

Noise hides a client only if it stands right behind a bound on what the client sends, so the order
is decided by where the noise is added:

- ``central``: a client's update is encoded by the transforms and decoded at the server, *then*
  clipped, summed, and noise is added once to the sum. Clipping before the transforms would not do:
  ``random_mask`` or ``quantize`` can make an update longer than the bound.
- ``local``: a client clips its update, adds noise, and *then* the transforms encode it. They see
  what is private already and cannot undo that. The other way round the noise would have to be
  added to the few elements that are sent, for a bound that the transform need not keep.

What the epsilon is about: an observer who sees the model after every round and knows everything
but one client's samples; with ``local`` the server itself, who sees each message. Not covered are
numbers that a run records besides, such as the clients' mean loss, and what a client's state keeps.
The noise follows from the job's seed: it protects as long as that is secret, and is drawn in
floating point, which an attacker who sees exact numbers may use. It is a simulation.
"""
