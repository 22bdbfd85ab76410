"""Pushing a finished run to the Hub: one commit, of files that are saved locally first."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import nlp_adapt
from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import AdaptationError, ConfigError, RunError
from nlp_adapt.escaping import redact
from nlp_adapt.files import Manifest
from nlp_adapt.hub.errors import CONFLICT, asked_wait, explain, hub_errors, may_succeed, status
from nlp_adapt.hub.files import Content, is_replaced, model_to_push, name_in_card, run_files
from nlp_adapt.reporting.card_metadata import looks_like_hub_id

Result = TypeVar("Result")

MAIN = "main"


class HubError(AdaptationError):
    """The Hub refused or could not be reached; everything is still saved locally."""


@dataclass(frozen=True)
class Retry:
    """How often, and after how many seconds, a request that may yet succeed is repeated."""

    attempts: int = 5
    first_wait: float = 1.0
    longest_wait: float = 60.0


DEFAULT_RETRY = Retry()


def push_run(
    run: str | Path,
    repo_id: str | None,
    *,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str = "Add adapted model",
    merge_lora: bool = False,
    token: str | None = None,
    retry: Retry | None = None,
) -> str:
    """Upload a run as one commit: the plain model at the root, the rest under `adaptation/`.

    The commit is pinned to the state of the branch at the start, so that two pushes at once cannot
    mix. Too many requests (429), errors of the Hub (5xx) and broken connections are tried again, a
    refusal (401, 403) is not.

    Args:
        run: Folder of a finished run.
        repo_id: Repository, such as `me/my-model`; made where there is none.
        private: Create the repository as private; one that exists must be private already.
        revision: Branch to commit to; made where there is none.
        create_pr: Open a pull request instead of committing.
        commit_message: First line of the commit.
        merge_lora: Push a plain model with the run's adapters merged in, instead of the adapters.
        token: Access token; default: the one of `hf auth login` or `HF_TOKEN`.
        retry: Limits of the repetitions.

    Returns:
        URL of the commit or pull request.

    Raises:
        ConfigError: If no repository is named, the options contradict each other, or the run holds
            adapters on a base model that only this machine has.
        RunError: If the run is not complete.
        HubError: If the Hub refuses or cannot be reached; the local files are untouched.
    """
    from huggingface_hub import HfApi

    _check(repo_id, revision, create_pr)
    assert repo_id is not None
    folder = Path(run)
    _check_run(folder)
    api = HfApi(token=token, library_name="nlp-adapt", library_version=nlp_adapt.__version__)
    push = _Push(api, retry or DEFAULT_RETRY, repo_id, private, revision or MAIN, create_pr)
    try:
        with model_to_push(folder, merge_lora) as model:
            return push.send(run_files(folder, model), commit_message)
    except HubError as error:
        reason = str(error)
    except hub_errors() as error:
        reason = explain(error, repo_id, push.retry.attempts)
    again = f"nlp-adapt push {folder} --repo {repo_id}" + (" --merge_lora" if merge_lora else "")
    raise HubError(
        f"{repo_id}: the push failed, {reason}. The run is saved in {folder}; `{again}` tries again."
    )


def _check_run(folder: Path) -> None:
    """Refuse a folder without a finished run, or with one that is not as it was written."""
    if not (folder / "model").is_dir() or not (folder / "results.json").is_file():
        raise RunError(f"{folder}: holds no finished run to push; train first.")
    manifest = Manifest(folder)
    pushed = (folder / "model", folder / "results.json")
    if manifest.path.exists() and (problems := manifest.problems(*pushed)):
        raise RunError(f"{problems[0]} What was not trained here is not pushed as if it were.")


def check_push(config: AdaptationConfig, model: str) -> None:
    """Refuse before training a push of `model`, as the user named it, that could not succeed.

    Raises:
        HubError: If there is no access token on this machine.
        ConfigError: If adapters would be pushed whose base model only this machine has.
    """
    from huggingface_hub import get_token

    if not get_token():
        raise HubError(
            "push_to_hub is set, but there is no access token here: log in with `hf auth login`, "
            "or set HF_TOKEN."
        )
    if config.lora and not config.merge_lora and not looks_like_hub_id(model):
        raise ConfigError(
            f"push_to_hub: adapters on {model} would be of no use to others, who do not have that "
            "model: set merge_lora to push a plain model, or start from a model of the Hub."
        )


@dataclass
class _Push:
    """One push: a repository, a branch, a commit."""

    api: Any
    retry: Retry
    repo_id: str
    private: bool
    revision: str
    create_pr: bool

    def send(self, files: dict[str, Content], message: str) -> str:
        """Make the repository and the branch where there are none, commit, and give the URL."""
        private = True if self.private else None
        made = self._repeat(
            lambda: self.api.create_repo(self.repo_id, private=private, exist_ok=True)
        )
        self.repo_id = made.repo_id  # with the owner, where the user left it out
        if self.revision != MAIN and not self.revision.startswith("refs/"):
            self._repeat(
                lambda: self.api.create_branch(self.repo_id, branch=self.revision, exist_ok=True)
            )
        if "README.md" in files:
            files["README.md"] = name_in_card(files["README.md"], self.repo_id)
        info = self._repeat(lambda: self.api.repo_info(self.repo_id, revision=self.revision))
        if self.private and not info.private:
            raise HubError(
                f"because {self.repo_id} exists and is public: make it private in its settings, "
                "choose another name, or leave out private"
            )
        there = [file.rfilename for file in info.siblings or ()]
        stale = [name for name in there if is_replaced(name) and name not in files]
        # A commit whose answer was lost is found again: the files that arrived are skipped, and
        # with none left the client returns that commit. A pull request would be opened twice.
        commit = self._repeat(
            lambda: self._commit(files, stale, message, info.sha), connection=not self.create_pr
        )
        return str(commit.pr_url or commit.commit_url)

    def _commit(
        self, files: dict[str, Content], stale: list[str], message: str, parent: str
    ) -> Any:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        additions = [
            CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
            for name, content in files.items()
        ]
        try:
            return self.api.create_commit(
                self.repo_id,
                [*additions, *(CommitOperationDelete(path_in_repo=name) for name in stale)],
                commit_message=message,
                revision=self.revision,
                create_pr=self.create_pr,
                parent_commit=parent,
            )
        except hub_errors() as error:
            if status(error) not in CONFLICT or not stale or self.create_pr:
                raise
        # After a lost answer the files are gone already, and only what was added can be compared.
        return self._commit(files, [], message, parent)

    def _repeat(self, call: Callable[[], Result], *, connection: bool = True) -> Result:
        """Call until it succeeds, fails for good, or has failed too often."""
        wait = self.retry.first_wait
        for attempt in range(1, self.retry.attempts + 1):
            try:
                return call()
            except hub_errors() as error:
                if not may_succeed(error, connection) or attempt == self.retry.attempts:
                    raise
                time.sleep(min(asked_wait(error) or wait, self.retry.longest_wait))
                wait *= 2
        raise AssertionError("attempts is below 1")


def _check(repo_id: str | None, revision: str | None, create_pr: bool) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    if not repo_id:
        raise ConfigError("hub_model_id is missing: name a repository such as me/my-model.")
    try:
        validate_repo_id(repo_id)
    except HFValidationError:
        raise ConfigError(
            f"'{redact(repo_id)}' is not a repository's name: write owner/name with letters, "
            "digits, '-', '_' and '.'."
        ) from None
    if create_pr and revision not in (None, MAIN):
        raise ConfigError("create_pr opens a pull request against main: leave out revision.")
