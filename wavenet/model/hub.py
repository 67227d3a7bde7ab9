"""Networks on the hub, huggingface.co: hf://owner/name, perhaps with @revision and the path of a file.

huggingface_hub, the extra `wavenet[hub]`, downloads into its own cache, and takes the file from there when there is no
network. A repository holds one checkpoint, model.safetensors, and its card, README.md (`wavenet.model.card`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavenet.errors import CheckpointError, ConfigError
from wavenet.model.card import card

if TYPE_CHECKING:
    from wavenet.model.checkpoint import Checkpoint

FILE = "model.safetensors"
ENDINGS = (".safetensors", ".wavenet")
ADDRESS = "hf://owner/name, hf://owner/name@revision or hf://owner/name/file.safetensors"
LOG_IN = "or log in with `hf auth login`"


def is_address(source: str | Path) -> bool:
    """Whether this is an address on the hub. A Path of one has lost a slash."""
    return str(source).startswith("hf:/")


def download(address: str | Path) -> Path:
    """The file that an address means, in the hub's cache.

    Without a file, it is model.safetensors, or the only checkpoint or exported file there is. Raises ConfigError if the
    address is none or huggingface_hub is not installed, CheckpointError if there is no such file or the hub cannot be
    reached.
    """
    hub, address = _hub(), re.sub("^hf:/+", "hf://", str(address))
    try:
        uri = hub.parse_hf_uri(address)
    except ValueError as error:
        raise ConfigError(f"{address} is no address of a model: write {ADDRESS}") from error
    if uri.type != "model":
        raise ConfigError(f"{address} is the address of a {uri.type}, not of a model: write {ADDRESS}")
    api = hub.HfApi(library_name="wavenet")

    def fetched(file: str, **how: Any) -> Path:
        return Path(api.hf_hub_download(uri.id, file, revision=uri.revision, **how))

    with _in_words(address):
        try:
            return fetched(uri.path_in_repo or FILE)
        except hub.errors.RemoteEntryNotFoundError:
            files = api.list_repo_files(uri.id, revision=uri.revision)
            if uri.path_in_repo:
                held = ", ".join(_playable(files)) or "no checkpoint"
                raise CheckpointError(f"{address} does not exist: the repository holds {held}") from None
        except hub.errors.LocalEntryNotFoundError:  # no network; the cache may hold it under another name
            folder = Path(api.snapshot_download(uri.id, revision=uri.revision, local_files_only=True))
            files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
            if uri.path_in_repo or not _playable(files):
                raise
            return fetched(_only(files, address), local_files_only=True)
        return fetched(_only(files, address))


def upload(
    repository: str, file: Path, loaded: Checkpoint, license: str, private: bool | None = None, token: str | None = None
) -> str:
    """Make a repository if there is none, and put a checkpoint's file and its card into it. Returns its address for a
    browser. What it held under their names stays in its history.

    The card is the .md file beside `loaded`, or else made from it. private: by default as the owner has set. token: by
    default that of `hf auth login`. Raises ConfigError for a name that cannot be, and if the license is empty or is not
    the card's; CheckpointError if the hub refuses or cannot be reached.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name := repository.removeprefix("hf://")):
        raise ConfigError(f"the repository is {repository!r}, but it must be owner/name")
    beside = loaded.path.with_suffix(".md")
    text = card(loaded, name, license, beside.read_text(encoding="utf-8") if beside.is_file() else None)
    hub = _hub()
    api = hub.HfApi(library_name="wavenet", token=token)
    with _in_words(f"hf://{name}"):
        made = api.create_repo(name, private=private, exist_ok=True)
        contents = {FILE: str(file), "README.md": text.encode()}
        operations = [hub.CommitOperationAdd(path, content) for path, content in contents.items()]
        api.create_commit(name, operations, commit_message="A checkpoint and its card, by wavenet")
    return str(made)


def _playable(files: Iterable[str]) -> list[str]:
    return sorted(file for file in files if file.endswith(ENDINGS))


def _only(files: Iterable[str], address: str) -> str:
    """The one file of a repository that can be loaded."""
    found = _playable(files)
    if len(found) == 1:
        return found[0]
    if not found:
        raise CheckpointError(f"{address} holds no checkpoint: none of its files ends in {' or '.join(ENDINGS)}")
    name = address.rstrip("/")
    raise CheckpointError(
        f"{address} holds several checkpoints ({', '.join(found)}): name one, as in {name}/{found[0]}"
    )


def _hub() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise ConfigError("hf:// and push_to_hub need huggingface_hub: pip install 'wavenet[hub]'") from error
    return huggingface_hub


@contextmanager
def _in_words(address: str) -> Iterator[None]:
    """Turn errors of huggingface_hub inside the block into CheckpointError."""
    errors = _hub().errors
    try:
        yield
    except errors.LocalEntryNotFoundError as error:
        why = "the hub cannot be reached, and the cache does not hold it: connect to the network"
        raise CheckpointError(f"{address}: {why}") from error
    except errors.GatedRepoError as error:
        raise CheckpointError(f"{address} asks for consent first: give it on the hub's page, {LOG_IN}") from error
    except errors.RepositoryNotFoundError as error:
        raise CheckpointError(f"{address} does not exist, or is not public: check the name, {LOG_IN}") from error
    except errors.RevisionNotFoundError as error:
        raise CheckpointError(f"{address} has no such revision: check the part after @") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        what = f"give a token, {LOG_IN}" if status in (401, 403) else "try again later"
        raise CheckpointError(f"{address}: the hub refuses (status {status}): {what}") from error
    except (errors.HTTPError, errors.OfflineModeIsEnabled) as error:  # the first is of the library below it
        what = "connect to the network, and unset HF_HUB_OFFLINE"
        raise CheckpointError(f"{address}: the hub cannot be reached: {what}") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{address}: {str(error).strip().splitlines()[0]}") from error
