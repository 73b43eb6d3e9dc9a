"""Make docs/images/report.png from a report page: `python docs/take_picture.py runs/demo/report.html`.

Needs Chromium (Debian: apt-get install chromium).
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PICTURE = Path(__file__).parent / "images" / "report.png"
QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars"
)


def main(page: str) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        sys.exit("chromium is not installed (Debian: apt-get install chromium)")
    PICTURE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, *QUIET.split(), f"--user-data-dir={profile}", "--window-size=1180,1150"]
        address = Path(page).resolve().as_uri()
        subprocess.run([*command, f"--screenshot={PICTURE}", address], check=True, capture_output=True)
    print(PICTURE)


if __name__ == "__main__":
    main(sys.argv[1])
