"""The questions of a run: from the configuration, and from a file."""

from __future__ import annotations

import json
from pathlib import Path

from confrag.errors import UserError
from confrag.schema.root import Config

__all__ = ["questions_of", "read_questions"]


def questions_of(config: Config) -> list[str]:
    """All of them, those of ``query`` first.

    Raises:
        UserError: an empty question, one that is no Unicode, or a file that cannot be read.
    """
    questions = list(config.query or ())
    if config.queries_file:
        questions += read_questions(Path(config.queries_file).expanduser())
    if any(not question.strip() for question in questions):
        raise UserError("query: the question is empty")
    if any("\ud800" <= character <= "\udfff" for question in questions for character in question):
        raise UserError("query: not UTF-8; the terminal's encoding (LANG, LC_ALL) should be UTF-8")
    return questions


def read_questions(path: Path) -> list[str]:
    """Questions from a file: one a line, or JSON lines with the key ``query``; empty lines are skipped.

    Raises:
        UserError: the file cannot be read, a line is no such object, or there is no question in it.
    """
    try:
        lines = path.read_text("utf-8-sig").split("\n")  # splitlines() would cut at U+2028 and the like, too
    except UnicodeDecodeError:
        raise UserError(f"queries_file={path}: not UTF-8; save the file as UTF-8") from None
    except OSError as error:
        raise UserError(f"queries_file={path}: {error.strerror}") from None
    questions = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if line.lstrip().startswith("{"):
            try:
                line = json.loads(line)["query"]
            except (ValueError, KeyError):
                raise UserError(f'queries_file={path}:{number}: not a JSON object with the key "query"') from None
            if not isinstance(line, str):
                raise UserError(f'queries_file={path}:{number}: "query" is not a text')
        if not line.strip():
            raise UserError(f"queries_file={path}:{number}: the question is empty")
        questions.append(line.strip())
    if not questions:
        raise UserError(f"queries_file={path}: there is no question in it")
    return questions
