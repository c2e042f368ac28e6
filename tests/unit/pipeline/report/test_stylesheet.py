"""The contrast of adjacent colors in light and dark mode (WCAG 2.2, sections 1.4.3 and 1.4.11)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pipeline.report

CSS = (Path(pipeline.report.__file__).parent / "templates" / "report.css").read_text(encoding="utf-8")
TEXT, SHAPE = 4.5, 3.0
_GROUNDS = ("ground", "raised")
_ON = {
    **dict.fromkeys(("ink", "muted", "accent"), (TEXT, _GROUNDS)),
    **{name: (TEXT, (*_GROUNDS, f"{name}-ground")) for name in ("ok", "warn", "bad", "same")},
    **dict.fromkeys(("left", "right", "candidate", "mean", "biases", "blessed"), (SHAPE, _GROUNDS)),
}


def _colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))


def _blocks() -> dict[str, dict[str, str]]:
    light, dark = re.findall(r":root[^{]*\{([^}]*)\}", CSS)
    return {"light": _colours(light), "dark": _colours(dark)}


def _luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    brighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def test_contrast_formula_matches_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", _ON)
def test_colors_have_enough_contrast(scheme: str, name: str) -> None:
    colours = _blocks()[scheme]
    least, grounds = _ON[name]
    for ground in grounds:
        assert contrast(colours[name], colours[ground]) >= least, (name, ground)


def test_both_schemes_define_every_color() -> None:
    light, dark = _blocks().values()
    assert light.keys() == dark.keys()
    script = (Path(pipeline.report.__file__).parent / "templates" / "map.js").read_text(encoding="utf-8")
    used = set(re.findall(r"var\(--([\w-]+)\)", CSS)) | set(re.findall(r'of\("--([\w-]+)"\)', script))
    assert used - light.keys() <= {"c", "tone", "tone-ground"}


def test_text_is_opaque() -> None:
    assert [rule.strip() for rule in re.findall(r"([^{}]+)\{[^}]*[\s;]opacity:", CSS)] == [".interval"]
