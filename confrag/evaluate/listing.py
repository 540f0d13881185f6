"""The files of a corpus, for questions about documents of one's own."""

from __future__ import annotations

from contextlib import closing

from confrag.evaluate.own import Files
from confrag.plan.model import Plan
from confrag.runtime.ingest import find_files
from confrag.runtime.overlay import Overlay
from confrag.runtime.work import content_hash

__all__ = ["files_of"]


def files_of(plan: Plan) -> Files:
    """The files of a plan's corpus, those among them that were added, changed or taken out at run time.

    Raises:
        UserError: a corpus that does not exist or is empty.
    """
    with closing(Overlay(plan)) as overlay:
        found = find_files(plan.corpus, overlay)
    digests = {}
    for file in found.files:
        try:
            digests[file.name] = content_hash(file.location, file.sidecar, file.said)
        except OSError:  # the ingest reports it
            digests[file.name] = ""
    return Files(digests, {skipped.name: skipped.reason for skipped in found.skipped}, plan.corpus.paths)
