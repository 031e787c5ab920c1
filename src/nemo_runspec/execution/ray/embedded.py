"""A Ray of one machine, inside the job that asks for it: what makes `ray.init()` start one."""

from __future__ import annotations

from collections.abc import Mapping

ADDRESS_VARIABLE = "RAY_ADDRESS"


def embedded_ray(kind: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Variables with which `ray.init()` starts a Ray that listens on loopback alone.

    It ends with the process that started it.

    Args:
        kind: the recipe's `launch`.
        environ: the job's environment; one that names a Ray, which is then the one to join.
    """
    if kind != "ray" or ADDRESS_VARIABLE in environ:
        return {}
    return {
        # Neither one that happens to run on this machine, nor none at all with ray.init("auto").
        ADDRESS_VARIABLE: "local",
        # Ray takes this for a machine whose firewall asks questions: it listens nowhere else.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }
