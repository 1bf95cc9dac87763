"""Where a result of research goes: terminal, JSON, files; what is said of it and on which stream."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import rich_click as click

from sigil_ext.entrypoints.cli.research_options import Destination
from sigil_ext.errors import UsageError

DOCUMENT = {"title": "a result", "cells": [1, 2]}


def delivered(destination: Destination, capsys: pytest.CaptureFixture[str], **how: bool) -> tuple[str, str]:
    destination.deliver(DOCUMENT, "<html></html>", "kept as grid-1", lambda: click.echo("tables"), **how)
    return capsys.readouterr()


def test_without_files_there_are_tables_and_the_number_on_the_shelf(capsys: pytest.CaptureFixture[str]) -> None:
    assert delivered(Destination(None, None), capsys) == ("tables\n", "kept as grid-1\n")


def test_files_are_written_whole_and_named_on_the_streams(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, page = tmp_path / "new" / "result.json", tmp_path / "page.html"
    out, err = delivered(Destination(file, page), capsys)
    assert json.loads(file.read_text()) == DOCUMENT
    assert page.read_text() == "<html></html>"
    assert out == f"tables\npage: {page}\n"
    assert err == f"JSON: {file}\nkept as grid-1\n"


def test_with_json_on_stdout_nothing_else_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    out, err = delivered(Destination(Path("-"), page), capsys)
    assert json.loads(out) == DOCUMENT
    assert err == f"page: {page}\nkept as grid-1\n"


def test_a_command_may_say_where_the_page_is_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    assert delivered(Destination(None, page), capsys, page_on_stderr=True)[0] == "tables\n"


@pytest.mark.parametrize(("option", "what"), [("json_file", "the result"), ("html", "the page")])
def test_a_file_that_cannot_be_written_is_refused_beforehand(tmp_path: Path, option: str, what: str) -> None:
    wanted = Destination(**{"json_file": None, "html": None} | {option: tmp_path})
    with pytest.raises(UsageError, match=f"cannot write {what} to {tmp_path}"):
        wanted.demand_writable()


def test_a_page_is_never_a_file_called_dash() -> None:
    with pytest.raises(UsageError, match="--html - is no file; name one"):
        Destination(None, Path("-")).demand_writable()


def test_json_on_stdout_asks_for_no_file() -> None:
    Destination(Path("-"), None).demand_writable()
