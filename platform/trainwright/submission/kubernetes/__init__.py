"""Jobs on Kubernetes, each on a Ray cluster that KubeRay makes for it."""
