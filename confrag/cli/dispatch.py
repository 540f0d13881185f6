"""From a command line to its verb, and from an error to an exit code."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from confrag.cli.output import say
from confrag.errors import ConfragError, UserError, chain, nearest

__all__ = ["VERBS", "dispatch"]

VERBS: dict[str, tuple[str, str]] = {
    "run": ("confrag.cli.run", "answer questions from documents, as a configuration declares"),
    "ingest": ("confrag.cli.ingest", "bring the store up to date with the corpus, and ask nothing"),
    "plan": ("confrag.cli.ingest", "what ingest would do and why; exit code 3 when there is something to do"),
    "serve": ("confrag.cli.serve", "an HTTP service and a web page; OpenAI's interface, too"),
    "validate": ("confrag.cli.inspect", "every error of a configuration at once"),
    "show": ("confrag.cli.inspect", "the resolved configuration; where=true: which file each value comes from"),
    "graph": ("confrag.cli.inspect", "the compiled graph; format=text|mermaid|json"),
    "schema": ("confrag.cli.schema", "a JSON Schema for editors: completion and checks while you write"),
    "ls": ("confrag.cli.listing", "presets and groups with their options"),
    "init": ("confrag.cli.init", "a starter project of your own"),
    "models": ("confrag.cli.models", "local models: ls, pull NAME, serve"),
    "cache": ("confrag.cli.cache", "the embedding cache: stats, clear"),
    "eval": ("confrag.cli.eval", "how good a configuration is, on a dataset; with -m, each of a sweep"),
    "report": ("confrag.cli.report", "compare what was evaluated, in a page and a table; export the best as a preset"),
    "rerun": ("confrag.cli.rerun", "do a job of run or eval again, and say what differs"),
    "bench": ("confrag.cli.bench", "measure this machine: startup, index, parallel, cache, model, all"),
    "doctor": ("confrag.cli.doctor", "what is installed, what is missing, which servers answer"),
}
"""Verb -> module (with a function of the verb's name) and a line of help."""

HELP = """\
confrag: declarative retrieval-augmented generation

usage: confrag VERB [key=value | group=option ...]

{verbs}

Everything behind the verb is Hydra's override syntax:
  confrag run conf=milvus_hnsw corpus.path=docs query="What is it about?"
  confrag run -m conf=map,chroma,milvus_hnsw query="..."     one job for each store, then a table
  confrag run conf=hybrid output=json query="..."            one JSON document on standard output

options of every verb:
  --config-dir DIR   a folder of your own options, presets in DIR/conf (or set CONFRAG_CONFIG_DIR)
  -m, --multirun     run: a job for each combination of comma-separated values
  --cfg job, --info  Hydra's own views of a configuration
  verbose=true       messages of the libraries; debug=true: tracebacks
  -h, --help         this text; 'confrag VERB --help' for a verb

exit codes: 0 fine, 2 a mistake in the configuration or the call, 3 plan found work, 4 a service does not answer,
130 interrupted, 1 anything else"""


def dispatch(arguments: list[str]) -> int:
    """Run a command line; returns the exit code.

    Raises:
        KeyboardInterrupt: it was interrupted, whatever a library has made of that.
    """
    _prepare_streams()
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader of standard output has gone (`| head`); Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        # OmegaConf, for one, stumbles over what an interrupt leaves half done, and raises that.
        if any(isinstance(link, KeyboardInterrupt) for link in chain(error)):
            raise KeyboardInterrupt from error
        told = error if isinstance(error, ConfragError) else _refused(error)
        if told is None:
            raise
        if _asked_for(arguments, "debug"):
            traceback.print_exc()
        say(f"confrag: {told}")
        return told.exit_code


def _run(arguments: list[str]) -> int:
    verb = arguments[0] if arguments else "--help"
    if verb in ("-h", "--help", "help"):
        verbs = "\n".join(f"  {name:<10}{summary}" for name, (_, summary) in VERBS.items())
        sys.stdout.write(HELP.format(verbs=verbs) + "\n")
        return 0
    if verb in ("-V", "--version"):
        from confrag import __version__

        sys.stdout.write(f"confrag {__version__}\n")
        return 0
    if verb not in VERBS:
        hint = nearest(verb, VERBS)
        raise UserError(
            f"there is no verb '{verb}'; known: {', '.join(VERBS)}" + (f". Did you mean '{hint}'?" if hint else "")
        )
    module = import_module(VERBS[verb][0])
    if {"-h", "--help"} & set(arguments[1:]):
        sys.stdout.write(f"confrag {verb}: {VERBS[verb][1]}\n\n{module.USAGE[verb]}\n")
        return 0
    code: int = getattr(module, verb)(arguments[1:])
    return code


def _prepare_streams() -> None:
    """Text always comes out: with question marks for letters that an encoding lacks; nowhere, where it is closed."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _refused(error: Exception) -> ConfragError | None:
    """A full disk, or a place that must not be written, in a user's words; None for what may be a fault of ours."""
    if not isinstance(error, OSError):
        return None
    where = f"{error.filename}: cannot be written: {error.strerror}" if error.filename else error.strerror
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ConfragError(f"{where}: make room, and start again; nothing is lost")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return UserError(f"{where}: what is kept lies below state_dir; state_dir=DIR names another place")
    return None


def _asked_for(arguments: Sequence[str], option: str) -> bool:
    return any(argument.lstrip("+") == f"{option}=true" for argument in arguments)
