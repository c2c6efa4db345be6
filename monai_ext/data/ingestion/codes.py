"""Text of a scan as a code that cannot carry a name: known terms stay readable, others are hashed or dropped."""

from __future__ import annotations

import re

from monai_ext.data.pseudonyms import Pseudonyms

__all__ = ["body_part_code", "kernel_code"]

_BODY_PARTS = """
ABDOMEN ABDOMENPELVIS ADRENAL ANKLE AORTA ARM BILEDUCT BLADDER BRAIN BREAST BRONCHUS CALCANEUS CALF CAROTID CEREBELLUM
CERVIX CHEST CHESTABDOMEN CHESTABDPELVIS CLAVICLE COCCYX COLON CORNEA CORONARYARTERY CSPINE CTSPINE DUODENUM EAR ELBOW
ESOPHAGUS EXTREMITY EYE FACE FEMUR FINGER FOOT GALLBLADDER HAND HEAD HEADNECK HEART HIP HUMERUS ILEUM ILIUM JAW JEJUNUM
KIDNEY KNEE LARYNX LEG LIVER LSPINE LSSPINE LUNG MAXILLA MEDIASTINUM MOUTH NECK NECKCHEST NECKCHESTABDOMEN
NECKCHESTABDPELV NOSE ORBIT OVARY PANCREAS PARANASALSINUS PAROTID PATELLA PELVIS PENIS PHARYNX PROSTATE RECTUM RIB
SACRUM SCALP SCAPULA SELLATURCICA SHOULDER SKULL SPINE SPLEEN SSPINE STERNUM STOMACH SUBMANDIBULAR TESTIS THIGH THORAX
THUMB THYMUS THYROID TLSPINE TOE TONGUE TRACHEA TSPINE UTERUS VAGINA VULVA WHOLEBODY WRIST ZYGOMA
"""
"""Defined terms of Body Part Examined (PS3.16 annex L), and THORAX, which scanners write."""

_KERNELS = """
STANDARD SOFT BONE BONEPLUS LUNG DETAIL EDGE CHEST CHST ULTRA STD STD+ ASIR SHARP SMOOTH BRAIN HEAD BODY NORMAL
A B C D E F L YA YB YC YD UA UB UC IA IB EA EB EC SA SB SC BA BB
"""
"""Kernels that GE and others name with a word, and Philips with one or two letters."""

_KERNEL_PATTERNS = (
    re.compile(r"[ABCHIJQRSTU][A-Z]?[0-9]{2}[A-Z]?(\\[1-5])?"),  # Siemens: B30F, H31S, BR40D\3, I50F\2
    re.compile(r"FC[0-9]{2}[A-Z]?(-[A-Z])?"),  # Toshiba and Canon: FC01, FC51
)


def kernel_code(kernel: str, pseudonyms: Pseudonyms) -> str | None:
    """The kernel where it is a known one, else a hashed code such as ``other-akdpbcoe``; None where there is none.

    ConvolutionKernel (0018,1210) is free text: somebody may have typed a name into it.
    """
    kernel = kernel.strip().upper()
    if not kernel:
        return None
    if kernel in _KERNELS.split() or any(pattern.fullmatch(kernel) for pattern in _KERNEL_PATTERNS):
        return kernel.replace("\\", "-")
    return f"other-{pseudonyms.letters('kernel', kernel)}"


def body_part_code(body_part: str) -> str | None:
    """The body part where it is a defined term, else None: scanners let people type anything."""
    body_part = body_part.strip().upper()
    return body_part if body_part in _BODY_PARTS.split() else None
