"""Settings: where they come from, what is refused and how, what the first start makes, and whether all are documented."""

import json
import multiprocessing
import os
import re
import stat
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from apiv3.cli.db import migrate
from apiv3.model.collections import STANDARD
from apiv3.provisioning import provision
from apiv3.settings import Settings, SettingsError, load, without_password
from apiv3.storage import schema
from tests.support.commands import here
from tests.support.factories import FreshServer
from tests.support.installation import Installation
from tests.support.processes import clean_environment, demand
from tests.support.server import LiveServer
from tests.support.wire import ask, now_ms, undated

ROOT = Path(__file__).parents[1]
AUTOPRUNE = "API3_AUTOPRUNE_<COLLECTION>"
SECRET = "hunter2 is a secret"

NAMES = {AUTOPRUNE if name == "api3_autoprune" else name.upper() for name in Settings.model_fields}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without .env, and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.upper() in NAMES or name.upper().startswith("API3_AUTOPRUNE"):
            monkeypatch.delenv(name)


# --- bad values -------------------------------------------------------------------------------------------------------

BAD: dict[str, list[str]] = {
    "PORT": ["x", "-1", "65536", "80.5", "8000;", "0x50"],
    "WORKERS": ["0", "65", "many", "1.5"],
    "DATABASE_URL": [
        *("mysql://x/y", "sqlite://", "sqlite:///", "postgresql://", "/path/to/file", f"oracle://u:{SECRET}@h/x"),
        *(f"postgresql://u:{start}{mark}{SECRET}@h:5432/x" for mark in "/?#@[]\n" for start in ("", "12", "p:")),
        *(f"postgresql://u:{SECRET}@h{port}/x" for port in (":x", ":65536", ":1:2", "]", "[")),
        *(f"postgresql://u:p@h/x{rest}{SECRET}" for rest in ("#", "?a=@", "@")),
    ],
    "API_SECRET": ["short", "x" * 11, "ÄÖÜ"],
    "JWT_KEY": ["short", "x" * 31],
    "ONLY": ["both", "Login", "api,login"],
    "HUB_KEY": ["short", "x" * 42, "x" * 44, "x" * 42 + "="],
    "DEVICE_MESSAGE_DAYS": ["0", "-1", "366", "x"],
    "UPDATES_VALID_DAYS": ["0", "-1", "x", "inf", "366"],
    "API_SECRET_ENABLE": ["maybe", "2", "tru"],
    "HTTP_PORT": ["x", "-1", "65536"],
    "API3_SECURITY_ENABLE": ["maybe", "2", "nonsense"],
    "API3_SECURITY_DISABLED_ON_NETWORK": ["maybe"],
    "API3_TIME_SKEW_TOLERANCE": ["-1", "x", "nan", "inf", "5 minutes", "1000001"],
    "API3_CLIENT_TIMESTAMP": ["maybe", "true", "Required "],
    "API3_REQUIRE_HTTPS": ["maybe"],
    "TRUSTED_PROXIES": ["nonsense", "10.0.0.0/33", "10.0.0.1, nonsense", "*", "proxy.example.org", "10.0.0.1:80"],
    "API3_JWT_LIFETIME": ["0", "-1", "1h", "31536001"],
    "OAUTH_ACCESS_LIFETIME": ["0", "-1", "1h", "86401"],
    "OAUTH_REFRESH_GRACE": ["-1", "x", "3601"],
    "OAUTH_PASSWORD_GRANT": ["maybe"],
    "OAUTH_SCOPES": ["read", "[]", '{"read": "api:*:read"}', '{"a b": []}', '{"api:x": []}', '{"read": ["api entries"]}', "{"],
    "API3_MAX_LIMIT": ["0", "-1", "x", "100001"],
    "API3_MAX_BODY": ["0", "1023", "1MB", "1073741825"],
    "API3_MAX_BULK": ["0", "-1", "x", "100001"],
    "API3_MAX_BULK_BODY": ["0", "1023", "16MB", "1073741825"],
    "API3_MAX_HEADERS": ["0", "1023", "16K", "1048577"],
    "API3_REQUEST_TIMEOUT": ["0", "-1", "x", "nan", "3601"],
    "API3_MAX_CONNECTIONS": ["0", "-1", "x", "100001"],
    "API3_MAX_IN_FLIGHT": ["0", "-1", "x", "100001"],
    "API3_LIVE_CONNECTIONS": ["0", "-1", "x", "100001"],
    "API3_LIVE_PING_INTERVAL": ["0", "0.5", "x", "nan", "301"],
    "API3_TOMBSTONE_DAYS": ["0", "-1", "x", "1.5", "36501"],
    "API3_DEDUP_FALLBACK_ENABLED": ["maybe"],
    "API3_CREATED_AT_FALLBACK_ENABLED": ["maybe"],
    "API3_AUTOPRUNE": ['{"entries":', '{"entries": 5}', "{}", "null", "5"],
    "API3_AUTOPRUNE_ENTRIES": ["-1", "x", "1.5", "36501", "10d"],
    "API3_AUTOPRUNE_NONSENSE": ["1"],
    "API3_EXTRA_COLLECTIONS": ["Weather", "a-b", "weather,entries", "version", "status", "lastModified", "history", "x/y", "9"],
    "AUTH_FAIL_DELAY": ["-1", "x", "60001", "5s"],
    "BG_HIGH": ["39", "1001", "14.4", "x"],
    "BG_TARGET_TOP": ["39", "1001", "10.0 mmol/L"],
    "BG_TARGET_BOTTOM": ["39", "-1", "4.4"],
    "BG_LOW": ["39", "0", "3.1"],
    "ALARM_TIMEAGO_WARN_MINS": ["0", "-1", "x", "nan", "10081"],
    "ALARM_TIMEAGO_URGENT_MINS": ["0", "x", "inf", "10081"],
    "PUBLIC_URL": ["foo", "ftp://ns.example", "https://", "https://ns.example/data", "https://ns.example//"],
    "SESSION_IDLE_MINUTES": ["0", "-1", "x", "inf", "525601"],
    "SESSION_MAX_DAYS": ["0", "-1", "30d", "nan", "366"],
    "SECURITY_TOKEN_MAX_AGE": ["0", "-1", "6h", "31536001"],
    "AUDIT_DAYS": ["99", "0", "-1", "36501", "2y"],
    "PASSWORD_ROUNDS": ["3", "17", "x"],
    "CORS_ORIGINS": ["foo", "https://", "https://my.app/", "https://my.app/page", "//my.app", "https://a.app, b.app", "null"],
    "ACCESS_LOG": ["maybe", "JSON", "text,json"],
}
# Any text will do for these; what cannot be used is found later in the start (below).
NEVER_BAD = {"HOST", "APIV3_DATA", "TLS_CERT", "TLS_KEY", "AUTH_DEFAULT_ROLES"}
HIDDEN = {"DATABASE_URL", "API_SECRET", "JWT_KEY", "HUB_KEY"}


def test_every_setting_is_tried() -> None:
    tried = {AUTOPRUNE if name.startswith("API3_AUTOPRUNE") else name for name in BAD}
    assert tried | NEVER_BAD == NAMES


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_bad_value_is_one_sentence(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load()
    sentence = str(refused.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert name in sentence
    if name in HIDDEN:
        assert repr(value) not in sentence
        assert SECRET not in sentence
    elif name != "API3_AUTOPRUNE_NONSENSE":
        assert repr(value) in sentence
    if name == "API3_EXTRA_COLLECTIONS":
        assert "lower-case letters, digits and _" in sentence
        assert "no name of a route or of the six" in sentence
    allowed = re.search(
        r"true|off|\d|login or api|JSON object|separated by|lower-case|sqlite:|at least|there are|https://, a host",
        sentence.partition(f"{name} ")[2],
    )
    assert allowed, "it does not say what is allowed"


@pytest.mark.parametrize("name", sorted(NAMES - {AUTOPRUNE} | {"API3_AUTOPRUNE"}))
@pytest.mark.parametrize("value", ['{"entries":', "[", '["entries"]'])
def test_no_setting_is_read_as_json(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with suppress(SettingsError):
        assert getattr(load(), name.lower()) not in (["entries"], ("entries",))


def test_the_plain_name_of_pruning_is_refused_beside_the_right_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("api3_autoprune=7\n")
    monkeypatch.setenv("API3_AUTOPRUNE_ENTRIES", "5")
    with pytest.raises(SettingsError, match=r"^API3_AUTOPRUNE is '7', .*API3_AUTOPRUNE_<COLLECTION>"):
        load()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://user:pass@host:5432/name", "postgresql://user:***@host:5432/name"),
        ("postgresql://user:pa:ss@host/name?ssl=require", "postgresql://user:***@host/name"),
        ("postgresql://user@[::1]:5432/name", "postgresql://user@[::1]:5432/name"),
        ("postgresql://host/name?user=user&password=pass", "postgresql://host/name"),
        *((f"postgresql://user:12{mark}pass@host/name", "postgresql://user:***@host/name") for mark in "/?#@[]\n\t"),
        ("sqlite:////path/with/a?:@/in it", "sqlite:////path/with/a?:@/in it"),
    ],
)
def test_a_database_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%2F%3F%23%40%5B@h:5432/x?sslmode=require",
        "postgres://u:p:p p%zz!$&'()*+,;=@h/x",
        "postgresql://u@[::1]:5432/x",
        "postgresql://h",
        "postgresql:///x?host=/run/postgresql",
        "sqlite:///with/a [?] #@:",
    ],
)
def test_urls_of_databases(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert load().database == url.replace("postgres:", "postgresql:")


# Good by themselves, but not beside the others' defaults.
OUT_OF_ORDER = {
    "BG_HIGH": ["180", "60"],
    "BG_TARGET_TOP": ["80", "260"],
    "BG_TARGET_BOTTOM": ["55", "180", "300"],
    "BG_LOW": ["80", "200"],
    "ALARM_TIMEAGO_WARN_MINS": ["30", "60"],
    "ALARM_TIMEAGO_URGENT_MINS": ["15", "10"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in OUT_OF_ORDER.items() for value in values])
def test_thresholds_stand_in_order(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=rf"\b{name}={value}\b.*: each of them must be greater than the one before\.$"):
        load()


# Real starts: settings, what the sentence names, what it must not tell.
REFUSED: dict[str, tuple[dict[str, str], list[str], list[str]]] = {
    "a number": ({"PORT": "eighty"}, ["PORT", "'eighty'", "0 to 65535"], []),
    "a secret that is too short": ({"API_SECRET": "hunter2"}, ["API_SECRET", "at least 12"], ["hunter2"]),
    "a key that is too short": ({"JWT_KEY": "hunter2"}, ["JWT_KEY", "at least 32"], ["hunter2"]),
    "a switch": ({"API3_SECURITY_ENABLE": "perhaps"}, ["API3_SECURITY_ENABLE", "'perhaps'", "true, false, on or off"], []),
    "a collection": ({"API3_AUTOPRUNE_NONSENSE": "7"}, ["API3_AUTOPRUNE_NONSENSE", "entries, food"], []),
    "a database of another kind": ({"DATABASE_URL": "mysql://u:hunter2@h/x"}, ["DATABASE_URL", "postgresql://"], ["hunter2"]),
    "a password that is not encoded": (
        {"DATABASE_URL": "postgresql://u:12/hunter2@127.0.0.1:1/x"},
        ["DATABASE_URL", "percent-encoded"],
        ["hunter2"],
    ),
    "a bracket in a password": (
        {"DATABASE_URL": "postgresql://u:[hunter2@h/x"},
        ["DATABASE_URL", "percent-encoded"],
        ["hunter2"],
    ),
    "pruning without a collection": (
        {"API3_AUTOPRUNE": '{"entries":'},
        ["API3_AUTOPRUNE is", "API3_AUTOPRUNE_<COLLECTION>"],
        [],
    ),
    "a database that is not there": (
        {"DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/x"},
        ["DATABASE_URL", "127.0.0.1:1/x", "cannot be used"],
        ["hunter2"],
    ),
    "a file that cannot be": ({"DATABASE_URL": "sqlite:////dev/null/x"}, ["DATABASE_URL", "/dev/null/x"], []),
    "a folder that cannot be": ({"APIV3_DATA": "/dev/null/x", "API_SECRET": ""}, ["APIV3_DATA", "'/dev/null/x'"], []),
    "thresholds out of order": ({"BG_LOW": "90"}, ["BG_LOW=90, BG_TARGET_BOTTOM=80", "greater"], []),
    "a host that is none": ({"HOST": "no such host"}, ["HOST", "'no such host'"], []),
    "certificates that are not there": ({"TLS_CERT": "/x", "TLS_KEY": "/y"}, ["TLS_CERT", "'/x'", "TLS_KEY", "'/y'"], []),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_value_stops_the_start(tmp_path: Path, case: str) -> None:
    settings, named, hidden = REFUSED[case]
    _check_refused(_installation(tmp_path, settings).run("serve"), named, hidden)


def test_a_database_that_never_answers_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver waits for a minute, and then has nothing to say."""

    def upgrade(_url: str, **_options: bool) -> None:
        raise TimeoutError

    monkeypatch.setattr(schema, "upgrade", upgrade)
    with pytest.raises(
        SettingsError, match=r"^DATABASE_URL is 'postgresql://u:\*\*\*@h/x', which cannot be used: TimeoutError"
    ):
        migrate(load(database_url="postgresql://u:hunter2@h/x"))


def _installation(folder: Path, settings: Mapping[str, str | None]) -> Installation:
    return Installation(folder, f"sqlite:///{folder / 'apiv3.db'}", {"PORT": "0", **settings})


def _check_refused(done: subprocess.CompletedProcess[str], named: list[str], hidden: list[str]) -> None:
    assert done.returncode == 1
    assert done.stdout == ""
    [sentence] = done.stderr.splitlines()
    assert sentence.startswith("Error: ")
    for each in named:
        assert each in sentence
    for each in hidden:
        assert each not in sentence


def test_a_port_that_is_taken_stops_the_start(tmp_path: Path, shared_servers: Callable[[str], LiveServer]) -> None:
    taken = shared_servers("sqlite").port
    refused = _installation(tmp_path, {}).run("serve", "--port", str(taken))
    _check_refused(refused, ["PORT", str(taken), "127.0.0.1"], [])


def test_other_commands_refuse_the_same(tmp_path: Path) -> None:
    refused = _installation(tmp_path, {"API3_MAX_LIMIT": "none"}).run("subject", "list")
    _check_refused(refused, ["API3_MAX_LIMIT", "'none'", "1 to 100000"], [])


def test_an_option_is_checked_as_its_setting_is(tmp_path: Path) -> None:
    _check_refused(_installation(tmp_path, {}).run("serve", "--port", "65536"), ["PORT", "'65536'"], [])
    _check_refused(_installation(tmp_path, {}).run("serve", "--workers", "0"), ["WORKERS", "'0'"], [])


@pytest.mark.parametrize("name", ["api_secret", "jwt_key", "hub_key"])
@pytest.mark.parametrize("kept", ["hunter2", "", "\n"])
def test_a_kept_secret_that_is_no_good_stops_the_start(tmp_path: Path, name: str, kept: str) -> None:
    (tmp_path / name).write_text(kept)
    with pytest.raises(SettingsError, match=f"^APIV3_DATA .*{name}") as refused:
        provision(load(apiv3_data=tmp_path))
    assert "hunter2" not in str(refused.value)


# --- good values ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["true", "TRUE", "True", "on", "On", "ON", "false", "FALSE", "off", "Off", "OFF", "oFf"])
def test_a_switch_in_any_case(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    switches = [name for name, field in Settings.model_fields.items() if field.annotation is bool]
    assert len(switches) >= 6
    for name in switches:
        monkeypatch.setenv(name.upper(), value)
    settings = load()
    assert {getattr(settings, name) for name in switches} == {value.lower() in ("true", "on")}


def test_the_defaults() -> None:
    settings = load()
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)
    assert (settings.api3_security_enable, settings.api3_require_https) == (True, True)
    assert (settings.api3_time_skew_tolerance, settings.api3_client_timestamp) == (5, "required")
    assert (settings.api3_jwt_lifetime, settings.api3_max_limit, settings.auth_fail_delay) == (3600, 1000, 5000)
    assert (settings.trusted_proxies, settings.auth_default_roles, settings.api3_extra_collections) == ((), (), ())
    assert settings.database == "sqlite:///data/apiv3.sqlite"


@pytest.mark.parametrize("text", ["readable denied", "readable,denied", "readable:denied", " readable, :denied ,"])
def test_default_roles_are_separated_by_comma_space_or_colon(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("AUTH_DEFAULT_ROLES", text)
    assert load().auth_default_roles == ("readable", "denied")


def test_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", "10.0.0.1, 192.168.0.0/16,2001:db8::/32")
    monkeypatch.setenv("API3_EXTRA_COLLECTIONS", "weather, activity")
    monkeypatch.setenv("CORS_ORIGINS", "https://My.app,http://localhost:3000 capacitor://localhost, http://[::1]:80,*")
    monkeypatch.setenv("API3_AUTOPRUNE_WEATHER", "7")
    monkeypatch.setenv("api3_autoprune_entries", "400")
    monkeypatch.setenv("API3_AUTOPRUNE_FOOD", "0")
    settings = load()
    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.1/32", "192.168.0.0/16", "2001:db8::/32"]
    assert settings.api3_extra_collections == ("weather", "activity")
    assert settings.cors_origins == ("https://my.app", "http://localhost:3000", "capacitor://localhost", "http://[::1]:80", "*")
    assert settings.api3_autoprune == {"weather": 7, "entries": 400}


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_SECRET", SECRET)
    monkeypatch.setenv("JWT_KEY", SECRET * 2)
    monkeypatch.setenv("DATABASE_URL", f"postgresql://u:{SECRET}@h/x")
    assert SECRET not in repr(load())
    assert SECRET not in str(load())


def test_the_environment_goes_before_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = [
        "# a comment",
        "API3_MAX_LIMIT=7",
        'export API3_MAX_BODY="2048"',
        "port=1234",
        f"API_SECRET='{SECRET}'",
        "API3_AUTOPRUNE_ENTRIES=10",
        "API3_AUTOPRUNE_FOOD=20",
        "SOMETHING_ELSE=1",
        "WORKERS=",
    ]
    (tmp_path / ".env").write_text("\n".join(lines))
    settings = load()
    assert (settings.api3_max_limit, settings.api3_max_body, settings.port, settings.workers) == (7, 2048, 1234, 1)
    assert settings.api_secret is not None
    assert settings.api_secret.get_secret_value() == SECRET
    assert settings.api3_autoprune == {"entries": 10, "food": 20}

    monkeypatch.setenv("API3_MAX_LIMIT", "8")
    monkeypatch.setenv("API3_AUTOPRUNE_FOOD", "30")
    monkeypatch.setenv("PORT", "")  # as good as unset
    settings = load()
    assert (settings.api3_max_limit, settings.port) == (8, 1234)
    assert settings.api3_autoprune == {"entries": 10, "food": 30}
    assert load(api3_max_limit=9).api3_max_limit == 9


def test_a_bad_value_in_the_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("API3_MAX_LIMIT=none\n")
    with pytest.raises(SettingsError, match=r"API3_MAX_LIMIT is 'none', .*1 to 100000"):
        load()
    (tmp_path / ".env").write_bytes(b"PORT=\xff\xfe\n")
    with pytest.raises(SettingsError, match=r"\.env"):
        load()


# --- the first start and the later ones -------------------------------------------------------------------------------


@pytest.fixture
def newcomer(fresh_server: FreshServer) -> LiveServer:
    """A server that was started with no settings at all."""
    return fresh_server(env=dict.fromkeys(("API_SECRET", "DATABASE_URL", "API3_REQUIRE_HTTPS", "AUTH_FAIL_DELAY")))


def test_the_first_minute(newcomer: LiveServer) -> None:
    """What the first start says can be pasted; what it made is kept, and said once."""
    first = newcomer.output
    assert f"listens on {newcomer.url}" in first
    [token] = re.findall(r"^ {4}(admin-[0-9a-f]{16})$", first, re.MULTILINE)
    assert ask(newcomer, "GET", f"/api/v2/authorization/request/{token}").json["permissionGroups"] == [["*"]]
    kept = _files(newcomer.installation.data)
    assert kept.keys() >= {"api_secret", "jwt_key", "hub_key", "apiv3.sqlite"}

    (newcomer.installation.folder / ".env").write_text("API3_MAX_LIMIT=3\nAPI3_CLIENT_TIMESTAMP=off\n")
    newcomer.restart()
    later = newcomer.output.removeprefix(first)
    assert f"listens on {newcomer.url}" in later
    for secret in (token, token[-16:], "curl", kept["api_secret"], kept["jwt_key"], kept["hub_key"]):
        assert secret not in later
    assert (
        _files(newcomer.installation.data).items()
        >= {name: kept[name] for name in ("api_secret", "jwt_key", "hub_key")}.items()
    )
    caller = undated(newcomer)
    assert caller.get("/api/v3/entries", params={"token": token, "limit": 3}).status_code == 200
    assert caller.get("/api/v3/entries", params={"token": token, "limit": 4}).status_code == 400


def test_only_the_owner_reads_what_the_first_start_makes(newcomer: LiveServer) -> None:
    data = newcomer.installation.data
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in data.iterdir() if path.is_file()} == dict.fromkeys(
        (path.name for path in data.iterdir()), 0o600
    )


def _files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(errors="replace").strip() for path in folder.iterdir()}


def test_the_two_commands_of_the_first_start_work(newcomer: LiveServer) -> None:
    demand("curl")
    read, post = [line for line in newcomer.output.splitlines() if line.startswith("curl ")]
    assert json.loads(_pasted(read)) == {"status": 200, "result": []}
    posted = json.loads(_pasted(post))
    assert posted["status"] == 201
    [entry] = json.loads(_pasted(read))["result"]
    assert (entry["identifier"], entry["type"], entry["subject"]) == (posted["identifier"], "sgv", "admin")
    assert abs(entry["date"] - now_ms()) < 600_000


def _pasted(command: str) -> str:
    """What a command prints in a terminal."""
    done = subprocess.run(
        ["bash", "-c", command], env=clean_environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_processes_that_start_at_once_agree_on_the_secrets(tmp_path: Path) -> None:
    with ProcessPoolExecutor(3, multiprocessing.get_context("spawn")) as processes:
        made = [each.result() for each in [processes.submit(_provisioned, tmp_path) for _ in range(6)]]
    assert {(settings.api_secret, settings.jwt_key) for settings in made} == {(made[0].api_secret, made[0].jwt_key)}
    assert {path.name for path in tmp_path.iterdir()} == {"api_secret", "jwt_key", "hub_key"}


def _provisioned(folder: Path) -> Settings:
    return provision(load(apiv3_data=folder))


def test_only_the_server_mints(tmp_path: Path) -> None:
    """Whatever else is done before its first start."""
    installation = _installation(tmp_path, {"API_SECRET": None})
    for command in ("subject list", "role list", "db upgrade", "check nobody api:food:read", "export food"):
        here(installation, *command.split())
    for command in ("subject add phone", "subject show phone", "subject rotate phone"):
        done = here(installation, *command.split())
        assert (done.status, done.output) == (1, "")
        assert "api_secret, on which all access tokens depend, is missing" in done.errors
    assert list(installation.data.iterdir()) == []


def test_a_lost_secret_is_not_replaced(fresh_server: FreshServer) -> None:
    """All access tokens would be others, and nobody would know why."""
    server = fresh_server(env={"API_SECRET": None})
    installation = server.installation
    secret = installation.data / "api_secret"
    kept = secret.read_text()
    server.stop()
    secret.unlink()
    for command in ("serve --port 0", "subject show admin"):
        _check_refused(installation.run(*command.split()), [str(secret), "restore it from a backup", "API_SECRET"], [])
    assert "admin" in installation.run("subject", "list").stdout
    assert not secret.exists()
    installation.settings = {"API_SECRET": SECRET}
    server.restart()
    assert not secret.exists()
    server.stop()
    installation.settings = {"API_SECRET": None}
    secret.write_text(kept)
    server.start()
    assert secret.read_text() == kept


def test_minted_secrets_are_long_and_kept(tmp_path: Path) -> None:
    first, again = provision(load(apiv3_data=tmp_path / "one")), provision(load(apiv3_data=tmp_path / "one"))
    other = provision(load(apiv3_data=tmp_path / "two"))
    assert first == again
    secrets = [
        each.get_secret_value() for settings in (first, other) for each in (settings.api_secret, settings.jwt_key) if each
    ]
    assert len(set(secrets)) == 4
    assert all(len(secret) >= 43 for secret in secrets)


def test_secrets_that_are_set_are_not_kept(tmp_path: Path) -> None:
    provision(load(apiv3_data=tmp_path / "one", api_secret=SECRET, jwt_key=SECRET * 2, hub_key="x" * 43))
    assert list((tmp_path / "one").iterdir()) == []


# --- the documentation ------------------------------------------------------------------------------------------------


def test_the_example_names_every_setting_and_no_other() -> None:
    pruning = {f"API3_AUTOPRUNE_{collection.name.upper()}" for collection in STANDARD}
    assert set(_example()) == NAMES - {AUTOPRUNE} | pruning


def test_the_example_shows_the_defaults(tmp_path: Path) -> None:
    defaults = load()
    (tmp_path / ".env").write_text("\n".join(f"{name}={value}" for name, value in _example().items()))
    assert load() == defaults


def _example() -> dict[str, str]:
    """The settings of .env.example, which are comments: name -> value."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    found = [(match[1], match[2]) for line in lines if (match := re.fullmatch(r"#? ?([A-Z][A-Z0-9_]*)=(.*)", line))]
    assert len(found) == len(dict(found)), "a setting is named twice"
    return dict(found)


def test_the_reference_names_every_setting_and_no_other() -> None:
    text = (ROOT / "docs/reference/settings.md").read_text()
    named = re.findall(r"^\| *`([A-Z][A-Z0-9_]*(?:<COLLECTION>)?)` *\|", text, re.MULTILINE)
    assert sorted(named) == sorted(NAMES)


def test_every_setting_says_what_it_does() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert "\n" not in field.description
