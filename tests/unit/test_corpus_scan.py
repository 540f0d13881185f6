"""Which files a corpus consists of."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from confrag.errors import UserError
from confrag.registry.readers import EXTENSIONS
from confrag.runtime.corpus import Scan, Skipped, SourceFile, scan


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")


def scanned(*paths: Path | str, include: tuple[str, ...] = ("**/*",), exclude: tuple[str, ...] = ()) -> Scan:
    return scan([str(path) for path in paths], include, exclude, EXTENSIONS)


def names(*paths: Path | str, include: tuple[str, ...] = ("**/*",), exclude: tuple[str, ...] = ()) -> list[str]:
    return [file.name for file in scanned(*paths, include=include, exclude=exclude).files]


def test_folders_are_read_to_the_bottom_in_the_order_of_names(tmp_path: Path) -> None:
    make(tmp_path, "b.md", "a/z.txt", "a/b/c.PDF", "a.md", "中文/指南.md")
    assert names(tmp_path) == ["a.md", "a/b/c.PDF", "a/z.txt", "b.md", "中文/指南.md"]
    assert scanned(tmp_path).files[2] == SourceFile(str(tmp_path / "a/z.txt"), "a/z.txt")


def test_a_path_may_be_relative_and_a_single_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "docs/a.md", "docs/b.md")
    monkeypatch.chdir(tmp_path / "docs")
    assert scanned("a.md").files == (SourceFile(str(tmp_path / "docs/a.md"), "a.md"),)
    assert names("../docs") == ["a.md", "b.md"]
    assert scanned("../docs").files[0].path == tmp_path / "docs/a.md"


def test_several_paths_are_named_from_where_they_part(tmp_path: Path) -> None:
    make(tmp_path, "x/docs/a.md", "y/docs/a.md", "notes.txt")
    assert names(tmp_path / "x/docs", tmp_path / "y/docs") == ["x/docs/a.md", "y/docs/a.md"]
    assert names(tmp_path / "x/docs", tmp_path / "notes.txt") == ["notes.txt", "x/docs/a.md"]
    assert names(tmp_path / "x", tmp_path / "x/docs", tmp_path / "x/docs/a.md") == ["docs/a.md"]


def test_hidden_and_lock_files_are_passed_over(tmp_path: Path) -> None:
    make(tmp_path, "a.md", ".hidden.md", ".git/b.md", "c/.d/e.md", "~$report.docx")
    assert scanned(tmp_path) == Scan((SourceFile(str(tmp_path / "a.md"), "a.md"),), ())
    assert names(tmp_path / ".git") == ["b.md"]


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (("**/*",), (), ["a.md", "b.txt", "x/a.md", "x/y/a.md", "x/y/b.txt"]),
        (("**/*.md",), (), ["a.md", "x/a.md", "x/y/a.md"]),
        (("*.md",), (), ["a.md", "x/a.md", "x/y/a.md"]),
        (("x/*.md",), (), ["x/a.md"]),
        (("./x/**",), (), ["x/a.md", "x/y/a.md", "x/y/b.txt"]),
        (("y/",), (), ["x/y/a.md", "x/y/b.txt"]),
        (("x/**/a.md",), (), ["x/a.md", "x/y/a.md"]),
        (("[!b].*", "x/?/b.txt"), (), ["a.md", "x/a.md", "x/y/a.md", "x/y/b.txt"]),
        (("**/*",), ("x/",), ["a.md", "b.txt"]),
        (("**/*",), ("x/y",), ["a.md", "b.txt", "x/a.md"]),
        (("**/*",), ("**/b.txt",), ["a.md", "x/a.md", "x/y/a.md"]),
        (("**/*",), ("*.MD", "x/y/?"), ["a.md", "b.txt", "x/a.md", "x/y/a.md", "x/y/b.txt"]),
    ],
)
def test_globs(tmp_path: Path, include: tuple[str, ...], exclude: tuple[str, ...], expected: list[str]) -> None:
    make(tmp_path, "a.md", "b.txt", "x/a.md", "x/y/a.md", "x/y/b.txt")
    assert names(tmp_path, include=include, exclude=exclude) == expected


def test_extensions_of_a_configuration(tmp_path: Path) -> None:
    make(tmp_path, "a.LOG", "b.conf")
    assert [file.name for file in scan([str(tmp_path)], ["**/*"], [], ["log", ".CONF"]).files] == ["a.LOG", "b.conf"]


def test_what_cannot_be_read_is_listed_with_the_reason(tmp_path: Path) -> None:
    make(tmp_path, "a.md", "old.doc", "LICENSE", "photo.JPG", "skip/b.exe", "folder.pdf/inside.md")
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "gone.md").symlink_to("nowhere.md")
    result = scanned(tmp_path, exclude=("skip/",))
    assert [file.name for file in result.files] == ["a.md"]
    assert result.skipped == tuple(
        Skipped(tmp_path / name, name, reason)
        for name, reason in (
            ("LICENSE", "no extension"),
            ("folder.pdf", "a folder with the name of a file; rename it to have its files read"),
            ("gone.md", "a symbolic link to 'nowhere.md', which does not exist"),
            ("old.doc", "no reader for the extension 'doc'"),
            ("photo.JPG", "no reader for the extension 'jpg'"),
            ("pipe.txt", "not a regular file"),
        )
    )


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    (tmp_path / os.fsdecode(b"\xff.md")).touch()
    [skipped] = scanned(tmp_path).skipped
    assert (skipped.name, skipped.reason) == ("\\udcff.md", "its name is not valid UTF-8")


def test_links_are_followed_and_real_files_taken_once(tmp_path: Path) -> None:
    make(tmp_path, "corpus/z/a.md", "outside/b.md", "outside/c.md")
    corpus = tmp_path / "corpus"
    (corpus / "a-link.md").symlink_to(corpus / "z/a.md")
    (corpus / "a-loop").symlink_to(corpus)
    (corpus / "z/up").symlink_to("..")
    (corpus / "more").symlink_to(tmp_path / "outside")
    (corpus / "more-b.md").symlink_to(tmp_path / "outside/b.md")
    (tmp_path / "outside/back").symlink_to(corpus)
    assert names(corpus) == ["more/b.md", "more/c.md", "z/a.md"]
    (tmp_path / "linked").symlink_to(corpus)
    assert names(tmp_path / "linked") == names(corpus)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    make(tmp_path, "scanpkg/sample/guide.md", "scanpkg/sample/zh/a.txt", "scanpkg/sample/__pycache__/x.md")
    (tmp_path / "scanpkg/__init__.py").touch()
    (tmp_path / "scanpkg/sample/__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "scanpkg"]:
        monkeypatch.delitem(sys.modules, name)
    return "scanpkg.sample"


def test_documents_inside_a_package(package: str) -> None:
    result = scanned(f"pkg://{package}")
    assert [file.name for file in result.files] == ["guide.md", "zh/a.txt"]
    assert result.skipped == ()
    assert names(f"pkg://{package}/zh") == ["a.txt"]


def test_a_package_that_does_not_exist(package: str) -> None:
    with pytest.raises(UserError) as caught:
        scanned("pkg://scanpkg.smaple")
    assert str(caught.value) == (
        "corpus.path = 'pkg://scanpkg.smaple': there is no package 'scanpkg.smaple'. "
        "Did you mean 'pkg://scanpkg.sample'?"
    )
    with pytest.raises(UserError, match="there is no package 'nosuchpackage'"):
        scanned("pkg://nosuchpackage")
    with pytest.raises(UserError, match=r"there is no 'zhh' in '.*sample'\. Did you mean 'zh'\?"):
        scanned(f"pkg://{package}/zhh")


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    make(tmp_path, "documents/a.md")
    with pytest.raises(UserError) as caught:
        scanned(tmp_path / "documnets" / "deep" / "a.md")
    assert str(caught.value) == (
        f"corpus.path = '{tmp_path}/documnets/deep/a.md': there is no 'documnets' in '{tmp_path}'. "
        "Did you mean 'documents'?"
    )
    (tmp_path / "link").symlink_to("gone")
    with pytest.raises(UserError, match="a symbolic link to 'gone', which does not exist"):
        scanned(tmp_path / "link")


def test_nothing_to_read(tmp_path: Path) -> None:
    make(tmp_path, *(f"{number}.doc" for number in range(7)), "x/a.md")
    with pytest.raises(UserError) as caught:
        scan([str(tmp_path)], ["**/*"], ["x/"], ["md", "txt"])
    listed = "".join(f"\n  {number}.doc: no reader for the extension 'doc'" for number in range(5))
    assert str(caught.value) == (
        f"corpus.path = '{tmp_path}': nothing to read. Looked for files that match '**/*' and not 'x/', "
        f"with one of the extensions md, txt; passed over:{listed}\n  and 2 more"
    )


def test_a_folder_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    make(tmp_path, "a.md", "closed/b.md")
    (tmp_path / "closed").chmod(0)
    if os.access(tmp_path / "closed", os.R_OK):
        pytest.skip("this user may open everything")
    try:
        with pytest.raises(UserError) as caught:
            scanned(tmp_path)
        assert str(caught.value) == (
            f"corpus.path: cannot open the folder '{tmp_path}/closed': Permission denied; "
            "to do without it: corpus.exclude=['closed/']"
        )
        assert names(tmp_path, exclude=("closed/",)) == ["a.md"]
    finally:
        (tmp_path / "closed").chmod(0o700)


def test_ten_thousand_files(tmp_path: Path) -> None:
    for folder in range(100):
        (tmp_path / f"{folder:02}").mkdir()
        for number in range(100):
            (tmp_path / f"{folder:02}" / f"{number:02}.md").touch()
    found = names(tmp_path, include=("**/*.md",), exclude=("07/", "**/9*"))
    assert len(found) == (100 - 1 - 10) * 90
    assert found == sorted(found)
