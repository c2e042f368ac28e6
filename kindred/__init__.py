"""The program as a whole: its packages, how it starts, and how it was started."""

PACKAGES = (
    "bootstrap",
    "compat",
    "components",
    "errors",
    "kindred",
    "pipeline",
    "schemas",
    "sections",
    "serving",
    "trainer",
)
"""The packages of the wheel. They are siblings, in the repository and where the wheel is installed."""
