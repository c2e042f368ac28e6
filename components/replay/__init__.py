"""ReplayCheck: replays logged requests against the candidate and the served version before publication."""
