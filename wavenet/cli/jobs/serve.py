"""wavenet-serve: serves a page that plays networks, or writes it as a folder."""

from wavenet.cli.display import Display
from wavenet.config import ServeConfig
from wavenet.errors import ConfigError, counted
from wavenet.files import expanded
from wavenet.model import shipped
from wavenet.web.listing import Listing
from wavenet.web.sources import Source, found


def job(config: ServeConfig, given: frozenset[str]) -> None:
    meant = [shipped.find(name) for name in config.checkpoint]
    for one in meant:
        found(one.path)  # raises if it holds nothing to play
    listing = Listing([one.path for one in meant], shipped_voices() if config.voices else [])
    if config.output is not None:
        write(listing, config.output)
        return
    try:
        from wavenet.web import server, serving
    except ModuleNotFoundError as error:
        raise ConfigError("wavenet-serve needs two packages more: pip install 'wavenet[serve]'") from error
    from wavenet.web.worker import Worker

    listener, worker = serving.listen(config.host, config.port, only="port" in given), Worker()
    port = listener.getsockname()[1]
    with Display() as display:
        for line in [line for one in meant for line in one.said]:
            display.say(line)
        if port != config.port and config.port:
            display.say(f"port {config.port} is in use, so the page is on port {port}")
        name, reachable = serving.reached_by(listener)
        display.offer("open in a browser, Ctrl-C ends it", f"http://{name}:{port}")
        if reachable:
            display.say("others on the network can reach it too; elsewhere browsers play sound only through https")
    serving.serve(server.make_app(listing, worker, config.host), worker, listener)


def write(listing: Listing, output: str) -> None:
    from wavenet.web import folder

    place = expanded(output)
    folder.check_empty(place)
    with Display() as display:
        count = folder.write(listing, place, display.say)
        display.say(f"wrote {place} with {counted(count, 'voice')}: copy it to any static web server that uses https")
        display.offer("try it", f"python -m http.server -d {place} 8000")


def shipped_voices() -> list[Source]:
    """The voices that come with wavenet."""
    return [Source(voice.path, voice.name, voice.licence) for voice in shipped.voices()]
