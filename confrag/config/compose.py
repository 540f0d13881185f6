"""From YAML files and overrides to plain data, by Hydra."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from confrag.config.overrides import leaves, normalize, quote
from confrag.config.sources import check_files, check_option, first_fault, group_names, user_config_dir
from confrag.errors import MissingDependencyError, UserError

__all__ = [
    "CONFIG_MODULE",
    "PLUGINS",
    "Composed",
    "SweepSettings",
    "check_hydra",
    "compose",
    "compose_sweep",
    "explain",
    "plain",
]

CONFIG_MODULE = "confrag.conf"

PLUGINS = {
    ("hydra/sweeper", "optuna"): ("hydra-optuna-sweeper", "pip install 'confrag[sweep]'"),
    ("hydra/launcher", "joblib"): ("hydra-joblib-launcher", "pip install 'confrag[sweep]'"),
    # It asks for a cloudpickle older than the one that LazyLLM needs, and works with that.
    ("hydra/launcher", "ray"): (
        "hydra-ray-launcher",
        "pip install 'confrag[ray]' && pip install --no-deps 'hydra-ray-launcher>=1.2,<1.3'",
    ),
}
"""Group and option of a plugin of Hydra -> its package, and the command that installs it."""

_CODE = {
    "_target_": ("hydra.", "hydra_plugins.", "optuna.samplers."),
    "class": ("logging.",),
    "()": (),
    "custom_search_space": (),
    "worker_process_setup_hook": (),
}
"""Keys below ``hydra`` that name Python code -> what their values may begin with."""
_lock = threading.Lock()


@dataclass(frozen=True)
class Composed:
    """A configuration before validation.

    Attributes:
        name: the preset, or None where there is none.
        data: plain dictionaries, lists and scalars; interpolations resolved.
        choices: group -> chosen option.
        overrides: what the caller set, in Hydra's syntax.
        config_dir: the user's own folder of configurations.
    """

    name: str | None
    data: dict[str, Any]
    choices: Mapping[str, str] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    config_dir: Path | None = None


class SweepSettings:
    """What Hydra is to do in a multirun.

    Attributes:
        sweeper: the settings of what chooses the jobs.
        launcher: the settings of what starts them.
    """

    def __init__(self, hydra: DictConfig) -> None:
        self._folder = str(hydra.sweep.dir)
        self.sweeper: Any = OmegaConf.to_container(hydra.sweeper)
        self.launcher: Any = OmegaConf.to_container(hydra.launcher)

    @property
    def folder(self) -> Path:
        """Of the sweep."""
        return Path(self._folder).expanduser().absolute()


def compose(overrides: Sequence[str], config_dir: str | Path | None = None) -> Composed:
    """Compose the packaged configuration with overrides.

    Args:
        overrides: in Hydra's syntax, ``conf=NAME`` among them.
        config_dir: a folder with options of the user's own; default: the environment's ``CONFRAG_CONFIG_DIR``.

    Raises:
        UserError: an option, file or override that does not exist or cannot be read.
    """
    return compose_sweep(overrides, config_dir)[0]


def compose_sweep(overrides: Sequence[str], config_dir: str | Path | None = None) -> tuple[Composed, SweepSettings]:
    """`compose`, with what Hydra is to do in a multirun. Arguments and errors are the same."""
    folder = user_config_dir(config_dir)
    arguments = normalize(overrides, group_names(folder))
    search = [f"hydra.searchpath=[{quote(f'file://{folder}')}]"] if folder else []
    with _lock, _own_hydra():
        try:
            with initialize_config_module(CONFIG_MODULE, version_base="1.3", job_name="confrag"):
                config = hydra_compose("config", [*arguments, *search], return_hydra_config=True)
                check_hydra(config.hydra)
                return plain(config, config.hydra, folder), SweepSettings(config.hydra)
        except (HydraException, OmegaConfBaseException, YAMLError, OSError, ValueError, RecursionError) as error:
            raise explain(error, folder) from None


def plain(config: DictConfig, hydra: DictConfig, config_dir: Path | None = None) -> Composed:
    """The plain data of a configuration that Hydra composed.

    Args:
        config: the configuration, with or without Hydra's own part.
        hydra: Hydra's own part.
        config_dir: the user's own folder.

    Raises:
        UserError: a value that is missing (``???``) or an interpolation that does not resolve.
    """
    choices = {str(k): str(v) for k, v in hydra.runtime.choices.items() if v is not None and "hydra/" not in str(k)}
    check_files(choices, config_dir)
    try:
        data = {str(key): _resolved(config, key) for key in config if key != "hydra"}
    except OmegaConfBaseException as error:
        path = getattr(error, "full_key", None) or "configuration"
        if isinstance(error, MissingMandatoryValue):
            raise UserError(f"{path}: a value is required here; set it with {path}=VALUE") from None
        reason = str(error).splitlines()[0]
        missing = re.match(r"KeyError raised while resolving interpolation: \"(.*)\"", reason)
        raise UserError(f"{path}: {missing[1] if missing else reason}") from None
    overrides = tuple(str(o) for o in hydra.overrides.task)
    return Composed(choices.get("conf"), data, choices, overrides, config_dir)


def _resolved(config: DictConfig, key: Any) -> Any:
    if OmegaConf.is_missing(config, key):
        raise MissingMandatoryValue(f"Missing mandatory value: {key}", full_key=str(key))
    value = config[key]
    return OmegaConf.to_container(value, resolve=True, throw_on_missing=True) if OmegaConf.is_config(value) else value


def explain(error: Exception, config_dir: Path | None) -> UserError:
    """What went wrong while composing, in the words of a user."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        group = group.removeprefix("/")
        if (group, option) in PLUGINS:
            package, command = PLUGINS[group, option]
            return MissingDependencyError(package, command, f"{group}={option}")
        try:
            check_option(group, option, config_dir)
        except UserError as unknown:
            return unknown
    broken = first_fault(config_dir)
    if broken:
        return broken
    if isinstance(error, RecursionError):
        return UserError("the configuration does not compose: a file refers to itself, or is nested too deeply")
    ambiguous = re.match(r"Ambiguous value for argument '\+*(([^=]+)=.*)'\n", str(error))
    if ambiguous:
        argument, key = ambiguous.groups()
        return UserError(
            f"'{argument}' names several values: with -m, run and eval take each of them; a list is written "
            f"{key}=[first,second], a text with a comma \"{key}='first,second'\""
        )
    first = [line for line in str(error).splitlines() if line.strip()]
    message = " ".join(line.strip() for line in first[:3]) or type(error).__name__
    if isinstance(error, ConfigCompositionException) and error.__cause__:
        message += f" ({str(error.__cause__).splitlines()[0]})"
    return UserError(f"the configuration does not compose: {message}")


def check_hydra(hydra: DictConfig) -> None:
    """A configuration names no Python code, not even to Hydra: only its own parts, and those of its plugins.

    Raises:
        UserError: some ``_target_`` below ``hydra``, or a class of its logging, is of another origin.
    """
    for path, value in leaves(OmegaConf.to_container(hydra, resolve=False), "hydra"):
        key = path.rpartition(".")[2]
        if value is not None and (own := _CODE.get(key)) is not None and not str(value).startswith(own):
            raise UserError(f"{path} = {value!r}: a configuration may not name Python code")


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Leave a Hydra application that embeds confrag its own Hydra."""
    saved = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        # Not the instance from above: Hydra puts a copy of it in its place.
        GlobalHydra.instance().clear()
        GlobalHydra.instance().hydra = saved
