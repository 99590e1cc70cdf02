"""The foregrounds of the papers: how RealNet and NSA tell objects from their backgrounds on the public data sets.

RealNet: Zhang, Xu, Zhou, CVPR 2024, arXiv 2403.05897. NSA: Schlüter et al., ECCV 2022, arXiv 2109.15222.
"""

from __future__ import annotations

from typing import Any


def settings() -> dict[str, dict[str, Any]]:
    """Return the keys of `anomgen.sources.foreground.Foreground` by name: ``realnet/CLASS``, ``nsa/CLASS``."""
    table: dict[str, dict[str, Any]] = {}

    def realnet(names: str, own: dict[str, Any]) -> None:
        table.update({f"realnet/{name}": own for name in names.split()})

    realnet("carpet leather tile wood cable transistor", {})
    realnet("pill", _cut("otsu", "bright", 6, 6))
    realnet("hazelnut metal_nut toothbrush", _cut("triangle", "bright", 6, 6))
    realnet("bottle capsule grid screw zipper", _cut("otsu", "dark", 6, 6))
    realnet("visa/capsules", {})
    realnet("visa/pcb1 visa/pcb2 visa/pcb3 visa/pcb4", _cut("triangle", "bright", 8, 3, "b"))
    realnet(
        "visa/candle visa/cashew visa/chewinggum visa/fryum visa/macaroni1 visa/macaroni2 visa/pipe_fryum",
        _cut("otsu", "bright", 3, 3),
    )
    realnet("mpdd/bracket_black mpdd/bracket_brown mpdd/connector", _cut("otsu", "dark", 6, 0, "g"))
    realnet("mpdd/bracket_white mpdd/tubes", _cut("otsu", "bright", 6, 0, "b"))
    realnet("mpdd/metal_plate", _cut("otsu", "dark", 6, 0))
    realnet("btad/01 btad/03", _cut("otsu", "bright", 15, 6))
    realnet("btad/02", {})
    levels = {
        (200.0, 60.0): "bottle capsule screw zipper",
        (20.0, 20.0): "hazelnut metal_nut pill toothbrush",
        (0.0, 20.0): "rcxr",
    }
    for pair, names in levels.items():
        table.update({f"nsa/{name}": {"method": "background", "levels": [pair]} for name in names.split()})
    table.update({f"nsa/{name}": {} for name in ["cable", "transistor", "carpet", "grid", "leather", "tile", "wood"]})
    return table


def _cut(method: str, side: str, close: int, open: int, channel: str = "gray") -> dict[str, Any]:
    return {"method": method, "channel": channel, "side": side, "close": close, "open": open}
