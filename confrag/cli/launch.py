"""Having Hydra call a function: once, or for each job of a sweep."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from confrag.cli.arguments import Arguments
from confrag.config.compose import CONFIG_MODULE, explain
from confrag.config.overrides import normalize
from confrag.config.sources import check_option, group_names, user_config_dir
from confrag.errors import ConfragError

__all__ = ["config_dir_of", "hydra_main", "hydra_view", "shared_overrides"]


def hydra_main(arguments: Arguments, overrides: Sequence[str], job: Callable[[DictConfig], Any]) -> None:
    """Have Hydra call `job` with the configuration, or with each of a sweep.

    Raises:
        UserError: it does not compose. What `job` raises is passed on.
    """
    folder = user_config_dir(arguments.config_dir)
    flags = [*arguments.hydra, *(["--multirun"] if arguments.multirun else [])]
    if folder:
        flags += ["--config-dir", str(folder)]
    command = ["confrag", *flags, *normalize(overrides, group_names(folder))]
    with _argv(command):
        main = hydra.main(config_path=f"pkg://{CONFIG_MODULE}", config_name="config", version_base="1.3")
        try:
            main(job)()
        except ConfragError:
            raise
        except Exception as error:
            if type(error).__module__.split(".")[0] in ("hydra", "omegaconf", "yaml"):
                raise explain(error, folder) from None
            raise


def hydra_view(arguments: Arguments, overrides: Sequence[str]) -> None:
    """Let Hydra print one of its views of a configuration (``--cfg job``, ``--info``)."""
    # Hydra prints by logging, which would complain of every line that a reader like `head` does not take.
    logging.raiseExceptions = False
    hydra_main(arguments, overrides, lambda config: None)


def shared_overrides(overrides: Sequence[str], arguments: Arguments) -> list[str]:
    """The overrides that every job of a sweep shares.

    Raises:
        UserError: an option to sweep over that does not exist.
    """
    folder = user_config_dir(arguments.config_dir)
    groups = group_names(folder)
    shared = []
    for override in OverridesParser.create().parse_overrides(normalize(overrides, groups)):
        if not override.is_sweep_override():
            shared.append(str(override.input_line))
        elif override.is_choice_sweep() and override.key_or_group in groups:
            for option in override.sweep_string_iterator():
                check_option(override.key_or_group, option, folder)
    return shared


def config_dir_of(settings: Any) -> Path | None:
    """The user's own folder of configurations, as Hydra's settings of a job have it: the job may run in a process that
    knows no command line.
    """
    given = [source.path for source in settings.runtime.config_sources if source.provider == "command-line"]
    return user_config_dir(given[0] if given else None)


@contextmanager
def _argv(command: list[str]) -> Iterator[None]:
    """Hydra reads the process's own arguments; and with this variable set it leaves exceptions to us."""
    saved, full = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv, os.environ["HYDRA_FULL_ERROR"] = command, "1"
    try:
        yield
    finally:
        sys.argv = saved
        if full is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full
