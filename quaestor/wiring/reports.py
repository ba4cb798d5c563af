"""The devlog: written out of the books into the data folder."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Database
    from quaestor.operations.report import Reported


async def write_report(
    database: Database, account: str, home: Path, start: dt.date | None, end: dt.date | None, flow_run_id: str | None
) -> Reported:
    """Write the devlog and its pictures of the settled sessions in [start, end] into the data folder's `reports`."""
    os.environ.setdefault("MPLCONFIGDIR", str(home / "cache" / "matplotlib"))  # else its font list goes to ~/.cache
    from quaestor.doors.folder import Folder
    from quaestor.doors.postgres.evidence import EvidenceStore
    from quaestor.operations.report import report

    return await report(EvidenceStore(database, account), Folder(home / "reports"), start, end, flow_run_id)
