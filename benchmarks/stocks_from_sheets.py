"""Make the bundled film and print stocks from digitised data sheets (JanLohse/spectral_film_lut, MIT).

    python benchmarks/stocks_from_sheets.py ../shared/data/stocks d2f_mlx/film

Which sheets: those of camera films with a granularity, but none whose comment calls its data unreliable, experimental
or less accurate; of several files with the same curves one. That leaves out instant film (no granularity, and seen by
reflection), prints and Technicolor. The name people type is in `NAMES`.

Curves (sources: "sheet") are brought to one axis by monotone cubic interpolation. Sheets in stops about mid-grey are
placed so that mid-grey has log10(12.5 / ISO) lux s, as the collection does. A negative's layer that the chart cuts off
before the others goes on along its last slope.

Granularity: eight sheets have a curve of their own against exposure, which is joined with their density on the same
axis ("sheet"). All others hold a copy of one of them in the collection, scaled there to a single figure. They get the
shape of the nearest such film (same kind and, for negatives, light; nearest in log2 ISO + years / 10; black and white
has only the print film 2302/2303), times a level:
- black and white: the sheet's RMS is sigma at net density 1.0;
- colour: the sheet's RMS is that of visual density. It is compared with the root sum of squares of the layers' sigma at
  net density 1.0 under the collection's weights, times the factor that gives Ektachrome 100D the RMS of 8 published for
  E100, its twin for still cameras.
Kodak publishes no RMS for still negative film. Its Print Grain Index / 10 stands in for it here, as in the collection;
that, and what the collection's author marks as guessed, is a "guess".

Spectrum: no sheet has one ("model: ... / guess"). Grains and dye clouds are random discs with log-normal radii,
W(f) ~ <r^4 [2 J1(2 pi r f) / (2 pi r f)]^2>, those of one layer of the same density. If a disc of area a holds q of
density x area, sigma_A^2 A = D <q^2> / <q>. An opaque grain has q = 0.434 a, so that the RMS gives the radius of silver
grains (Nutting 1913; Siedentopf 1937; Dainty & Shaw 1974, ch. 2). A dye cloud's q does not tell its size. From layer to
layer clouds are taken to be alike but for their scale, r ~ q^(1/3), so that coarser grain has larger ones, r ~
sigma^(2/3); the mean diameter in the green-sensitive layer of Vision3 500T is set to 3 um. That is a guess between two
bounds: crystals have 0.2-2 um (EP 1815688, [0003]); clouds beyond 9 um would alone cost more contrast than the sheets'
MTF shows (0.48 at 80/mm, Portra 800, blue), which excludes the 10-15 um of Vitale 2007, 'Film Grain, Resolution and
Fundamental Film Particles'.

Correlation: layers are independent, channels see each other's dyes. A Gaussian stands for each Status M (negative) or
Status A (reversal) band, with the mean and deviation of the spectral products of ISO 5-3. Side absorptions times the
layers' own sigma, which is solved for so that the channels keep theirs, give the mixing. The effect of coloured
couplers (the orange mask) and of one layer on another's development are not in the sheets: the true correlation of a
negative's channels on the film is other, and that of a scan higher.

Spectra (every 5 nm): sensitivities go on beyond what the sheet shows along their last slope, downwards. Dyes are the
sheet's; a film whose sheet shows none has those of the nearest film that does ("borrowed"). The base is the sheet's
minimum density, or what the dyes make of the curves' minimum where there is none; in both cases with so much dye that
a densitometer reads the curves' minimum. Silver is neutral. Masking is 1 for colour negatives with an orange mask, and
the collection's figure (its author's judgement of interimage effects) for reversal films. The MTF is the sheet's, one
curve for all layers where it shows one, from 1 at 0 on.
"""

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from d2f_mlx.film import FilmStock, PrintStock
from d2f_mlx.film.spectra import WAVELENGTH, Spectra
from d2f_mlx.film.stock import radial_power

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.special import j1

NAMES = {
    "agfa_vista_100": ("agfa-vista-100", "Agfa Vista 100"),
    "fuji_c200": ("fuji-c200", "Fujifilm C200"),
    "fuji_eterna_500": ("fuji-eterna-500", "Fujifilm Eterna 500"),
    "fuji_eterna_500_vivid": ("fuji-eterna-vivid-500", "Fujifilm Eterna Vivid 500"),
    "fuji_natura_1600": ("fuji-natura-1600", "Fujifilm Natura 1600"),
    "fuji_pro_160c": ("fuji-pro-160c", "Fujifilm Pro 160C"),
    "fuji_pro_160s": ("fuji-pro-160s", "Fujifilm Pro 160S"),
    "fuji_pro_400h": ("fuji-pro-400h", "Fujifilm Pro 400H"),
    "fuji_provia_100f": ("fuji-provia-100f", "Fujichrome Provia 100F"),
    "fuji_superia_reala": ("fuji-superia-reala-100", "Fujicolor Superia Reala 100"),
    "fuji_superia_xtra_400": ("fuji-superia-xtra-400", "Fujicolor Superia X-TRA 400"),
    "fuji_velvia_50": ("fuji-velvia-50", "Fujichrome Velvia 50"),
    "kodachrome_64": ("kodak-kodachrome-64", "Kodachrome 64"),
    "kodak_5203": ("kodak-vision3-50d", "Kodak Vision3 50D 5203"),
    "kodak_5206": ("kodak-verita-200d", "Kodak Verita 200D 5206"),
    "kodak_5207": ("kodak-vision3-250d", "Kodak Vision3 250D 5207"),
    "kodak_5213": ("kodak-vision3-200t", "Kodak Vision3 200T 5213"),
    "kodak_5219": ("kodak-vision3-500t", "Kodak Vision3 500T 5219"),
    "kodak_5222": ("kodak-double-x", "Kodak Double-X 5222"),
    "kodak_5222_dev_4": ("kodak-double-x-dev-4", "Kodak Double-X 5222, dev 4"),
    "kodak_5222_dev_5": ("kodak-double-x-dev-5", "Kodak Double-X 5222, dev 5"),
    "kodak_5222_dev_9": ("kodak-double-x-dev-9", "Kodak Double-X 5222, dev 9"),
    "kodak_5222_dev_12": ("kodak-double-x-dev-12", "Kodak Double-X 5222, dev 12"),
    "kodak_5247_ii": ("kodak-eastman-5247", "Eastman Color Negative II 5247"),
    "kodak_5277": ("kodak-vision-320t", "Kodak Vision 320T 5277"),
    "kodak_5293": ("kodak-exr-200t", "Eastman EXR 200T 5293"),
    "kodak_aerocolor": ("kodak-aerocolor-iv", "Kodak Aerocolor IV 2460"),
    "kodak_aerocolor_low": ("kodak-aerocolor-iv-low", "Kodak Aerocolor IV 2460, low contrast"),
    "kodak_aerocolor_high": ("kodak-aerocolor-iv-high", "Kodak Aerocolor IV 2460, high contrast"),
    "kodak_ektachrome_100d": ("kodak-ektachrome-100d", "Kodak Ektachrome 100D 5294"),
    "kodak_ektar_100": ("kodak-ektar-100", "Kodak Ektar 100"),
    "kodak_exr_5248": ("kodak-exr-100t", "Eastman EXR 100T 5248"),
    "kodak_gold_200": ("kodak-gold-200", "Kodak Gold 200"),
    "kodak_portra_160": ("kodak-portra-160", "Kodak Portra 160"),
    "kodak_portra_400": ("kodak-portra-400", "Kodak Portra 400"),
    "kodak_portra_800": ("kodak-portra-800", "Kodak Portra 800"),
    "kodak_portra_800_at_1600": ("kodak-portra-800-at-1600", "Kodak Portra 800 at 1600"),
    "kodak_portra_800_at_3200": ("kodak-portra-800-at-3200", "Kodak Portra 800 at 3200"),
    "kodak_tri_x_400": ("kodak-tri-x-400", "Kodak Tri-X 400"),
    "kodak_tri_x_400_dev_7": ("kodak-tri-x-400-dev-7", "Kodak Tri-X 400, dev 7"),
    "kodak_tri_x_400_dev_9": ("kodak-tri-x-400-dev-9", "Kodak Tri-X 400, dev 9"),
    "kodak_tri_x_400_dev_11": ("kodak-tri-x-400-dev-11", "Kodak Tri-X 400, dev 11"),
    "kodak_ultramax_400": ("kodak-ultramax-400", "Kodak UltraMax 400"),
    "kodak_vericolor_iii": ("kodak-vericolor-iii", "Kodak Vericolor III"),
}
"""Sheet -> the name people type and the title; other sheets keep their own."""
TUNGSTEN = {"kodak_5247_ii", "kodak_5293"}
"""Tungsten films whose sheets do not say so."""
PRINT_GRAIN_INDEX = {
    "kodak_gold_200": 44,
    "kodak_portra_160": 28,
    "kodak_portra_400": 37,
    "kodak_portra_800": 48,
    "kodak_ultramax_400": 46,
}
"""At 4.4 times enlargement, from Kodak's sheets."""
GUESSED = {"kodak_ektar_100", "kodak_vericolor_iii", "kodak_portra_800_at_1600", "kodak_portra_800_at_3200"}
GUESSED |= {"kodak_aerocolor", "kodak_aerocolor_low", "kodak_aerocolor_high"}
"""What the collection's author calls a guessed value; Aerocolor's is the sheet's times 0.575."""
READ = {"kodak_5247_ii", "kodak_5293"}
"""What the collection's author read from a curve."""
PUBLISHED = {"fuji_provia_100f": 8}
"""RMS of the sheet where the file has another (9)."""
CREDIT = "Digitised from the maker's data sheet by Jan Lohse, JanLohse/spectral_film_lut at 02ecafd (MIT)."

APERTURE_UM = 48.0
APERTURE_UM2 = np.pi * APERTURE_UM**2 / 4
POINTS = 64
HIGHEST_FREQUENCY = 300.0
ANCHOR, ANCHOR_RMS = "kodak_ektachrome_100d", 8.0
VISUAL_WEIGHTS = np.array([0.26, 0.57, 0.17])  # the collection's
RADIUS_SPREAD = 0.3  # deviation / mean
OPAQUE = np.log10(np.e)
CLOUD_RADIUS_UM, CLOUD_SIGMA = 1.5, 0.00713  # Vision3 500T, green-sensitive layer, at net density 1.0
HALATION = 0.15  # of film without an anti-halation layer: a guess
FILM_LIGHT = {"daylight": 5500.0, "tungsten": 3200.0}
PRINTER_KELVIN = 3200.0
MTF_FREQUENCY = np.concatenate([[0.0], np.geomspace(2.5, 100, 23).round(2)])

PRINTS = {
    "fuji_3513": ("fuji-3513", "Fuji 3513 print film"),
    "fuji_3523": ("fuji-3523", "Fuji 3523 print film"),
    "fuji_ca_dpii": ("fuji-crystal-archive-dp-ii", "Fujicolor Crystal Archive DP II paper"),
    "fuji_ca_maxima": ("fuji-crystal-archive-maxima", "Fujicolor Crystal Archive Maxima paper"),
    "fuji_ca_pro_pdii": ("fuji-crystal-archive-pro-pd-ii", "Fujicolor Crystal Archive Pro PD II paper"),
    "fuji_ca_super_c": ("fuji-crystal-archive-super-c", "Fujicolor Crystal Archive Super C paper"),
    "kodak_2302": ("kodak-2302", "Kodak 2302 black-and-white print film"),
    "kodak_2383": ("kodak-2383", "Kodak Vision 2383 print film"),
    "kodak_2393": ("kodak-2393", "Kodak Vision Premier 2393 print film"),
    "kodak_5383": ("kodak-5383", "Eastman Color Print 5383"),
    "kodak_5384": ("kodak-5384", "Eastman Color Print 5384"),
    "kodak_exr_5386": ("kodak-5386", "Eastman EXR Color Print 5386"),
    "kodak_duraflex_plus": ("kodak-duraflex-plus", "Kodak Duraflex Plus"),
    "fujiflex_new": ("fujiflex", "Fujiflex Crystal Archive"),
    "kodak_endura_premier": ("kodak-endura-premier", "Kodak Endura Premier paper"),
    "kodak_portra_endura": ("kodak-portra-endura", "Kodak Portra Endura paper"),
    "kodak_supra_endura": ("kodak-supra-endura", "Kodak Supra Endura paper"),
    "kodak_polymax_grade_minus_1": ("kodak-polymax-grade-minus-1", "Kodak Polymax Fine-Art paper, grade -1"),
    **{
        f"kodak_polymax_grade_{grade}": (f"kodak-polymax-grade-{grade}", f"Kodak Polymax Fine-Art paper, grade {grade}")
        for grade in range(6)
    },
}
"""Sheet -> the name people type and the title."""
BORROWED_CURVES = {"fuji_ca_maxima": "borrowed: Crystal Archive DP II with deeper blacks, by the collection's author"}


def usable(sheet: dict) -> bool:
    """Tell whether a sheet is a camera film's with granularity, and not called doubtful by its author."""
    doubt = re.search("unreliable|experimental|less accurate", sheet.get("comment") or "", re.IGNORECASE)
    return sheet["stage"] == "camera" and "rms_curve" in sheet and "iso" in sheet and doubt is None


def points(curve: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return a digitised curve's points, its axis rising."""
    x, y = np.array(sorted((float(x), y) for x, y in curve.items())).T
    return x, y


def monotone(y: np.ndarray, falling: bool) -> np.ndarray:
    """Take out what goes the wrong way, half from above and half from below."""
    rising = -y if falling else y
    rising = (np.maximum.accumulate(rising) + np.minimum.accumulate(rising[::-1])[::-1]) / 2
    return -rising if falling else rising


def curves_of(sheet: dict) -> tuple[np.ndarray, np.ndarray]:
    """Return the common log exposure (N,) and the layers' densities (N, 3)."""
    layers = [points(curve) for curve in sheet["sensiometric_curve"]]
    if sheet.get("exposure_base") == 2:
        layers = [(x * np.log10(2) + np.log10(12.5 / sheet["iso"]), y) for x, y in layers]
    falling = sheet["film_type"] == "positive"
    axis = np.linspace(min(x[0] for x, _ in layers), max(x[-1] for x, _ in layers), POINTS).round(4)
    columns = []
    for x, y in layers:
        y = monotone(y, falling)
        column = PchipInterpolator(x, y)(axis.clip(x[0], x[-1]))
        if not falling:
            last = x > x[-1] - 0.3
            column += np.polyfit(x[last], y[last], 1)[0].clip(0) * (axis - x[-1]).clip(0) if last.sum() > 1 else 0
        columns.append(column)
    return axis, np.stack(columns * (3 // len(columns)), 1).round(4)


def granularity_of(sheet: dict, grid: np.ndarray) -> np.ndarray:
    """Join sigma and density over exposure into sigma against net density (K, 3)."""
    columns = []
    for sigma, density in zip(sheet["rms_curve"], sheet["rms_density"], strict=True):
        at, sigma = points(sigma)
        net = np.interp(at, *points(density))
        net = net - min(density.values())
        order = np.argsort(net, kind="stable")
        unique, place = np.unique(net[order].round(3), return_inverse=True)
        mean = np.bincount(place, sigma[order]) / np.bincount(place)
        columns.append(np.interp(grid, unique, mean))
    return np.stack(columns * (3 // len(columns)), 1)


def at_one(sheet: dict) -> np.ndarray:
    """Return the layers' sigma at net density 1.0, (3,)."""
    return granularity_of(sheet, np.array([1.0]))[0]


def visual(sheet: dict) -> float:
    """Weigh the layers' sigma at net density 1.0 as the eye does; not yet calibrated."""
    return float(np.sqrt(((VISUAL_WEIGHTS * at_one(sheet)) ** 2).sum()))


def light(stem: str, sheet: dict) -> str:
    warm = stem in TUNGSTEN or sheet.get("exposure_kelvin") == 3200
    return "tungsten" if warm and sheet["film_type"] == "negative" else "daylight"


def lender_of(stem: str, sheets: dict[str, dict[str, Any]]) -> str:
    """Find the nearest film whose sheet has a granularity curve (and dye densities) of its own."""
    sheet = sheets[stem]

    def far(other: str) -> float:
        years = abs((sheets[other].get("year") or 2000) - (sheet.get("year") or 2000))
        return abs(np.log2(sheets[other]["iso"] / sheet["iso"])) + years / 10

    own = [s for s, x in sheets.items() if x["grain_curve_independently_digitised"] and "spectral_density" in x]
    alike = [s for s in own if sheets[s]["film_type"] == sheet["film_type"]]
    lenders = [s for s in alike if light(s, sheets[s]) == light(stem, sheet)]
    if not lenders:
        raise ValueError(f"{stem}: expects a similar film whose sheet has a granularity curve of its own, got none")
    return min(lenders, key=far)


def grain_of(stem: str, sheets: dict[str, dict], grid: np.ndarray) -> tuple[np.ndarray, str, float | None]:
    """Return the granularity (K, 3), its source and the RMS it was scaled to."""
    sheet = sheets[stem]
    if sheet["grain_curve_independently_digitised"]:
        return granularity_of(sheet, grid), "sheet", None
    rms = float(PUBLISHED[stem] if stem in PUBLISHED else sheet["rms"])
    if sheet["density_measure"] == "bw":
        shape, own, name = sheet, float(at_one(sheet)[0]), "the print film Kodak 2302/2303"
    else:
        lender = lender_of(stem, sheets)
        shape, name = sheets[lender], NAMES.get(lender, (lender,))[0]
        own = visual(shape) * ANCHOR_RMS / 1000 / visual(sheets[ANCHOR])
    sigma = granularity_of(shape, grid) * (rms / 1000 / own)
    if stem in PRINT_GRAIN_INDEX:
        index = PRINT_GRAIN_INDEX[stem]
        source = f"guess: shape of {name}, level from Print Grain Index {index} / 10 taken for an RMS"
    elif stem in GUESSED:
        source = f"guess: shape of {name}, level the collection's guess of RMS {rms:g}"
    else:
        whose = "an RMS read from a curve," if stem in READ else "the sheet's RMS"
        source = f"borrowed: shape of {name}, level from {whose} {rms:g}"
    if sheet["manufacturer"] == "Fujifilm" and sheet["film_type"] == "negative":
        source += " (Fujifilm's figures for negatives are on a scale of their own)"
    if "_dev_" in stem:
        source += ", which is not for this development"
    return sigma, source, rms


def grain_radius(sigma: np.ndarray) -> np.ndarray:
    """Solve sigma_A^2 A = 0.434 D pi <r^4> / <r^2> for opaque grains' mean radius in um, at net density D = 1."""
    moments = (1 + RADIUS_SPREAD**2) ** 5  # <r^4> / <r^2> over <r>^2 of the log-normal distribution
    return np.sqrt(sigma**2 * APERTURE_UM2 / (OPAQUE * np.pi * moments))


def cloud_radius(sigma: np.ndarray) -> np.ndarray:
    """Scale the anchor's dye clouds, r ~ sigma^(2/3), mean radius in um."""
    return CLOUD_RADIUS_UM * (sigma / CLOUD_SIGMA) ** (2 / 3)


def spectrum_of(radius_um: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """Return the discs' radial spectra (F, 3), 2 pi int W f df = 1 for W linear between the points."""
    spread = np.sqrt(np.log1p(RADIUS_SPREAD**2))
    nodes, weights = np.polynomial.hermite_e.hermegauss(32)
    columns = []
    for mean in radius_um:
        radius = mean * np.exp(spread * nodes - spread**2 / 2) / 1000  # mm
        x = 2 * np.pi * radius * frequency[:, None]
        disc = np.where(x > 0, 2 * j1(x) / np.where(x > 0, x, 1), 1)
        columns.append((disc**2 * radius**4 * weights).sum(1))
    w = np.stack(columns, 1)
    return w / radial_power(frequency, w)


def on_grid(curve: dict[str, float]) -> np.ndarray:
    """Bring a spectrum to the common wavelengths, constant beyond its ends."""
    x, y = points(curve)
    x, first = np.unique(x, return_index=True)
    return np.interp(WAVELENGTH, x, y[first])


def sensitivity_of(curve: dict[str, float]) -> np.ndarray:
    """Bring a log sensitivity to the common wavelengths; beyond its ends it falls on, by 0.02 a nm at least."""
    x, y = points(curve)
    x, first = np.unique(x, return_index=True)
    y = y[first]
    values = np.interp(WAVELENGTH, x, y)
    low, high = x < x[0] + 15, x > x[-1] - 15
    rise = np.polyfit(x[low], y[low], 1)[0] if low.sum() > 1 else 0
    fall = np.polyfit(x[high], y[high], 1)[0] if high.sum() > 1 else 0
    values -= np.maximum(rise, 0.02) * (x[0] - WAVELENGTH).clip(0)
    return values + np.minimum(fall, -0.02) * (WAVELENGTH - x[-1]).clip(0)


def mtf_of(sheet: dict) -> tuple[np.ndarray, str]:
    """Bring the layers' responses to the common frequencies, (K, 3); all 1 where the sheet has none."""
    if "mtf" not in sheet:
        return np.ones((len(MTF_FREQUENCY), 3)), "guess: 1, the sheet has none"
    columns = []
    for curve in sheet["mtf"]:
        x, y = points(curve)
        slope = np.polyfit(np.log(x[-3:]), np.log(y[-3:].clip(1e-3)), 1)[0]
        column = np.interp(MTF_FREQUENCY, np.append(0, x), np.append(1, y))
        beyond = x[-1] < MTF_FREQUENCY
        column[beyond] = y[-1] * (MTF_FREQUENCY[beyond] / x[-1]) ** min(slope, 0)
        columns.append(column)
    source = "sheet" if len(columns) == 3 else "sheet: one curve for all layers"
    return np.stack(columns * (3 // len(columns)), 1).round(4), source


def spectra_of(stem: str, sheets: dict[str, dict], base_density: np.ndarray, kelvin: float) -> Spectra:
    """Bring a sheet's spectra together; another sheet lends the dyes that it lacks."""
    sheet = sheets[stem]
    sensitivity = np.stack(
        [sensitivity_of(c) for c in sheet["log_sensitivity"]] * (3 // len(sheet["log_sensitivity"])), 1
    )
    mtf, mtf_source = mtf_of(sheet)
    sources = {"sensitivity": "sheet", "mtf": mtf_source}
    parts: dict[str, Any] = {"kelvin": kelvin, "frequency": MTF_FREQUENCY, "mtf": mtf}
    if sheet["density_measure"] == "bw":
        sources |= {"dyes": "model: silver is neutral", "base": "model: as neutral as silver"}
        parts |= {"dyes": np.full((len(WAVELENGTH), 3), 1 / 3), "base": np.full(len(WAVELENGTH), base_density[0])}
        return Spectra(sensitivity=sensitivity.round(4), measure="visual", masking=0.0, sources=sources, **parts)
    owner = stem if "spectral_density" in sheet else lender_of(stem, sheets)
    dyes = np.stack([on_grid(dye) for dye in sheets[owner]["spectral_density"]], 1).clip(0)
    title = NAMES.get(owner, (owner, sheets[owner]["name"]))[1]
    sources["dyes"] = "sheet" if owner == stem else f"borrowed: {title}"
    own_base = "d_min_sd" in sheet
    base = on_grid(sheet["d_min_sd"]) if own_base else np.zeros(len(WAVELENGTH))
    measure = sheet["density_measure"]
    bare = Spectra(sensitivity, dyes, base, measure, kelvin, 0.0, {**sources, "base": "sheet"})
    base = bare.density(bare.amounts(base_density[None]))[0]
    sources["base"] = "sheet" if own_base else "model: the dyes that give the curves' minimum"
    masked = 1.0 if measure == "status_m" else 0.0
    masking = float(sheet.get("color_masking", masked))
    return Spectra(
        sensitivity.round(4), dyes.round(4), base.round(5), measure, masking=masking, sources=sources, **parts
    )


def side_absorptions(sheet: dict) -> np.ndarray:
    """Return what a unit of each dye's own density (column) adds to each Status band (row), (3, 3)."""
    dyes = np.stack([on_grid(dye) for dye in sheet["spectral_density"]], 1)
    nothing = np.zeros_like(dyes)
    sources: dict[str, str] = dict.fromkeys(("sensitivity", "dyes", "base", "mtf"), "sheet")
    seen = Spectra(nothing, dyes, nothing[:, 0], sheet["density_measure"], 5500.0, 0.0, sources).sides.clip(0)
    return seen / np.diag(seen)


def mixing_of(sides: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Mix independent layers such that the channels have these sigma; rows of norm 1, (3, 3)."""
    layers = np.linalg.solve(sides**2, sigma**2)
    mixing = sides * np.sqrt(layers.clip(0.1 * sigma**2))
    return mixing / np.linalg.norm(mixing, axis=1, keepdims=True)


def digits(values: np.ndarray, count: int) -> np.ndarray:
    return np.vectorize(lambda value: float(f"{value:.{count - 1}e}"))(values)


def convert(stem: str, sheets: dict[str, dict]) -> FilmStock:
    """Make the stock of one sheet; the others lend what it lacks."""
    sheet = sheets[stem]
    grey, reversal = sheet["density_measure"] == "bw", sheet["film_type"] == "positive"
    axis, curves = curves_of(sheet)
    base = curves.min(0)
    most = (curves - base).max()
    grid = np.concatenate([np.arange(0, 0.5, 0.025), np.arange(0.5, most + 0.1, 0.1)]).round(3)
    sigma, grain_source, rms = grain_of(stem, sheets, grid)
    one = np.array([np.interp(1.0, grid, sigma[:, c]) for c in range(3)])
    radius = (grain_radius(one) if grey else cloud_radius(one)).round(3)
    frequency = np.linspace(0, HIGHEST_FREQUENCY, POINTS).round(2)
    if grey:
        mixing, correlation = np.tile([1.0, 0.0, 0.0], (3, 1)), "model: one layer, one field"
        model = "model: opaque random discs, radius from the granularity (Siedentopf) / guess of their spread"
    else:
        owner = stem if "spectral_density" in sheet else lender_of(stem, sheets)
        mixing = mixing_of(side_absorptions(sheets[owner]), one)
        name = NAMES.get(owner, (owner,))[0]
        correlation = "model: dye side absorptions of " + ("the sheet" if owner == stem else f"{name} (borrowed)")
        correlation += ", no masking couplers"
        model = "model: random dye clouds, radius 1.5 um x (sigma at density 1 / 0.00713)^(2/3) / guess of that scale"
    report: dict = {"sheet": f"{stem}.json", "grey_log_exposure": round(float(np.log10(12.5 / sheet["iso"])), 4)}
    if rms is not None:
        report["rms"] = rms
    slug, title = NAMES.get(stem, (stem.replace("_", "-"), sheet["name"]))
    return FilmStock(
        name=slug,
        title=title,
        maker=sheet["manufacturer"],
        year=sheet.get("year"),
        iso=sheet["iso"],
        kind="reversal" if reversal else "negative",
        medium=sheet["medium"],
        black_and_white=grey,
        log_exposure=axis,
        curves=curves,
        base=base,
        grain_density=grid,
        granularity=sigma.round(5),
        aperture_um=APERTURE_UM,
        frequency=frequency,
        spectrum=digits(spectrum_of(radius, frequency), 5),
        mixing=mixing.round(5),
        pitch_um=0.0,
        sources={"curves": "sheet", "granularity": grain_source, "spectrum": model, "correlation": correlation},
        credit=CREDIT,
        radius_um=radius,
        radius_sigma_um=(RADIUS_SPREAD * radius).round(3),
        spectra=spectra_of(stem, sheets, base, FILM_LIGHT[light(stem, sheet)]),
        report=report,
    )


def without_backing(film: FilmStock) -> FilmStock:
    """Make CineStill 800T of Vision3 500T: the same film without its anti-halation layer, exposed at 800."""
    assert film.spectra is not None
    borrowed = dict.fromkeys(film.sources, f"borrowed: {film.title}")
    spectral = dict.fromkeys(film.spectra.sources, f"borrowed: {film.title}")
    note = "sold for C-41, whose contrast is not in this; halation's amount is a guess"
    return replace(
        film,
        name="cinestill-800t",
        title="CineStill 800Tungsten",
        maker="CineStill",
        year=2012,
        iso=800,
        medium="photo",
        sources=borrowed,
        spectra=replace(film.spectra, halation=HALATION, sources=spectral),
        report={**film.report, "grey_log_exposure": round(float(np.log10(12.5 / 800)), 4), "note": note},
    )


def convert_print(stem: str, sheets: dict[str, dict]) -> PrintStock:
    """Make the print stock of one sheet."""
    sheet = sheets[stem]
    axis, curves = curves_of(sheet)
    slug, title = PRINTS[stem]
    report = {"sheet": f"{stem}.json"}
    if "lad" in sheet:
        report["lad"] = sheet["lad"]
    return PrintStock(
        name=slug,
        title=title,
        maker=sheet["manufacturer"],
        year=sheet.get("year"),
        kind="film" if sheet["medium"] == "cine" else "paper",
        black_and_white=sheet["density_measure"] == "bw",
        log_exposure=axis,
        curves=curves,
        spectra=spectra_of(stem, sheets, curves[0], PRINTER_KELVIN),
        sources={"curves": BORROWED_CURVES.get(stem, "sheet")},
        credit=CREDIT,
        report=report,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sheets", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    read = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(arguments.sheets.glob("*.json"))}
    sheets = {stem: sheet for stem, sheet in read.items() if usable(sheet)}
    for folder in ("stocks", "prints"):
        (arguments.out / folder).mkdir(parents=True, exist_ok=True)
    seen: set[str] = set()
    for stem in sheets:
        curves = json.dumps([sheets[stem][key] for key in ("sensiometric_curve", "rms_curve", "manufacturer")])
        if curves in seen:
            print(f"{stem}: has the curves of another, left out")
            continue
        seen.add(curves)
        stock = convert(stem, sheets)
        stock.save(arguments.out / "stocks" / f"{stock.name}.json")
        if stem == "kodak_5219":
            without_backing(stock).save(arguments.out / "stocks" / "cinestill-800t.json")
        rho = stock.correlation[[0, 0, 1], [1, 2, 2]]
        print(f"{stock.name}: radius {stock.radius_um} um, rho RG RB GB {rho.round(3)}, {stock.sources['granularity']}")
    for stem in (stem for stem in PRINTS if stem in read):
        paper = convert_print(stem, read)
        paper.save(arguments.out / "prints" / f"{paper.name}.json")
        print(f"{paper.name}: base {paper.base.round(2)}, greatest {paper.curves[-1].round(2)}")


if __name__ == "__main__":
    main()
