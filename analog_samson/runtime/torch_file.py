"""Files of `torch.save`, judged by their directory before torch unpacks them."""

import zipfile
from pathlib import Path

_SLACK = 2**24  # bytes; texts of a traced model are packed


def refuse_packed(path: Path) -> None:
    """Raise ValueError for a zip archive that would unpack to more than the file's own size.

    `torch.save` does not compress: a file of 8 MB that states 8 GB was made for that.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    held = path.stat().st_size
    if unpacked > held + _SLACK:
        raise ValueError(f"its {held} bytes unpack to {unpacked}, which torch.save does not do")
