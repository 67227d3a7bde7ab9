"""wavenet-serve: serves a page that plays networks, or writes it as a folder."""

import re

from wavenet.cli.display import Display
from wavenet.config import ServeConfig
from wavenet.errors import ConfigError, counted
from wavenet.files import expanded
from wavenet.model import hub, shipped
from wavenet.web.listing import Listing
from wavenet.web.sources import Source, found


def job(config: ServeConfig, given: frozenset[str]) -> None:
    listing, remarks = listed(config)
    if config.output is not None:
        write(listing, config.output, remarks)
        return
    try:
        from wavenet.web import server, serving
    except ModuleNotFoundError as error:
        raise ConfigError("wavenet-serve needs two packages more: pip install 'wavenet[serve]'") from error
    from wavenet.web.worker import Worker

    listener, worker = serving.listen(config.host, config.port, only="port" in given), Worker()
    port = listener.getsockname()[1]
    with Display() as display:
        for line in remarks:
            display.say(line)
        if port != config.port and config.port:
            display.say(f"port {config.port} is in use, so the page is on port {port}")
        name, reachable = serving.reached_by(listener)
        display.offer("open in a browser, Ctrl-C ends it", f"http://{name}:{port}")
        if reachable:
            display.say("others on the network can reach it too; elsewhere browsers play sound only through https")
    serving.serve(server.make_app(listing, worker, config.host), worker, listener)


def write(listing: Listing, output: str, remarks: list[str]) -> None:
    from wavenet.web import folder

    place = expanded(output)
    folder.check_empty(place)
    with Display() as display:
        for line in remarks:
            display.say(line)
        count = folder.write(listing, place, display.say)
        display.say(f"wrote {place} with {counted(count, 'voice')}: copy it to any static web server that uses https")
        display.offer("try it", f"python -m http.server -d {place} 8000")


def listed(config: ServeConfig) -> tuple[Listing, list[str]]:
    """What was named, and the voices that come with wavenet; and remarks on names that could mean two things.

    Raises CheckpointError for a name of nothing to play.
    """
    named, fixed, remarks = [], [], []
    for name in config.checkpoint:
        path, said = shipped.find(name)
        remarks += said
        if hub.is_address(name):
            fixed.append(Source(path, re.sub("^hf:/+", "", name), "from the hub"))
        else:
            found(path)  # raises if it holds nothing
            named.append(path)
    if config.voices:
        fixed += [Source(one.path, one.name, f"{one.what} {one.licence}") for one in shipped.voices()]
    return Listing(named, fixed), remarks
