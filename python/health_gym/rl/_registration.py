"""The environment in Gymnasium's registry."""

from __future__ import annotations

ENVIRONMENT = "health_gym/ArtForHiv-v0"
"""The name of the environment of simulated HIV patients."""


def register() -> None:
    """Put ``health_gym/ArtForHiv-v0`` into Gymnasium's registry, where Gymnasium is installed.

    Importing :mod:`health_gym.rl` does it, and so does Gymnasium for installed plug-ins.
    """
    try:
        from gymnasium.envs import registration
    except ImportError:
        return
    if ENVIRONMENT not in registration.registry:
        module = "health_gym.rl._environment"
        registration.register(
            id=ENVIRONMENT,
            entry_point=f"{module}:ArtForHiv",
            vector_entry_point=f"{module}:ArtForHivVector",
        )
