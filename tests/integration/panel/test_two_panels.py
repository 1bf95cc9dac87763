"""Two panels on one host: a browser tells their ports apart for everything but cookies."""

from __future__ import annotations

from tests.panel_server import API, PASSWORD, serving, write_env

from .conftest import new_home


def test_panels_of_two_projects_on_one_host_do_not_log_each_other_out(settings_of_nobody, tmp_path):
    homes = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        homes.append(new_home(tmp_path / name))
        write_env(homes[-1], {})
    with serving(homes[0]) as one, serving(homes[1]) as two, one.logged_in() as person:
        login = person.post(f"{two.base}/sigil/login", json={"password": PASSWORD}, headers={"Origin": two.base})
        assert login.status_code == 200
        assert set(person.cookies) == {one.cookie, two.cookie}
        for panel in (one, two):
            assert person.get(f"{panel.base}{API}/system", headers={"Origin": panel.base}).status_code == 200
        assert person.post(f"{two.base}/sigil/logout", headers={"Origin": two.base}).status_code == 303
        assert person.get(f"{one.base}{API}/system").status_code == 200
    with serving(homes[0]) as again:  # the same project at another port, later: the same name
        assert again.cookie == one.cookie
