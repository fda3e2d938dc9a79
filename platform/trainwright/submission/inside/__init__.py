"""What runs a parcel on the cluster, in the folder that holds it."""
