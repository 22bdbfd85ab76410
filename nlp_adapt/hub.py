"""Pushing a finished run to the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nlp_adapt.errors import AdaptationError, ConfigError, RunError


class HubError(AdaptationError):
    """The Hub refused or could not be reached; everything is still saved locally."""


def push_run(
    run: str | Path,
    repo_id: str | None,
    *,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str = "Add adapted model",
    token: str | None = None,
) -> str:
    """Upload a run as one commit: the plain model at the root, the rest under `adaptation/`.

    Args:
        run: The run folder, already saved.
        repo_id: Repository, such as `me/my-model`.
        private: Create the repository as private.
        revision: Branch to commit to.
        create_pr: Open a pull request instead of committing.
        commit_message: First line of the commit.
        token: Access token; default: the one of `hf auth login` or `HF_TOKEN`.

    Returns:
        URL of the commit.

    Raises:
        ConfigError: If no repository is named.
        RunError: If the run is not complete.
        HubError: If the Hub refuses or cannot be reached; the local files are untouched.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    if not repo_id:
        raise ConfigError("hub_model_id is missing: name a repository such as me/my-model.")
    folder = Path(run)
    if not (folder / "model" / "config.json").is_file():
        raise RunError(f"{folder}: holds no finished model to push; train first.")
    operations = [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=path)
        for name, path in _files(folder).items()
    ]
    api = HfApi(token=token)
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        commit = api.create_commit(
            repo_id,
            operations,
            commit_message=commit_message,
            revision=revision,
            create_pr=create_pr,
        )
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise HubError(
            f"{repo_id}: the push failed ({_first_line(error)}); "
            f"the model is saved in {folder / 'model'}."
        ) from error
    return str(commit.pr_url or commit.commit_url)


def _files(folder: Path) -> dict[str, Path]:
    """What goes to the repository: path there -> local file."""
    files = {path.name: path for path in sorted((folder / "model").iterdir()) if path.is_file()}
    extra = [folder / "results.json", folder / "recipe.yaml"]
    extra += sorted((folder / "adaptation").glob("*.safetensors"))
    files.update({f"adaptation/{path.name}": path for path in extra if path.is_file()})
    return files


def _first_line(error: Any) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
