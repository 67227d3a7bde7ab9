"""wavenet-generate --voices: lists the voices that come with wavenet."""

from wavenet.cli.display import Display
from wavenet.model import shipped


def job() -> None:
    with Display() as display:
        for voice in shipped.voices():
            size = voice.path.stat().st_size / 1e6
            labels = "".join(f"; {label}: {', '.join(values)}" for label, values in voice.labels.items())
            display.say(f"{voice.name}: {voice.what}")
            display.say(f"  {voice.header['sample_rate']} Hz, {size:.1f} MB, {voice.licence}{labels}")
            display.say(f"  {voice.example}")
        display.say(f"The cards, with their data, licences and limits, are in {shipped.FOLDER}")
