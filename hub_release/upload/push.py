"""Upload a release to the Hub with its own client, `huggingface_hub`: the only file that writes to the network.

The token comes from the client's store or from the environment, never from an option, which would stay in the history
of a shell. A commit is whole or absent, so an interrupted push leaves the older state; the same command goes on.
"""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage]  # of whichever library the client speaks with
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from ... import __version__
from ..arguments import MAIN, PushArguments
from ..card.training_facts import CURVES_FILE
from ..contents import RECORD_FILES
from ..manifest import MANIFEST_FILE
from ..provenance import PROVENANCE_FILE
from ..sentence_modules import SENTENCE_FILES
from ..verification.verify import verify_release
from .plan import PushPlan, plan_push

logger = logging.getLogger(__name__)

# Files that the Hub itself puts into a new repository.
FILES_OF_THE_HUB = {".gitattributes", "README.md", "LICENSE"}
# Removed from the repository where the release no longer has them: they describe the old weights, or another kind.
STALE_FILES = (
    *("*.safetensors", "*_chinese_modernbert.py", "onnx/*"),
    *(*RECORD_FILES, PROVENANCE_FILE, CURVES_FILE),
    *SENTENCE_FILES,
)
REASONS = {
    401: "the Hub does not accept the token; run `hf auth login`, or set HF_TOKEN to a valid one",
    403: "the token may not write there; use one with write rights for this owner",
    404: "not found; check the names of repository and revision",
    409: "it conflicts with what is there",
    413: "the Hub takes no files of this size",
    429: "too many requests; wait some minutes and run the same command again",
}


def push_release(args: PushArguments) -> str:
    """Upload a release, or say what would be uploaded.

    Args:
        args: see `PushArguments`

    Returns:
        What was sent and where it is; for a dry run the list of files.

    Raises:
        FileNotFoundError: Where the folder, or on the Hub the repository, is missing.
        FileExistsError: For a repository of other content or other visibility, or a tag that exists.
        PermissionError: Without a token, or where it has no right to write.
        ConnectionError: Where the Hub does not answer.
        ValueError: For a folder that is no release, holds a secret, or fails its verification.
    """
    plan = plan_push(args.model)
    for name in plan.left_out:
        logger.info("stays here, no part of a release: %s", name)
    if args.dry_run:
        _verify(args)
        return f"{plan.listing()}\nnothing was sent; without --dry_run they go to {args.repo_id}, {args.revision}"
    api = HfApi(library_name="chinese-modernbert", library_version=__version__)
    with _plain_errors(args.repo_id, api.endpoint):
        repo_id = _check_target(api, args)
    _verify(args)  # after the Hub was asked: minutes for a large model, lost if the token is wrong
    with _plain_errors(repo_id, api.endpoint):
        return _upload(api, args, repo_id, plan)


def _verify(args: PushArguments) -> None:
    """Run the verification unless it is switched off.

    Raises:
        ValueError: With the failed checks.
    """
    if not args.verify:
        logger.info("not verified, as asked for")
        return
    logger.info("verifying in a fresh process without this package")
    report = verify_release(args.model)
    if not report.is_ok:
        faults = "; ".join(f"{check.name}: {check.detail}" for check in report.failed)
        raise ValueError(f"{args.model} fails its verification ({faults}); mend it, or push it with --no_verify")


def _check_target(api: HfApi, args: PushArguments) -> str:
    """Ask the Hub who we are and what is there; return the full name of the repository.

    Raises:
        FileExistsError: For other content, other visibility or a tag that exists.
    """
    user = str(api.whoami()["name"])
    repo_id = args.repo_id if "/" in args.repo_id else f"{user}/{args.repo_id}"
    try:
        info = api.model_info(repo_id)
    except RepositoryNotFoundError:
        return repo_id
    if bool(info.private) == args.public:
        now, option = ("private", "leave out --public") if info.private else ("public", "add --public to write there")
        raise FileExistsError(f"{repo_id} exists and is {now}; {option}, change that on the Hub, or take another name")
    names = {sibling.rfilename for sibling in info.siblings or []}
    if names - FILES_OF_THE_HUB and MANIFEST_FILE not in names and not args.overwrite:
        raise FileExistsError(f"{repo_id} exists and holds no release; take another name, or add --overwrite")
    if args.tag and args.tag in {known.name for known in api.list_repo_refs(repo_id).tags}:
        raise FileExistsError(f"{repo_id} has the tag {args.tag} already; give another")
    return repo_id


def _upload(api: HfApi, args: PushArguments, repo_id: str, plan: PushPlan) -> str:
    """Make repository and branch where they are missing, send the files, set the tag."""
    api.create_repo(repo_id, private=not args.public, exist_ok=True)
    if args.revision != MAIN:
        api.create_branch(repo_id, branch=args.revision, exist_ok=True)
    commit = api.upload_folder(
        repo_id=repo_id,
        folder_path=plan.folder,
        revision=args.revision,
        commit_message=args.message or f"Release by chinese-modernbert {__version__}",
        allow_patterns=[glob.escape(name) for name in plan.sizes],
        delete_patterns=list(STALE_FILES),
    )
    if args.tag:
        api.create_tag(repo_id, tag=args.tag, revision=commit.oid)
    tagged = f", tag {args.tag}" if args.tag else ""
    sent = f"{len(plan.sizes)} files, {plan.total:,} bytes, {args.revision} at {commit.oid[:8]}{tagged}"
    return f"pushed {sent}: {api.endpoint}/{repo_id}"


@contextmanager
def _plain_errors(repo_id: str, endpoint: str) -> Iterator[None]:
    """Turn what the client raises, of many lines, into one line that says what to do."""
    try:
        yield
    except (FileExistsError, FileNotFoundError):
        raise
    except LocalTokenNotFoundError:
        raise PermissionError("no token of the Hub here; run `hf auth login`, or set HF_TOKEN") from None
    except OfflineModeIsEnabled:
        raise ConnectionError("HF_HUB_OFFLINE is set, so nothing can be sent; unset it") from None
    except (HTTPError, OSError, RuntimeError) as error:
        answer = _answer_of_the_hub(error)
        if answer is not None:
            raise answer_error(answer, repo_id) from error
        cause = f"{type(error).__name__}: {error}"
        raise ConnectionError(f"no answer from {endpoint} ({cause}); the same command goes on from here") from error


def _answer_of_the_hub(error: BaseException | None) -> HfHubHTTPError | None:
    """Return the answer that an error came from; the client wraps those of single files."""
    while error is not None and not isinstance(error, HfHubHTTPError):
        error = error.__cause__
    return error


def answer_error(answer: HfHubHTTPError, repo_id: str) -> OSError:
    """Return the error for an answer with a status of 400 or more."""
    status = answer.response.status_code
    reason = REASONS.get(status, "the same command goes on from here" if status >= 500 else "the request was refused")
    message = f" ({answer.server_message})" if answer.server_message else ""
    kind = {401: PermissionError, 403: PermissionError, 404: FileNotFoundError, 409: FileExistsError}
    return kind.get(status, ConnectionError)(f"{repo_id}: the Hub answered {status}: {reason}{message}")
