"""wavenet-cache: lists, checks and removes the prepared audio of folders of recordings."""

import os
import time

from wavenet.cli.display import Display, check_report, takes_stdout, write_report
from wavenet.config import CacheConfig
from wavenet.errors import AudioError, ConfigError, counted, some
from wavenet.recordings import cache
from wavenet.recordings.building import check
from wavenet.recordings.cache import DAY, Entry


def job(config: CacheConfig) -> None:
    if cache.is_address(config.cache_dir):
        raise ConfigError(
            f"cache_dir: {config.cache_dir} is not on this machine; leave it out to list its local copies, and use the "
            "tools of the store for the rest"
        )
    root = cache.root(config.cache_dir, "cache_dir")
    check_report(config.report)
    cache.sweep(root, unused_days=float("inf"))  # unfinished files that killed runs left
    kept = cache.entries(root)
    removed = []
    if config.remove is not None or config.unused_days is not None:
        wanted = chosen(kept, config.remove) if config.remove is not None else kept
        removed = [entry for entry in wanted if age(entry) >= (config.unused_days or 0) and cache.discard(entry.path)]
        kept = [entry for entry in kept if entry not in removed]
    damaged: dict[str, list[str]] = {}
    with Display(takes_stdout(config.report)) as display:
        for entry in kept:
            display.say(f"{in_words(entry)}  ({entry.path})")
            if config.check and not entry.is_older:
                damaged[str(entry.path)] = checked(entry)
                names = damaged[str(entry.path)]
                display.say(f"  damaged: {some(names)}; the next run reads them again" if names else "  checked: sound")
        for entry in removed:
            display.say(f"removed {in_words(entry)}")
        total = f"{root}: {counted(len(kept), 'folder')} of prepared audio, {in_bytes(sum(e.size for e in kept))}"
        hint = "; remove=all or remove=FOLDER removes it" if kept and not removed else ""
        display.say(f"{total}, each removed after {cache.UNUSED_DAYS} days without use{hint}" if kept else total)
    write_report(
        config.report,
        {
            "kept": [str(entry.path) for entry in kept],
            "bytes": sum(entry.size for entry in kept),
            "damaged": damaged,
            "removed": [str(entry.path) for entry in removed],
            "removed_bytes": sum(entry.size for entry in removed),
        },
    )


def checked(entry: Entry) -> list[str]:
    """The names of recordings whose prepared audio is damaged. Raises AudioError if the index cannot be written."""
    try:
        return check(entry.path)
    except OSError as error:
        raise AudioError(f"{entry.path} cannot be checked ({error.strerror or error})") from error


def chosen(kept: list[Entry], remove: str) -> list[Entry]:
    """The entries that `remove` means. Raises ConfigError if there are none."""
    if remove == "all":
        return kept
    place = os.path.realpath(os.path.expanduser(remove))
    found = [e for e in kept if place in (e.recordings, os.path.realpath(e.path)) or remove == e.path.name]
    if not found:
        raise ConfigError(
            f"remove: there is no prepared audio of {remove}; give all, or a folder that wavenet-cache lists"
        )
    return found


def age(entry: Entry) -> float:
    """Days since it was used."""
    return max(time.time() - entry.used, 0) / DAY


def in_words(entry: Entry) -> str:
    days = int(age(entry))
    used = "used today" if days < 1 else f"used {counted(days, 'day')} ago"
    return f"{in_bytes(entry.size)}, {used}: {entry.recordings or 'made by an older version'}"


def in_bytes(size: float) -> str:
    """1.2 GB, 3 MB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
