"""How a film is exposed, printed and looked at: the settings of the photographic chain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from .stock import FilmStock

Tone = Literal["camera", "linear"]
Filter = Literal["none", "yellow", "orange", "red", "green", "blue"]
Halation = Literal["film", "off", "no-backing"]
Mtf = Literal["film", "off"]
Aim = Literal["speed", "exposure"]
SCAN = "scan"
"""The name that stands for a negative inverted by a scanner in place of a print."""


@dataclass(frozen=True)
class Darkroom:
    """How a film is exposed, printed and looked at.

    Args:
        print: What a negative is printed on: a print stock's name (d2f stocks --prints) or file, or "scan" for a
            positive made by a lab's scanner; "" is what suits the film. Reversal film is looked at as it is.
        exposure: Stops above the film's speed.
        temperature: Colour temperature of the scene's light in kelvin, when the photo's neutrals are not to stay
            neutral: 3200 warms daylight film, 5500 cools tungsten film; 0 is the film's own light.
        tint: Density x 100, in the green, of a filter before the lens: magenta above 0, green below. The picture stays
            as bright.
        tone: "camera" undoes the contrast that cameras and phones give to pictures, "linear" takes light as it is.
        headroom: Stops above white that bright parts are stretched to, for "camera": what the camera's curve hid.
        filter: Before the lens, for black-and-white film: none, yellow, orange, red, green, blue. Grey stays as bright.
        interlayer: How much more the layers' log exposures differ from their mean, as development of one layer holds
            back the others, in a colour negative; what prints and slides have of it goes in proportion. 0.35 leaves
            colours about as pure as they were, 1 is garish.
        mtf: "film" spreads light in the emulsion as the sheet says, "off" does not.
        halation: Light thrown back by the film's base: "film" as the stock has it, "off", or "no-backing" as in film
            without its anti-halation layer.
        aim: Whether printing (or scanning) makes mid grey of the grey of a well exposed negative, "speed", or of the
            grey that was exposed, "exposure", as a lab corrects: then ``exposure`` changes tone and colours, but not
            how bright the picture is.
        print_exposure: Stops of light in printing a negative: above 0 prints are darker. In a scan, of the positive's
            density.
        neutral: How much of the cast that a grey scale has by its sheets' curves is balanced away.
    """

    print: str = ""
    exposure: float = 0.0
    temperature: float = 0.0
    tint: float = 0.0
    tone: Tone = "camera"
    headroom: float = 1.0
    filter: Filter = "none"
    interlayer: float = 0.35
    mtf: Mtf = "film"
    halation: Halation = "film"
    aim: Aim = "speed"
    print_exposure: float = 0.0
    neutral: float = 1.0

    def __post_init__(self) -> None:
        limits = {
            "exposure": (-10, 10),
            "tint": (-100, 100),
            "headroom": (0, 5),
            "interlayer": (0, 2),
            "print_exposure": (-5, 5),
            "neutral": (0, 1),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"develop expects {name} in [{low}, {high}], got {value}")
        if not (self.temperature == 0 or 1000 <= self.temperature <= 25000):
            raise ValueError(f"develop expects a temperature of 0, or 1000 to 25000 kelvin, got {self.temperature}")
        for name, kind in (("tone", Tone), ("filter", Filter), ("mtf", Mtf), ("halation", Halation), ("aim", Aim)):
            value = getattr(self, name)
            if value not in get_args(kind):
                raise ValueError(f"develop expects {name} to be one of {', '.join(get_args(kind))}, got {value!r}")


def print_for(stock: FilmStock) -> str:
    """Name what a negative is usually printed on; "" for reversal film and stocks fitted to scans."""
    if stock.kind != "negative":
        return ""
    fuji, cine = stock.maker == "Fujifilm", stock.medium == "cine"
    if stock.black_and_white:
        return "kodak-2302" if cine else "kodak-polymax-grade-2"
    if cine:  # by Fujifilm's own print films' sheets, whose dyes are impure, every film comes out pale
        return "kodak-2383"
    return "fuji-crystal-archive-dp-ii" if fuji else "kodak-portra-endura"
