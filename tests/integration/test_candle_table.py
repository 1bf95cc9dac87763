"""Jesse's candle table: ours is the one Jesse makes, an import is whole and repeatable, what goes in comes out; and the
commands on top of it, run as a user runs them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
import pytest

from sigil_ext.bridge.candle_files import CandleSet, as_minutes, load_candles
from sigil_ext.bridge.candle_table import (
    CREATE_INDEX,
    CREATE_TABLE,
    EXCHANGES,
    Imported,
    create_candle_table,
    guess_interval,
    import_candles,
    read_candles,
    stored_series,
)
from sigil_ext.db import embedded
from sigil_ext.errors import CandleError, DatabaseUnavailable, UnknownSymbol, UsageError
from sigil_ext.settings.project import Project

NOON = 1_750_075_200_000  # 2025-06-16 12:00 UTC
MINUTE = 60_000
ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "sample"

ASK_JESSE = """
import json, sys
sys.argv = ["pytest"]  # or Jesse opens a database at import
from playhouse.postgres_ext import PostgresqlExtDatabase
from jesse.info import exchange_info
from jesse.models.Candle import Candle
with Candle.bind_ctx(PostgresqlExtDatabase("none")):
    statements = [Candle._schema._create_table(safe=True).query()[0]]
    statements += [context.query()[0] for context in Candle._schema._create_indexes(safe=True)]
print(json.dumps({"statements": statements, "exchanges": sorted(exchange_info)}))
"""


@pytest.fixture(scope="module")
def jesse(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Jesse itself says, asked in another process and far from any project folder."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ASK_JESSE],
        cwd=tmp_path_factory.mktemp("away"),
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.ServerAddress]:
    root = tmp_path_factory.mktemp("candles")
    project = Project(root, root / "storage")
    yield embedded.ensure_running(project)
    embedded.stop(project)


def connect(server: embedded.ServerAddress) -> Any:
    return psycopg2.connect(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password.get_secret_value(),
        dbname="postgres",
    )


@pytest.fixture
def link(server: embedded.ServerAddress) -> Iterator[Any]:
    with closing(connect(server)) as link:
        yield link
        link.rollback()
        with link, link.cursor() as cur:
            cur.execute("DROP SCHEMA IF EXISTS jesse CASCADE")


def series(
    rows: int = 10, symbol: str = "TST-USDT", interval: int = 1, start: int = NOON, price: float = 0.04
) -> CandleSet:
    times = start + np.arange(rows, dtype=float) * interval * MINUTE
    opened = price + np.arange(rows) * 1e-5
    bars = np.column_stack((times, opened, opened + 1e-5, opened + 2e-5, opened - 1e-5, np.arange(rows) * 3.5)).round(7)
    return CandleSet(symbol, interval, as_minutes(bars, interval), f"{symbol}.parquet")


# --- the contract with Jesse ------------------------------------------------------------------------------------------


def test_our_statements_are_jesses_own(jesse):
    ours = [CREATE_TABLE.format(table='"candle"'), CREATE_INDEX.format(table='"candle"')]
    assert [text.replace("IF NOT EXISTS ", "") for text in ours] == [
        text.replace("IF NOT EXISTS ", "") for text in jesse["statements"]
    ]


def test_our_table_is_jesses_own_in_the_servers_catalogue(link, jesse):
    create_candle_table(link)
    with link, link.cursor() as cur:
        cur.execute("DROP SCHEMA IF EXISTS theirs CASCADE; CREATE SCHEMA theirs; SET LOCAL search_path = theirs")
        for statement in jesse["statements"]:
            cur.execute(statement)
    described = []
    for schema in ("jesse", "theirs"):
        with link, link.cursor() as cur:
            cur.execute(
                "SELECT column_name, data_type, character_maximum_length, is_nullable, column_default "
                "FROM information_schema.columns WHERE table_schema = %s AND table_name = 'candle' ORDER BY ordinal_position",
                (schema,),
            )
            columns = cur.fetchall()
            cur.execute(
                "SELECT indexname, replace(indexdef, schemaname || '.', '') FROM pg_indexes WHERE schemaname = %s ORDER BY 1",
                (schema,),
            )
            described.append((columns, cur.fetchall()))
    assert described[0] == described[1]
    assert len(described[0][0]) == 10
    assert len(described[0][1]) == 2


def test_the_exchanges_are_those_that_jesse_knows(jesse):
    assert sorted(EXCHANGES) == jesse["exchanges"]


# --- import -----------------------------------------------------------------------------------------------------------


def test_what_goes_in_comes_out(link):
    tst = series()
    assert import_candles(link, tst) == Imported(stored=10, already=0, removed=0)
    found = read_candles(link)
    assert list(found) == ["TST-USDT"]
    assert found["TST-USDT"].candles.tolist() == tst.candles.tolist()
    assert found["TST-USDT"].candles.flags.c_contiguous


def test_reading_gives_the_floats_that_jesses_own_query_gives(link):
    sample = load_candles(SAMPLE, ["TST-USDT", "DOGS-USDT"])
    for candle_set in sample.values():
        import_candles(link, candle_set)
    found = read_candles(link)
    with link, link.cursor() as cur:
        for symbol in sample:
            cur.execute(
                "SELECT timestamp, open, close, high, low, volume FROM jesse.candle WHERE symbol = %s ORDER BY 1",
                (symbol,),
            )
            assert found[symbol].candles.tolist() == np.array(cur.fetchall(), dtype=float).tolist()
            # Prices of low caps fit into seven digits; volumes need not.
            assert found[symbol].candles[:, :5].tolist() == sample[symbol].candles[:, :5].tolist()
            assert np.allclose(found[symbol].candles[:, 5], sample[symbol].candles[:, 5], rtol=2e-7)


def test_a_second_import_writes_nothing(link):
    import_candles(link, series(10))
    assert import_candles(link, series(15)) == Imported(stored=5, already=10, removed=0)
    assert import_candles(link, series(15)) == Imported(stored=0, already=15, removed=0)


def test_progress_adds_up_to_the_rows(link):
    told: list[int] = []
    import_candles(link, series(50_000, price=1.0), progress=told.append)
    assert len(told) == 3
    assert sum(told) == 50_000


def test_another_series_is_not_mixed_in_and_nothing_is_written(link):
    import_candles(link, series(10))
    with pytest.raises(CandleError, match=r"holds other candles of TST-USDT on Binance Spot: at 2025-06-16 12:04 UTC"):
        import_candles(link, series(10, interval=5))
    assert [s.rows for s in stored_series(link)] == [10]
    assert import_candles(link, series(10, interval=5), "Bybit Spot").stored == 10


def test_replace_puts_a_series_in_the_place_of_its_period(link):
    import_candles(link, series(60))
    assert import_candles(link, series(4, interval=5), replace=True) == Imported(stored=4, already=0, removed=20)
    times = read_candles(link)["TST-USDT"].candles[:, 0]
    assert (times[:5] - NOON).tolist() == [4 * MINUTE, 9 * MINUTE, 14 * MINUTE, 19 * MINUTE, 20 * MINUTE]


def test_bars_of_five_minutes_are_known_again_when_read(link):
    import_candles(link, series(10, interval=5))
    tst = read_candles(link, start_ms=NOON + 5 * MINUTE, finish_ms=NOON + 25 * MINUTE)["TST-USDT"]
    assert (tst.interval_minutes, tst.start_ms, tst.finish_ms) == (5, NOON + 5 * MINUTE, NOON + 25 * MINUTE)


@pytest.mark.parametrize("interval", [1, 3, 5, 15, 30, 45, 60, 240, 1440])
def test_the_interval_shows_in_the_times_even_with_holes(interval):
    start = NOON - NOON % (interval * MINUTE)
    candles = np.delete(series(30, interval=interval, start=start).candles, [3, 4, 9], axis=0)
    assert guess_interval(candles) == interval


def test_several_that_import_the_same_at_once_leave_each_row_once(server, link):
    failures: list[BaseException] = []
    results: list[Imported] = []
    begin = threading.Barrier(6)

    def run() -> None:
        try:
            with closing(connect(server)) as own:
                begin.wait()
                for symbol in ("TST-USDT", "DOGS-USDT"):
                    results.append(import_candles(own, series(5_000, symbol, price=1.0)))
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sum(result.stored for result in results) == 10_000
    assert [s.rows for s in stored_series(link)] == [5_000, 5_000]


def test_a_value_too_large_for_jesses_columns_is_refused(link):
    tst = series()
    tst.candles[3, 5] = 1e60
    with pytest.raises(CandleError, match=r"TST-USDT\.parquet: a value does not fit into Jesse's columns"):
        import_candles(link, tst)


def test_an_exchange_that_jesse_does_not_know_is_refused(link):
    with pytest.raises(UsageError, match="did you mean 'Binance Spot'"):
        import_candles(link, series(), "Binance spott")


def test_a_lost_server_is_said_in_a_sentence(server):
    with closing(connect(server)) as own, closing(connect(server)) as killer:
        with killer, killer.cursor() as cur:
            cur.execute("SELECT pg_terminate_backend(%s)", (own.info.backend_pid,))
        with pytest.raises(DatabaseUnavailable, match="lost the database"):
            import_candles(own, series())


# --- read and list ----------------------------------------------------------------------------------------------------


def test_without_a_table_nothing_is_listed_and_reading_says_how_to_begin(link):
    assert stored_series(link) == []
    with pytest.raises(
        CandleError, match="holds no candles of Binance Spot; import some with: sigil candles import DIR"
    ):
        read_candles(link)


def test_the_list_names_exchange_symbol_rows_and_period(link):
    import_candles(link, series(10))
    import_candles(link, series(5, "KNC-USDT"), "Bybit Spot")
    first, second = stored_series(link)
    assert (first.exchange, first.symbol, first.rows) == ("Binance Spot", "TST-USDT", 10)
    assert (first.start, first.finish) == (
        datetime(2025, 6, 16, 12, tzinfo=UTC),
        datetime(2025, 6, 16, 12, 10, tzinfo=UTC),
    )
    assert (second.exchange, second.symbol, second.rows) == ("Bybit Spot", "KNC-USDT", 5)


def test_an_unknown_symbol_gets_the_nearest_names(link):
    import_candles(link, series())
    with pytest.raises(UnknownSymbol, match="did you mean 'TST-USDT'"):
        read_candles(link, symbols=["TSTT-USDT"])


def test_a_period_without_candles_tells_what_there_is(link):
    import_candles(link, series())
    with pytest.raises(CandleError, match="there is 2025-06-16 12:00 to 2025-06-16 12:10 UTC"):
        read_candles(link, symbols=["tst/usdt"], start_ms=NOON + 60 * MINUTE)


def test_a_bad_row_in_the_table_is_named(link):
    import_candles(link, series())
    with link, link.cursor() as cur:
        cur.execute("UPDATE jesse.candle SET low = 1 WHERE timestamp = %s", (NOON + MINUTE,))
    with pytest.raises(
        CandleError, match=r"table jesse\.candle, TST-USDT of Binance Spot, row 2 \(2025-06-16 12:01 UTC\)"
    ):
        read_candles(link)


def test_a_long_series_is_compared_quickly_with_what_is_there(link):
    long = series(40_000, price=1.0)
    import_candles(link, long)
    begin = time.monotonic()
    assert import_candles(link, long).already == 40_000
    assert time.monotonic() - begin < 20  # a nested loop over both sides took minutes


# --- the commands -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project of its own, without any server yet."""
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "overlays", root / "overlays")
    yield root
    embedded.stop(Project(root, root / "storage"))


def sigil(home: Path, *arguments: object) -> subprocess.Popen[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SIGIL_", "POSTGRES_", "PG"))}
    return subprocess.Popen(
        [sys.executable, "-m", "sigil_ext.entrypoints.cli.main", "candles", *map(str, arguments)],
        cwd=home,
        env={**kept, "SIGIL_HOME": str(home), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ran(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=200)
    return process.returncode, out, err


def test_two_commands_that_import_at_once_on_a_fresh_project_both_succeed(home):
    running = [
        sigil(home, "import", SAMPLE / "TSTUSDT-1m.parquet", SAMPLE / "KNCUSDT-1m.parquet", "--json") for _ in "ab"
    ]
    done = [ran(process) for process in running]
    assert [(status, err) for status, _, err in done] == [(0, ""), (0, "")]
    files = [file for _, out, _ in done for file in json.loads(out)["files"]]
    assert sum(file["stored"] for file in files) == 2 * 8641
    status, out, _ = ran(sigil(home, "list", "--json"))
    assert status == 0
    assert [(s["exchange"], s["symbol"], s["rows"]) for s in json.loads(out)] == [
        ("Binance Spot", "KNC-USDT", 8641),
        ("Binance Spot", "TST-USDT", 8641),
    ]


def test_listing_and_checking_a_folder_need_no_database(home):
    for arguments in (("list", SAMPLE), ("check", SAMPLE)):
        status, out, err = ran(sigil(home, *arguments))
        assert (status, err) == (0, "")
        assert "HMSTR-USDT" in out
    _, out, _ = ran(sigil(home, "check", SAMPLE / "BIDUSDT-1m.parquet", "--json"))
    assert json.loads(out)[0] | {"file": ""} == {
        "symbol": "BID-USDT", "file": "", "interval_minutes": 1, "problem": None, "rows": 8641, "gaps": [], "missing": 0,
        "start": "2025-06-16T21:00:00Z", "finish": "2025-06-22T21:01:00Z", "missing_pct": 0.0, "zero_volume_pct": 0.0,
        "largest_move_pct": pytest.approx(10.45, abs=0.01),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("import", "nowhere"), "no file or folder nowhere"),
        (("import", "overlays"), "overlays holds no candle files; name them by symbol and interval"),
        (("import", "overlays/base.yaml"), "base.yaml is not named as a candle file"),
        (
            ("import", "bad"),
            "TSTUSDT-1m.csv, line 3 (2025-06-16 12:01 UTC): impossible bar: low is above open or close",
        ),
        (("import", SAMPLE, "--exchange", "Binance"), "Jesse knows no exchange 'Binance'"),
        (("import", SAMPLE, "--variant", "base-line"), "unknown variant 'base-line'; did you mean 'baseline'?"),
        (("list", "nowhere"), "no folder nowhere"),
        (("check",), "Missing argument"),
    ],
)
def test_wrong_use_is_one_sentence_and_status_two(home, arguments, told):
    head = f"timestamp,open,high,low,close,volume\n{NOON},1,3,1,2,5\n"
    for name, row in (("bad", f"{NOON + MINUTE},1,3,1.5,2,5\n"), ("holes", f"{NOON + 2 * MINUTE},1,3,1,2,5\n")):
        (home / name).mkdir(exist_ok=True)
        (home / name / "TSTUSDT-1m.csv").write_text(head + row)
    status, _, err = ran(sigil(home, *arguments))
    assert status == 2
    assert told in err
    assert "Traceback" not in err
