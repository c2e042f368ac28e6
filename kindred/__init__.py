"""The program: its packages, its entry points, the command line that started it, and what every part needs."""

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
    "storage",
    "trainer",
)
"""The packages of the wheel. They are siblings in the repository and in an installation."""
