"""Where things are kept: the cache folder, and the runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from monai_ext.locations import artifact_location, cache_folder, database_file, repository_root, shown, tracking_uri_for


def test_the_root_is_the_nearest_parent_with_a_git_folder(tmp_path: Path) -> None:
    (tmp_path / "a" / ".git").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    assert repository_root(tmp_path / "a" / "b" / "c") == tmp_path / "a"


def test_a_linked_worktree_whose_git_is_a_file_counts_as_a_root(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: elsewhere")
    (tmp_path / "b").mkdir()
    assert repository_root(tmp_path / "b") == tmp_path


def test_without_a_repository_the_working_directory_is_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert repository_root() == tmp_path


def test_the_default_is_what_mlflow_itself_uses_when_started_in_the_root(
    repository_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.tracking

    ours = tracking_uri_for()
    monkeypatch.chdir(repository_folder)
    assert database_file(ours) == repository_folder / "mlflow.db"
    assert database_file(mlflow.tracking.get_tracking_uri()) == repository_folder / "mlflow.db"


def test_the_environment_wins_over_the_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    assert tracking_uri_for("sqlite:////tmp/other.db") == "http://localhost:5000"


def test_the_argument_wins_over_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri_for("sqlite:////tmp/other.db") == "sqlite:////tmp/other.db"


def test_artifacts_lie_beside_the_database(tmp_path: Path) -> None:
    location = artifact_location(f"sqlite:///{tmp_path}/runs.db", experiment="spark pretrain")
    assert location == (tmp_path / "mlruns" / "spark_pretrain").as_uri()


def test_a_server_keeps_artifacts_where_it_likes() -> None:
    assert artifact_location("http://localhost:5000", experiment="x") is None


@pytest.mark.parametrize("scheme", ["postgresql", "mysql+pymysql", "mssql+pyodbc", "http", "https", "s3", "x"])
@pytest.mark.parametrize(
    "rest",
    [
        "bob:hunter2@db", "bob:hunter2@db:5432/mlflow", "hunter2@db/mlflow", "bob:hunt@hunter2@db/mlflow",
        "bob:hunter2/x@db/mlflow", "bob:hunter2?x@db/mlflow", "bob:hunter2#@db/mlflow", "bob:a@b/hunter2@db/mlflow",
        "db/mlflow?password=hunter2", "db/mlflow?sslmode=require&PASSWORD=hunter2", "/mlflow?host=db&user=hunter2",
        "db?api_key=hunter2", "db?access_token=hunter2;x=1", "bob:hunter2@[::1]:5432/db",
    ],
)  # fmt: skip
def test_no_user_name_and_no_password_is_shown_of_any_scheme(scheme: str, rest: str) -> None:
    assert "hunter2" not in shown(f"{scheme}://{rest}")
    assert "bob" not in shown(f"{scheme}://{rest}")
    assert "db" in shown(f"{scheme}://{rest}")


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://db:5432/mlflow?sslmode=require", "sqlite:////home/anna@work/mlflow.db", "databricks", "./mlruns",
        "https://mlflow.example.org/team@7/path", "http://[::1]:5000", "file:///home/anna@work/mlruns",
    ],
)  # fmt: skip
def test_an_address_without_secrets_is_shown_whole(uri: str) -> None:
    assert shown(uri) == uri


def test_user_name_and_password_are_not_shown() -> None:
    assert shown("https://anna:secret@mlflow.example.org/path") == "https://mlflow.example.org/path"
    assert shown("sqlite:////home/anna/mlflow.db") == "sqlite:////home/anna/mlflow.db"


def test_the_environment_variable_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONAI_EXT_CACHE", "~/somewhere")
    assert cache_folder() == Path.home() / "somewhere"


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", "base/monai_ext"),
        ("linux", None, "home/.cache/monai_ext"),
        ("darwin", None, "home/Library/Caches/monai_ext"),
        ("win32", "LOCALAPPDATA", "base/monai_ext"),
    ],
)
def test_each_platform_has_its_place(
    monkeypatch: pytest.MonkeyPatch, platform: str, variable: str | None, expected: str
) -> None:
    monkeypatch.delenv("MONAI_EXT_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: Path("home"))
    if variable:
        monkeypatch.setenv(variable, "base")
    assert cache_folder() == Path(expected)
