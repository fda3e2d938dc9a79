"""Why an image is not pulled: from the words of a kubelet or a container runtime."""

from __future__ import annotations

from trainwright.submission.kubernetes.explain.refused import Told

_PULL = "`docker pull` by hand shows the same"
_WHY: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("no such host", "i/o timeout", "connection refused", "dial tcp", "no route to host"),
        "its registry is not reached from the nodes",
        "is the name right, and may nodes reach it?",
    ),
    (
        ("x509", "certificate", "http response to https"),
        "its registry's certificate is not trusted by the nodes",
        "whoever runs the cluster adds it there",
    ),
    (
        ("toomanyrequests", "too many requests", "rate limit"),
        "its registry allows no more pulls for now",
        "log in to it by `pull_secrets` in the profile, or use a mirror",
    ),
    (
        ("pull access denied", "repository does not exist or may require"),
        "there is no such repository, or the nodes may not pull from it",
        "correct `image`, or name a Secret in `pull_secrets` of the profile",
    ),
    (
        ("unauthorized", "authentication required", "denied", "forbidden", "no basic auth"),
        "the nodes may not pull it",
        "name a Secret of type kubernetes.io/dockerconfigjson in `pull_secrets` of the profile",
    ),
    (
        ("no match for platform", "no matching manifest"),
        "it is not made for the nodes' processors",
        "build it for them: `docker build --platform`",
    ),
    (
        ("no space left",),
        "the node's disk is full",
        "ask whoever runs the cluster",
    ),
    (
        ("not found", "manifest unknown", "name unknown", "404"),
        "there is no such image or tag",
        f"push it, or correct `image` in the profile; {_PULL}",
    ),
)


def not_pulled(image: str, reason: str, message: str) -> Told:
    """Why an image is not there, and what to do.

    Args:
        image: with its tag.
        reason: of the container that waits: ``ErrImagePull``, ``InvalidImageName``, ...
        message: what is known besides.
    """
    if reason == "InvalidImageName":
        return f"{image} is no name of an image", "correct `image` in the profile"
    if reason == "ErrImageNeverPull":
        cause = f"the image {image} is not on the node, and is never to be pulled"
        return cause, "load it onto the nodes, or change `pull_policy` in the profile"
    low = message.lower()
    for words, why, mend in _WHY:
        if any(word in low for word in words):
            return f"the image {image} is not pulled: {why}", mend
    return f"the image {image} is not pulled: {message or reason}", _PULL
