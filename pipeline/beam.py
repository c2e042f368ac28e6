"""Named Beam profiles."""

from __future__ import annotations

from pipeline.errors import ConfigError

_PROFILES: dict[str, tuple[str, ...]] = {
    # One process: below some million rows a second one costs more, in imports alone, than it saves.
    # Workers elsewhere would need TFX sent to them, which TFX packs anew for each component, in a second or two; naming
    # a container that has it keeps TFX from that, and this runner starts none.
    "local": (
        "--runner=DirectRunner",
        "--direct_running_mode=in_memory",
        "--direct_num_workers=1",
        "--sdk_container_image=none",
    ),
}


def options(profile: str) -> list[str]:
    """Beam's command line for the profile of that name.

    Raises:
      ConfigError: there is no such profile.
    """
    if profile not in _PROFILES:
        raise ConfigError(f"--beam {profile}: no such profile; there is {', '.join(_PROFILES)}")
    return list(_PROFILES[profile])
