"""A disk that changed a byte under the embedded server: it is told, not reckoned with."""

from __future__ import annotations

import re

import pytest

from sigil_ext.db import embedded
from sigil_ext.db.journal import Journal
from sigil_ext.errors import DatabaseUnavailable
from sigil_ext.services.database import open_database
from tests.integration.db.test_journal import START_MS, Written


def test_a_byte_that_the_disk_changed_in_the_record_is_one_sentence_with_the_way_out(empty_project):
    database = open_database("unhinged", empty_project)
    journal = Journal(database)
    session = journal.begin({}, ["TST-USDT"], START_MS, {})
    times = range(START_MS, START_MS + 2000 * 60_000, 60_000)
    journal.write(session, [Written(at, {"TST-USDT": (float(at), 0.04, 0.05, 0.03, 0.04, 9.0)}) for at in times])
    with database.transaction() as cursor:
        cursor.execute("SELECT pg_relation_filepath('paper_minutes')")
        (file,) = cursor.fetchone()
    database.close()
    embedded.stop(empty_project)
    (path,) = empty_project.storage.rglob(file)
    held = bytearray(path.read_bytes())
    held[len(held) // 2] ^= 1
    path.write_bytes(held)
    database = open_database("unhinged", empty_project)
    with pytest.raises(DatabaseUnavailable) as told:
        list(Journal(database).minutes(session))
    said = r"the database .* is damaged: invalid page in block \d+ of .*; restore a backup: sigil db restore --replace"
    assert re.fullmatch(said, str(told.value)), told.value
    database.close()
