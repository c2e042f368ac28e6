"""Runs Beam jobs: profiles, engines, and worker processes."""
