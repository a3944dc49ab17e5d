"""Settings: read once, all faults together, nothing secret in them."""

from pathlib import Path

import pytest

from photo_pipeline.errors import SettingsError
from photo_pipeline.settings import MIB, each_host, read_settings


def test_defaults_are_the_documented_ones() -> None:
    settings = read_settings({})
    assert settings.http.http_port == 8000
    assert settings.http.health_port == 0
    assert settings.http.max_upload_bytes == 100 * MIB
    assert settings.work.max_pixels == 100_000_000
    assert settings.work.concurrency == 1
    assert settings.work.stage_timeout_s == 60
    assert settings.work.stage_memory_bytes == 2048 * MIB
    assert settings.work.consumer_timeout_s == 1800
    assert list(settings.broker.retry_delays_s) == [5, 30, 120, 600]
    assert settings.broker.topology_prefix == ""
    assert settings.process.shutdown_grace_s == 30


def test_values_are_parsed() -> None:
    settings = read_settings(
        {
            "PHOTO_RETRY_DELAYS_S": "0.5, 2",
            "PHOTO_HTTP_PORT": "9001",
            "PHOTO_MONGO_URL": "mongodb://h/photos",
            "PHOTO_LOG_LEVEL": "",
            "PATH": "/bin",
        }
    )
    assert list(settings.broker.retry_delays_s) == [0.5, 2]
    assert settings.http.http_port == 9001
    assert settings.process.log_level == "info"


def test_all_faults_are_told_together_and_no_value_is_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(
            {
                "PHOTO_AMQP_URL": "http://user:topsecret@host",
                "PHOTO_MONGO_URL": "mongodb://user:topsecret@host",
                "PHOTO_HTTP_PORT": "70000",
                "PHOTO_RETRY_DELAYS_S": "5,topsecret",
                "PHOTO_HTPP_PORT": "1",
                "PHOTO_CONCURRENCY": "0",
            }
        )
    told = str(caught.value)
    assert "topsecret" not in told
    lines = told.splitlines()
    assert len(lines) == 6
    for name in (
        "AMQP_URL",
        "MONGO_URL",
        "HTTP_PORT",
        "RETRY_DELAYS_S",
        "HTPP_PORT",
        "CONCURRENCY",
    ):
        assert any(line.startswith(f"PHOTO_{name}: ") for line in lines), name


def test_a_file_may_hold_the_value(tmp_path: Path) -> None:
    secret = tmp_path / "amqp"
    secret.write_text("amqp://user:password@rabbit/\n")
    settings = read_settings({"PHOTO_AMQP_URL_FILE": str(secret)})
    assert settings.broker.amqp_url == "amqp://user:password@rabbit/"


def test_a_file_that_cannot_be_read_or_competes_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="PHOTO_AMQP_URL_FILE: cannot read"):
        read_settings({"PHOTO_AMQP_URL_FILE": str(tmp_path / "missing")})
    (tmp_path / "url").write_text("amqp://a/")
    with pytest.raises(SettingsError, match="is set as well"):
        read_settings({"PHOTO_AMQP_URL": "amqp://a/", "PHOTO_AMQP_URL_FILE": str(tmp_path / "url")})


def test_a_presets_file_is_a_path_and_not_a_value(tmp_path: Path) -> None:
    path = tmp_path / "presets.toml"
    assert read_settings({"PHOTO_PRESETS_FILE": str(path)}).process.presets_file == path


@pytest.mark.parametrize(
    "url", ["file://relative/folder", "file://", "file:///", "file:///a?b", "s3://bucket"]
)
def test_a_storage_that_cannot_be_meant_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="PHOTO_STORAGE_URL"):
        read_settings({"PHOTO_STORAGE_URL": url})


@pytest.mark.parametrize("delays", ["5,5", "12345.61,12345.62", "0", "0.0001", ""])
def test_delays_are_different_queues(delays: str) -> None:
    if not delays:  # an empty variable counts as not set
        assert len(read_settings({"PHOTO_RETRY_DELAYS_S": delays}).broker.retry_delays_s) == 4
        return
    with pytest.raises(SettingsError, match="PHOTO_RETRY_DELAYS_S"):
        read_settings({"PHOTO_RETRY_DELAYS_S": delays})


def test_odd_values_are_faults_and_no_tracebacks(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError) as caught:
        read_settings(
            {
                "PHOTO_AMQP_URL": "amqp://u:p@h:port/",
                "PHOTO_MONGO_URL_FILE": str(binary),
                "PHOTO_SHUTDOWN_GRACE_S": "inf",
            }
        )
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("url", ["amqp://", "amqp:///vhost", "amqp://u:p/w@host:5672x/"])
def test_a_broker_without_a_host_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="PHOTO_AMQP_URL"):
        read_settings({"PHOTO_AMQP_URL": url})


def test_levels_may_be_written_large() -> None:
    assert read_settings({"PHOTO_LOG_LEVEL": "DEBUG"}).process.log_level == "debug"


def test_the_service_links_of_kubernetes_are_no_misspelt_settings() -> None:
    read_settings(
        {
            "PHOTO_API_SERVICE_HOST": "10.0.0.1",
            "PHOTO_API_PORT": "tcp://10.0.0.1:8000",
            "PHOTO_API_PORT_8000_TCP_ADDR": "10.0.0.1",
        }
    )


def test_webhooks_need_a_secret_and_name_it() -> None:
    with pytest.raises(SettingsError) as told:
        read_settings({"PHOTO_WEBHOOK_URLS": "https://a.example/hook, https://b.example/hook"})
    assert "PHOTO_WEBHOOK_SECRET is needed" in str(told.value)


def test_webhooks_are_split_and_their_secret_is_not_shown() -> None:
    settings = read_settings(
        {
            "PHOTO_WEBHOOK_URLS": "https://a.example/hook, https://b.example/hook",
            "PHOTO_WEBHOOK_SECRET": "sixteen characters",
            "PHOTO_WEBHOOK_ALLOWED_NETWORKS": "10.1.0.0/16, fd00::/8",
        }
    )
    assert settings.notify.webhook_urls == ("https://a.example/hook", "https://b.example/hook")
    assert [str(n) for n in settings.notify.webhook_allowed_networks] == ["10.1.0.0/16", "fd00::/8"]
    assert "sixteen" not in repr(settings)


@pytest.mark.parametrize(
    ("stage_timeout_s", "consumer_timeout_s", "accepted"),
    [("690", "", True), ("691", "", False), ("691", "3600", True), ("91", "600", False)],
)
def test_a_stage_may_not_come_near_the_consumer_timeout(
    stage_timeout_s: str, consumer_timeout_s: str, accepted: bool
) -> None:
    environment = {
        "PHOTO_STAGE_TIMEOUT_S": stage_timeout_s,
        "PHOTO_CONSUMER_TIMEOUT_S": consumer_timeout_s,
    }
    if not accepted:
        with pytest.raises(SettingsError, match="PHOTO_STAGE_TIMEOUT_S must be at most") as told:
            read_settings(environment)
        assert "RabbitMQ takes a photo away" in str(told.value)
        return
    work = read_settings(environment).work
    # The last try begins within the first half, and has at most the second half.
    assert work.stage_timeout_s < work.handling_s
    assert 2 * work.handling_s < work.consumer_timeout_s


def test_several_hosts_of_rabbitmq_share_everything_else() -> None:
    url = "amqp://user:p,w@a:5672,b,[::1]:5673/vhost?x=1,2"
    assert read_settings({"PHOTO_AMQP_URL": url}).broker.amqp_url == url
    assert each_host(url) == (
        "amqp://user:p,w@a:5672/vhost?x=1,2",
        "amqp://user:p,w@b/vhost?x=1,2",
        "amqp://user:p,w@[::1]:5673/vhost?x=1,2",
    )
    assert each_host("amqp://a:1") == ("amqp://a:1",)
    for wrong in ("amqp://a:1,/", "amqp://a:1,b:port/", "amqp://,a/"):
        with pytest.raises(SettingsError, match="PHOTO_AMQP_URL"):
            read_settings({"PHOTO_AMQP_URL": wrong})
