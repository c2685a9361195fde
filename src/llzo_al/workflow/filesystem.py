"""Which kind of filesystem a path lies on, since SQLite's write-ahead log needs one host's memory."""

from __future__ import annotations

import re
from pathlib import Path

from llzo_al.errors import UserError

MOUNT_TABLE = Path("/proc/self/mountinfo")
NETWORK_FILESYSTEMS = frozenset(
    {
        "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "fhgfs", "fuse.beegfs", "fuse.ceph",
        "fuse.gcsfuse", "fuse.glusterfs", "fuse.juicefs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs",
        "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs3", "nfs4", "ocfs2", "orangefs", "panfs",
        "pvfs2", "smb", "smb2", "smb3", "smbfs", "wekafs",
    }
)  # fmt: skip
_OCTAL_ESCAPE = re.compile(r"\\([0-7]{3})")


def filesystem_type(path: Path) -> str | None:
    """Type of the filesystem that holds `path`, such as ``ext4`` or ``nfs4``.

    Parameters
    ----------
    path
        A file or directory; it need not exist yet.

    Returns
    -------
    str or None
        The kernel's name of the type; None where the system has no mount table to read.
    """
    try:
        table = MOUNT_TABLE.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    resolved = path.resolve()
    found: str | None = None
    depth = -1
    for line in table.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split()
        if not separator or len(fields) < 5 or not after.split():
            continue
        mount_point = Path(_OCTAL_ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[4]))
        # Of two mounts on one point the later line hides the earlier.
        if len(mount_point.parts) >= depth and resolved.is_relative_to(mount_point):
            found, depth = after.split()[0], len(mount_point.parts)
    return found


def is_shared(path: Path) -> bool:
    """Whether `path` lies on a network or cluster filesystem, as far as is known."""
    return filesystem_type(path) in NETWORK_FILESYSTEMS


def require_local(path: Path) -> None:
    """Refuse a LaunchPad file on a filesystem that several hosts share.

    Raises
    ------
    UserError
        If `path` lies on a network or cluster filesystem.
    """
    kind = filesystem_type(path)
    if kind in NETWORK_FILESYSTEMS:
        raise UserError(
            f"{path}: lies on a network filesystem ({kind}), where the embedded LaunchPad would lose data. "
            "Set TMPDIR to a directory on a local disk, or run a MongoDB server and name it in a FireWorks "
            "launchpad file"
        )
