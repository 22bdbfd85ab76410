"""`nlp-adapt push` with the real client: what arrives, and what happens when the Hub fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from nlp_adapt.errors import ConfigError, RunError
from nlp_adapt.hub.push import push_run
from tests.helpers.hub_client import Client
from tests.helpers.loopback import TOKEN, LoopbackHub

COMMIT = r"POST /api/models/me/model/commit/"


@pytest.fixture
def pushed(hub: LoopbackHub, client: Client, saved_run: Path) -> tuple[LoopbackHub, Path]:
    code, out, err = client.command("push", saved_run, "--repo", "me/model")
    assert code == 0, err
    assert hub.url in out
    return hub, saved_run


def refused(client: Client, *words: object) -> str:
    """The one sentence that a push ends with."""
    code, out, err = client.command("push", *words)
    assert (code, out) == (2, "")
    (line,) = [line for line in err.splitlines() if line.startswith("nlp-adapt: error: ")]
    assert "Traceback" not in err
    assert TOKEN not in err
    return line


def test_everything_arrives_in_one_commit(pushed: tuple[LoopbackHub, Path]) -> None:
    hub, run = pushed
    repo = hub.repos["models/me/model"]
    assert repo.history == ["Add adapted model", "initial commit"]
    assert not repo.private
    assert set(repo.files) == {
        ".gitattributes", "README.md", "config.json", "model.safetensors", "tokenizer.json",
        "adaptation/objectives.safetensors", "adaptation/recipe.yaml", "adaptation/results.json",
    }  # fmt: skip
    assert repo.files["model.safetensors"] == (run / "model" / "model.safetensors").read_bytes()
    card = ModelCard(repo.files["README.md"].decode())
    assert card.data.base_model == "roberta-base"
    assert card.data.datasets == ["me/tweets"]
    assert 'model="me/model"' in card.text
    assert hub.count("POST /api/validate-yaml") == 1


def test_what_arrives_names_no_folder_and_no_machine(pushed: tuple[LoopbackHub, Path]) -> None:
    hub, run = pushed
    files = hub.repos["models/me/model"].files
    for content in files.values():
        assert str(run.parent).encode() not in content
        assert TOKEN.encode() not in content
    assert "machine" not in json.loads(files["adaptation/results.json"])
    assert yaml.safe_load(files["adaptation/recipe.yaml"])["source"] == "films.csv"


def test_a_second_push_replaces_the_first(pushed: tuple[LoopbackHub, Path], client: Client) -> None:
    hub, run = pushed
    (run / "model" / "model.safetensors").rename(run / "model" / "adapter_model.safetensors")
    (run / "adaptation" / "objectives.safetensors").unlink()
    code, _, err = client.command("push", run, "--repo", "me/model", "--commit-message", "Again")
    assert code == 0, err
    repo = hub.repos["models/me/model"]
    assert repo.history[:2] == ["Again", "Add adapted model"]
    assert "adapter_model.safetensors" in repo.files
    assert not {"model.safetensors", "adaptation/objectives.safetensors"} & set(repo.files)
    assert ".gitattributes" in repo.files


def test_pushing_the_same_run_again_makes_no_commit(
    pushed: tuple[LoopbackHub, Path], client: Client
) -> None:
    hub, run = pushed
    before = len(hub.repos["models/me/model"].commits)
    assert client.command("push", run, "--repo", "model")[0] == 0  # the owner is me
    assert len(hub.repos["models/me/model"].commits) == before


def test_private_stays_private(hub: LoopbackHub, client: Client, saved_run: Path) -> None:
    words = (saved_run, "--repo", "me/model", "--private")
    assert client.command("push", *words)[0] == 0
    assert hub.repos["models/me/model"].private
    hub.repos["models/me/model"].private = False
    assert "exists and is public" in refused(client, *words)


def test_a_branch_and_a_pull_request(hub: LoopbackHub, client: Client, saved_run: Path) -> None:
    words = ("push", saved_run, "--repo", "me/model", "--json")
    assert client.command(*words, "--revision", "v2")[0] == 0
    repo = hub.repos["models/me/model"]
    assert repo.history == ["initial commit"]
    assert "README.md" in repo.commits[repo.refs["v2"]].files
    code, out, _ = client.command(*words, "--create-pr")
    assert code == 0
    assert json.loads(out)["url"] == f"{hub.url}/me/model/discussions/1"
    assert repo.history == ["initial commit"]
    assert "README.md" in repo.commits[repo.refs["refs/pr/1"]].files


@pytest.mark.parametrize("status", [429, 500, 503, None])
@pytest.mark.parametrize("pattern", [COMMIT, "POST /api/repos/create"])
def test_a_passing_fault_is_survived(
    hub: LoopbackHub, client: Client, saved_run: Path, status: int | None, pattern: str
) -> None:
    hub.fail(pattern, status, times=2)
    code, _, err = client.command("push", saved_run, "--repo", "me/model")
    assert code == 0, err
    assert hub.count(pattern) == 3
    assert len(hub.repos["models/me/model"].history) == 2


def test_a_lost_answer_does_not_commit_twice(
    pushed: tuple[LoopbackHub, Path], client: Client
) -> None:
    hub, run = pushed
    (run / "model" / "config.json").write_text('{"model_type": "roberta"}')
    (run / "adaptation" / "objectives.safetensors").unlink()
    hub.fail(COMMIT, None, times=1, after=True)
    code, out, err = client.command("push", run, "--repo", "me/model")
    assert code == 0, err
    repo = hub.repos["models/me/model"]
    assert len(repo.history) == 3
    assert repo.refs["main"] in out


def test_a_pull_request_is_not_opened_twice(
    hub: LoopbackHub, client: Client, saved_run: Path
) -> None:
    hub.fail(COMMIT, None, times=1, after=True)
    message = refused(client, saved_run, "--repo", "me/model", "--create-pr")
    assert "connection" in message
    assert [ref for ref in hub.repos["models/me/model"].refs if "pr" in ref] == ["refs/pr/1"]


def test_retry_after_is_waited_for(hub: LoopbackHub, client: Client, saved_run: Path) -> None:
    hub.fail(COMMIT, 429, times=1, Retry_After="1")
    assert client.command("push", saved_run, "--repo", "me/model")[0] == 0
    assert client.waits == [1.0]


@pytest.mark.parametrize(
    ("status", "requests", "says"),
    [
        (401, 1, "hf auth login"),
        (403, 1, "may not write to me/model"),
        (409, 1, "create_pr"),
        (412, 1, "has changed meanwhile"),
        (429, 4, "fewer requests (4 attempts)"),
        (500, 4, "error 500, 4 attempts"),
        (None, 4, "connection to the Hub broke"),
    ],
)
def test_a_lasting_fault_ends_in_one_sentence(
    hub: LoopbackHub,
    client: Client,
    saved_run: Path,
    status: int | None,
    requests: int,
    says: str,
) -> None:
    before = {path: path.read_bytes() for path in saved_run.rglob("*") if path.is_file()}
    hub.fail(COMMIT, status)
    message = refused(client, saved_run, "--repo", "me/model")
    assert says in message
    assert f"nlp-adapt push {saved_run} --repo me/model" in message
    assert hub.count(COMMIT) == requests
    assert {path: path.read_bytes() for path in saved_run.rglob("*") if path.is_file()} == before
    assert hub.repos["models/me/model"].history == ["initial commit"]


def test_somebody_elses_commit_meanwhile_is_a_conflict(
    pushed: tuple[LoopbackHub, Path], client: Client
) -> None:
    hub, run = pushed
    repo = hub.repos["models/me/model"]
    (run / "model" / "config.json").write_text("{}")
    theirs = {**repo.files, "notes.md": b"mine"}
    hub.meanwhile = (
        "POST .*/preupload/",
        lambda: repo.add("main", "theirs", theirs, repo.refs["main"]),
    )
    assert "has changed meanwhile" in refused(client, run, "--repo", "me/model")
    assert repo.history[0] == "theirs"


def test_a_name_of_somebody_else_is_refused_at_once(
    hub: LoopbackHub, client: Client, saved_run: Path
) -> None:
    assert "may not write to you/model" in refused(client, saved_run, "--repo", "you/model")
    assert hub.count("POST /api/repos/create") == 1


def test_metadata_that_the_hub_refuses(hub: LoopbackHub, client: Client, saved_run: Path) -> None:
    card = saved_run / "model" / "README.md"
    card.write_text("---\nlicense: my own\n---\n" + card.read_text().split("---\n", 2)[2])
    assert "Invalid metadata in README.md" in refused(client, saved_run, "--repo", "me/model")
    assert hub.repos["models/me/model"].history == ["initial commit"]


def test_offline_is_said_at_once(client: Client, hub: LoopbackHub, saved_run: Path) -> None:
    program = (
        "from huggingface_hub import constants\n"
        "constants.HF_HUB_OFFLINE = True\n"
        "import nlp_adapt.hub.push\n"
        "try:\n"
        f"    nlp_adapt.hub.push.push_run({str(saved_run)!r}, 'me/model')\n"
        "except nlp_adapt.hub.push.HubError as error:\n"
        "    answer = str(error)\n"
        "constants.HF_HUB_OFFLINE = False\n"
    )
    assert "offline" in client.program(program)
    assert hub.requests == []


@pytest.mark.parametrize("name", ["a/b/c", "me/../x", "me/mod el", "https://u:hf_x@y/z", ""])
def test_bad_repository_names(saved_run: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"repository"):
        push_run(saved_run, name)


def test_a_pull_request_against_a_branch_is_refused(saved_run: Path) -> None:
    with pytest.raises(ConfigError, match="leave out revision"):
        push_run(saved_run, "me/model", create_pr=True, revision="v2")


@pytest.mark.parametrize("base", ["/opt/models/encoder", "../encoder", None])
def test_adapters_on_a_local_base_are_refused(saved_run: Path, base: str | None) -> None:
    config = saved_run / "model" / "adapter_config.json"
    config.write_text(json.dumps({"base_model_name_or_path": base}))
    results = json.loads((saved_run / "results.json").read_text())
    (saved_run / "results.json").write_text(json.dumps({**results, "model": "builtin:tiny"}))
    with pytest.raises(ConfigError, match=r"adapters on builtin:tiny.*add --merge_lora"):
        push_run(saved_run, "me/model")


def test_a_plain_model_has_nothing_to_merge(saved_run: Path) -> None:
    with pytest.raises(ConfigError, match="leave out --merge_lora"):
        push_run(saved_run, "me/model", merge_lora=True)


@pytest.mark.parametrize("missing", ["results.json", "model"])
def test_an_unfinished_run_is_refused(saved_run: Path, missing: str) -> None:
    (saved_run / missing).rename(saved_run / "elsewhere")
    with pytest.raises(RunError, match="no finished run"):
        push_run(saved_run, "me/model")


def test_pages_with_rows_and_pictures_stay_here(
    hub: LoopbackHub, client: Client, saved_run: Path
) -> None:
    for name in ("report.html", "report-with-examples.html", "tagged.html"):
        (saved_run / name).write_text("a row of the user's", encoding="utf-8")
    (saved_run / "adaptation" / "adapted.plots.json").write_text("{}", encoding="utf-8")
    code, _, err = client.command("push", saved_run, "--repo", "me/model")
    assert code == 0, err
    files = hub.repos["models/me/model"].files
    assert not [name for name in files if name.endswith(".html") or "plots" in name]
    assert not [name for name, content in files.items() if b"a row of the user's" in content]
