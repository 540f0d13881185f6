"""The dataset that a configuration names, with the files of its corpus where the questions are about these."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from confrag.errors import UserError
from confrag.evaluate.dataset import QUERIES, Dataset, has_documents, read
from confrag.evaluate.own import Files
from confrag.plan.compile import compile_plan
from confrag.plan.model import Plan
from confrag.runtime.inventory import find_files
from confrag.runtime.overlay import Overlay
from confrag.runtime.work import content_hash
from confrag.schema.root import Config

__all__ = ["dataset_of"]


def dataset_of(config: Config, name: str | None = None) -> Dataset:
    """Read the dataset that a configuration names.

    Args:
        config: it names one.
        name: of the configuration.

    Raises:
        UserError: with every mistake in the dataset; it has no query that can be asked; its documents are those of the
            corpus, which does not exist, is empty, or holds the questions.
    """
    named = config.dataset
    assert named.path is not None  # the caller has looked
    folder = Path(named.path).expanduser()
    own = None if has_documents(folder) else _files(compile_plan(config, name), folder)
    dataset = read(folder, named.split, named.language, own)
    if not dataset.queries:
        split = f" in the split '{dataset.split}'" if dataset.split else ""
        raise UserError(f"dataset.path = '{named.path}': there is no query that can be asked{split}")
    return dataset


def _files(plan: Plan, folder: Path) -> Files:
    """The files of a corpus, with those that were added at run time, and without those that were taken out."""
    with closing(Overlay(plan)) as overlay:
        found = find_files(plan.corpus, overlay)
    digests = {}
    for file in found.files:
        if file.path.name == QUERIES and file.path.resolve() == (folder / QUERIES).resolve():
            raise UserError(
                f"dataset.path = '{folder}': {QUERIES} is one of the documents, too, so that questions would find "
                f"themselves; move it to a folder of its own, or leave it out: corpus.exclude=['{file.name}']"
            )
        try:
            digests[file.name] = content_hash(file.location, file.sidecar, file.said)
        except OSError:  # the ingest reports it
            digests[file.name] = ""
    return Files(digests, {skipped.name: skipped.reason for skipped in found.skipped}, plan.corpus.paths)
