"""Jobs sent to a Ray cluster: over Ray's Jobs API, or as a RayJob of Kubernetes.

A job file with the user's plugin files becomes a parcel (``parcel``), named by its content. A
target (``target``) takes it in, tells how it fares and gives its log; there is one for each way to
reach a cluster (``ray_jobs``, ``kubernetes``). On the cluster, ``inside`` runs what the parcel
holds.
"""
