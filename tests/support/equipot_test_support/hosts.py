"""Two hosts on one machine: network namespaces that only a cable joins."""

import contextlib
import os
import subprocess

import pytest

ADDRESSES = ("10.77.0.1", "10.77.0.2")


@contextlib.contextmanager
def two_hosts():
    """Two network namespaces with one virtual cable between them; the test is skipped where that is not allowed.

    Gives for each host the beginning of a command that runs in it, and the environment that it needs.
    """
    names = [f"equipot-{os.getpid()}-{index}" for index in range(2)]
    cables = [f"eq{os.getpid()}{end}" for end in "ab"]
    made = []
    try:
        for name in names:
            _ip("netns", "add", name)
            made.append(name)
        _ip("link", "add", cables[0], "type", "veth", "peer", "name", cables[1])
        for name, cable, address in zip(names, cables, ADDRESSES, strict=True):
            _ip("link", "set", cable, "netns", name)
            _ip("-n", name, "address", "add", f"{address}/24", "dev", cable)
            for device in (cable, "lo"):
                _ip("-n", name, "link", "set", device, "up")
        yield [
            (["ip", "netns", "exec", name], {"GLOO_SOCKET_IFNAME": cable})
            for name, cable in zip(names, cables, strict=True)
        ]
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "delete", name], check=False)  # its end of the cable goes with it


def _ip(*arguments):
    """Run ``ip``, or skip the test."""
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("network namespaces cannot be made: there is no program ip")
    if done.returncode:
        pytest.skip(f"network namespaces cannot be made: {done.stderr.strip()}")
