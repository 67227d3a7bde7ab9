"""The kernel for browsers, which is committed, is that of the sources beside it."""

import hashlib
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_browsers_kernel_was_made_from_these_sources():
    csrc = ROOT / "wavenet" / "csrc"
    told = re.search(r"^WASM_SOURCES := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert told is not None
    names = sorted({*told[1].split(), *(path.name for path in csrc.glob("*.h"))})
    digest = hashlib.sha256(b"".join((csrc / name).read_bytes() for name in names)).hexdigest()
    made_from = (ROOT / "wavenet" / "web" / "wavenet.wasm.sources").read_text().strip()
    assert made_from == digest, "make wasm, then commit wavenet/web/wavenet.wasm and wavenet.wasm.sources"
