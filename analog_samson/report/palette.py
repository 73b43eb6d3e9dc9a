"""Colours by role, for light and dark pages. Figures are drawn in LIGHT; on a page each becomes a variable.

The series colours differ in hue and in lightness, also for colour-blind readers (a test measures it), keep a
contrast of 4.5 to 1 to the surface, and always go with a marker and a dash pattern of their own.
"""

LIGHT = {
    "ink": "#1b2129",
    "muted": "#5b6571",
    "rule": "#dde1e6",
    "surface": "#ffffff",
    "series-1": "#004f9e",
    "series-2": "#c4480c",
    "series-3": "#12805a",
    "series-4": "#9b1f6f",
    "series-5": "#806200",
    "series-6": "#343a40",
}
DARK = {
    "ink": "#e8ebee",
    "muted": "#9da7b2",
    "rule": "#303944",
    "surface": "#171c23",
    "series-1": "#5aa9f7",
    "series-2": "#ff9a5c",
    "series-3": "#6fdc9a",
    "series-4": "#e79bd3",
    "series-5": "#e2c044",
    "series-6": "#c3c9d0",
}
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("solid", (0, (6, 1.5)), (0, (3, 1.2)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)), (0, (4, 2)))
SERIES = tuple(role for role in LIGHT if role.startswith("series-"))


def series_role(place: int) -> str:
    """The colour role of the series at `place`, counted from 0; they repeat after the last."""
    return SERIES[place % len(SERIES)]
