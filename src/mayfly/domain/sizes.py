"""Azure's common and retired VM sizes, as plain data for `domain.catalogue`.

Prices are dollars an hour for one Linux node in East US, pay as you go. Where no number is known there is None, which is
shown as unknown. Spot numbers are the fixed low-priority list price, which was 80 % below the list for the families that
had one; families without it have no Spot price here. Speeds are the lower bound of Azure's published compute units (ACU)
of the family's core, over the 160 of a Dsv3 core; 1.0 where Azure publishes none.
"""

from __future__ import annotations

from dataclasses import dataclass

PRICE_SOURCE = "Azure list price, Linux pay as you go, East US"
SPOT_SOURCE = "Azure low-priority list price (80 % below pay as you go), Linux, East US"
PRICE_DATE = "2024"
SPOT_SHARE = 0.2

SizeRow = tuple[str, int, float, float, int, float | None]
"""Name without `Standard_`, vCPUs, memory in GiB, temporary disk in GiB, GPUs, Standard price."""


@dataclass(frozen=True, slots=True)
class FamilyRows:
    name: str
    rows: tuple[SizeRow, ...]
    speed: float = 1.0
    gpu_model: str | None = None
    low_priority: bool = False
    retired: bool = False


def _steps(
    pattern: str, counts: tuple[int, ...], memory: float, disk: float, price: float | None
) -> tuple[SizeRow, ...]:
    """Rows of a family that is linear in its vCPUs; memory, disk and price are given for one vCPU."""
    return tuple(
        (pattern.format(n), n, n * memory, n * disk, 0, None if price is None else round(n * price, 4)) for n in counts
    )


FAMILIES: tuple[FamilyRows, ...] = (
    FamilyRows(
        "standardAv2Family",
        (
            ("A1_v2", 1, 2, 10, 0, 0.043),
            ("A2_v2", 2, 4, 20, 0, 0.091),
            ("A4_v2", 4, 8, 40, 0, 0.191),
            ("A8_v2", 8, 16, 80, 0, 0.4),
        ),
        speed=0.625,
        low_priority=True,
    ),
    FamilyRows(
        "standardDv2Family",
        (
            ("D1_v2", 1, 3.5, 50, 0, 0.073),
            ("D2_v2", 2, 7, 100, 0, 0.146),
            ("D3_v2", 4, 14, 200, 0, 0.293),
            ("D4_v2", 8, 28, 400, 0, 0.585),
            ("D5_v2", 16, 56, 800, 0, 1.17),
            ("D11_v2", 2, 14, 100, 0, 0.185),
            ("D12_v2", 4, 28, 200, 0, 0.371),
            ("D13_v2", 8, 56, 400, 0, 0.741),
            ("D14_v2", 16, 112, 800, 0, 1.482),
        ),
        speed=1.31,
        low_priority=True,
    ),
    FamilyRows(
        "standardDSv2Family",
        (
            ("DS1_v2", 1, 3.5, 7, 0, 0.073),
            ("DS2_v2", 2, 7, 14, 0, 0.146),
            ("DS3_v2", 4, 14, 28, 0, 0.293),
            ("DS4_v2", 8, 28, 56, 0, 0.585),
            ("DS5_v2", 16, 56, 112, 0, 1.17),
            ("DS11_v2", 2, 14, 28, 0, 0.185),
            ("DS12_v2", 4, 28, 56, 0, 0.371),
            ("DS13_v2", 8, 56, 112, 0, 0.741),
            ("DS14_v2", 16, 112, 224, 0, 1.482),
        ),
        speed=1.31,
        low_priority=True,
    ),
    FamilyRows("standardDv3Family", _steps("D{}_v3", (2, 4, 8, 16, 32, 48, 64), 4, 25, 0.048), low_priority=True),
    FamilyRows("standardDSv3Family", _steps("D{}s_v3", (2, 4, 8, 16, 32, 48, 64), 4, 8, 0.048), low_priority=True),
    FamilyRows("standardDSv4Family", _steps("D{}s_v4", (2, 4, 8, 16, 32, 48, 64), 4, 0, 0.048), speed=1.22),
    FamilyRows("standardDDSv4Family", _steps("D{}ds_v4", (2, 4, 8, 16, 32, 48, 64), 4, 37.5, 0.0565), speed=1.22),
    FamilyRows("standardDASv4Family", _steps("D{}as_v4", (2, 4, 8, 16, 32, 48, 64, 96), 4, 8, 0.048), speed=1.44),
    FamilyRows("standardDSv5Family", _steps("D{}s_v5", (2, 4, 8, 16, 32, 48, 64, 96), 4, 0, 0.048), speed=1.22),
    FamilyRows("standardDDSv5Family", _steps("D{}ds_v5", (2, 4, 8, 16, 32, 48, 64, 96), 4, 37.5, 0.0565), speed=1.22),
    FamilyRows("standardDASv5Family", _steps("D{}as_v5", (2, 4, 8, 16, 32, 48, 64, 96), 4, 0, 0.043), speed=1.44),
    FamilyRows(
        "standardESv3Family",
        (*_steps("E{}s_v3", (2, 4, 8, 16, 20, 32, 48), 8, 16, 0.063), ("E64s_v3", 64, 432, 864, 0, 3.629)),
        low_priority=True,
    ),
    FamilyRows(
        "standardESv4Family",
        (*_steps("E{}s_v4", (2, 4, 8, 16, 20, 32, 48), 8, 0, 0.063), ("E64s_v4", 64, 504, 0, 0, 4.032)),
        speed=1.22,
    ),
    FamilyRows(
        "standardESv5Family",
        (
            *_steps("E{}s_v5", (2, 4, 8, 16, 20, 32, 48, 64), 8, 0, 0.063),
            ("E96s_v5", 96, 672, 0, 0, 6.048),
        ),
        speed=1.22,
    ),
    FamilyRows("standardEDSv4Family", _steps("E{}ds_v4", (2, 4, 8, 16, 20, 32, 48), 8, 37.5, 0.072), speed=1.22),
    FamilyRows(
        "standardFSv2Family",
        (
            ("F2s_v2", 2, 4, 16, 0, 0.085),
            ("F4s_v2", 4, 8, 32, 0, 0.169),
            ("F8s_v2", 8, 16, 64, 0, 0.338),
            ("F16s_v2", 16, 32, 128, 0, 0.677),
            ("F32s_v2", 32, 64, 256, 0, 1.353),
            ("F48s_v2", 48, 96, 384, 0, 2.03),
            ("F64s_v2", 64, 128, 512, 0, 2.706),
            ("F72s_v2", 72, 144, 576, 0, 3.045),
        ),
        speed=1.22,
        low_priority=True,
    ),
    FamilyRows(
        "standardMSFamily",
        (
            ("M8ms", 8, 218.75, 256, 0, None),
            ("M16ms", 16, 437.5, 512, 0, None),
            ("M32ms", 32, 875, 1024, 0, None),
            ("M64s", 64, 1024, 2048, 0, 6.669),
            ("M64ms", 64, 1792, 2048, 0, 10.337),
            ("M128s", 128, 2048, 4096, 0, 13.338),
            ("M128ms", 128, 3892, 4096, 0, 26.688),
        ),
    ),
    FamilyRows(
        "standardNCFamily",
        (
            ("NC6", 6, 56, 340, 1, 0.9),
            ("NC12", 12, 112, 680, 2, 1.8),
            ("NC24", 24, 224, 1440, 4, 3.6),
            ("NC24r", 24, 224, 1440, 4, 3.96),
        ),
        gpu_model="NVIDIA K80",
        low_priority=True,
        retired=True,
    ),
    FamilyRows(
        "standardNCSv2Family",
        (
            ("NC6s_v2", 6, 112, 736, 1, 2.07),
            ("NC12s_v2", 12, 224, 1474, 2, 4.14),
            ("NC24s_v2", 24, 448, 2948, 4, 8.28),
            ("NC24rs_v2", 24, 448, 2948, 4, 9.108),
        ),
        gpu_model="NVIDIA P100",
        low_priority=True,
        retired=True,
    ),
    FamilyRows(
        "standardNCSv3Family",
        (
            ("NC6s_v3", 6, 112, 736, 1, 3.06),
            ("NC12s_v3", 12, 224, 1474, 2, 6.12),
            ("NC24s_v3", 24, 448, 2948, 4, 12.24),
            ("NC24rs_v3", 24, 448, 2948, 4, 13.464),
        ),
        gpu_model="NVIDIA V100",
        low_priority=True,
    ),
    FamilyRows(
        "standardNCASv3_T4Family",
        (
            ("NC4as_T4_v3", 4, 28, 176, 1, 0.526),
            ("NC8as_T4_v3", 8, 56, 352, 1, 0.752),
            ("NC16as_T4_v3", 16, 110, 352, 1, 1.204),
            ("NC64as_T4_v3", 64, 440, 2816, 4, 4.352),
        ),
        gpu_model="NVIDIA T4",
    ),
    FamilyRows(
        "standardNCADSA100v4Family",
        (
            ("NC24ads_A100_v4", 24, 220, 64, 1, 3.673),
            ("NC48ads_A100_v4", 48, 440, 128, 2, 7.346),
            ("NC96ads_A100_v4", 96, 880, 256, 4, 14.692),
        ),
        gpu_model="NVIDIA A100 80GB",
    ),
    FamilyRows(
        "standardNCadsH100v5Family",
        (("NC40ads_H100_v5", 40, 320, 128, 1, 6.98), ("NC80adis_H100_v5", 80, 640, 256, 2, 13.96)),
        gpu_model="NVIDIA H100",
    ),
    FamilyRows(
        "standardNDSFamily",
        (
            ("ND6s", 6, 112, 736, 1, 2.07),
            ("ND12s", 12, 224, 1474, 2, 4.14),
            ("ND24s", 24, 448, 2948, 4, 8.28),
            ("ND24rs", 24, 448, 2948, 4, 9.108),
        ),
        gpu_model="NVIDIA P40",
        low_priority=True,
        retired=True,
    ),
    FamilyRows("standardNDSv2Family", (("ND40rs_v2", 40, 672, 2948, 8, 22.032),), gpu_model="NVIDIA V100 32GB"),
    FamilyRows("standardNDASv4_A100Family", (("ND96asr_v4", 96, 900, 6000, 8, 27.197),), gpu_model="NVIDIA A100 40GB"),
    FamilyRows(
        "standardNDAMSv4_A100Family", (("ND96amsr_A100_v4", 96, 1900, 6400, 8, 32.77),), gpu_model="NVIDIA A100 80GB"
    ),
    FamilyRows("standardNDSH100v5Family", (("ND96isr_H100_v5", 96, 1900, 28000, 8, 98.32),), gpu_model="NVIDIA H100"),
    FamilyRows(
        "standardNVFamily",
        (
            ("NV6", 6, 56, 340, 1, 1.14),
            ("NV12", 12, 112, 680, 2, 2.28),
            ("NV24", 24, 224, 1440, 4, 4.56),
        ),
        gpu_model="NVIDIA M60",
        low_priority=True,
        retired=True,
    ),
    FamilyRows(
        "standardNVSv3Family",
        (
            ("NV12s_v3", 12, 112, 320, 1, 1.14),
            ("NV24s_v3", 24, 224, 640, 2, 2.28),
            ("NV48s_v3", 48, 448, 1280, 4, 4.56),
        ),
        gpu_model="NVIDIA M60",
    ),
    FamilyRows(
        "standardNVADSA10v5Family",
        (
            ("NV36ads_A10_v5", 36, 440, 1440, 1, 3.2),
            ("NV72ads_A10_v5", 72, 880, 2880, 2, 6.52),
        ),
        gpu_model="NVIDIA A10",
    ),
)
