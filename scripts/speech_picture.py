"""Draw what becomes of a text: its words and units in time, the mel spectrum, and the sound.

python scripts/speech_picture.py checkpoint=runs/voice text="Hello, world!" output=hello.png [sound=hello.flac]
    [seed=0] [temperature=0.8]
"""

import sys

import torch

from wavenet import audio
from wavenet.audio import plots
from wavenet.config import SpeakConfig
from wavenet.errors import WaveNetError
from wavenet.files import expanded
from wavenet.voice import load

DEFAULTS = {"checkpoint": "kathleen", "text": "", "output": "", "sound": "", "seed": "0", "temperature": "0.8"}


def main() -> None:
    given = {name: value for name, _, value in (setting.partition("=") for setting in sys.argv[1:])}
    if not set(given) <= set(DEFAULTS) or not {"text", "output"} <= set(given):
        sys.exit(__doc__)
    options = DEFAULTS | given
    try:
        voice = load(options["checkpoint"])
        config = SpeakConfig(text="", seed=int(options["seed"]), temperature=float(options["temperature"]))
        speaker = voice.speaker(config)
        [phrase] = speaker.phrases(options["text"])
        sound = torch.cat(list(phrase.sound))
        if options["sound"]:
            audio.write(expanded(options["sound"]), sound, voice.sample_rate)
    except WaveNetError as error:
        sys.exit(f"error: {error}")
    mel = phrase.frames[:, : speaker.acoustic.mels]
    moments = [(moment.start, moment.stop, moment.unit, moment.word) for moment in phrase.moments]
    figure = plots.speech(options["text"], sound, voice.sample_rate, mel, moments)
    plots.save(figure, expanded(options["output"]))


if __name__ == "__main__":
    main()
