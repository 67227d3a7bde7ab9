"""The text of --help: examples, and every setting with its default and its docstring in `wavenet.config`."""

import textwrap

from wavenet.config import settings

INDENT = 6 * " "
LISTING = ", --voices (list the voices that come with wavenet)"
EXAMPLES = {
    "train": """Learn the sounds of a folder of recordings.

  wavenet-train data.dir=~/recordings
  wavenet-train data.dir=~/recordings model=large optim.lr=0.01 steps=50000
  wavenet-train data.dir=~/recordings data.labels=[folder]
  wavenet-train data.dir=~/recordings experiment=vocoder
  wavenet-train data.dir=~/recordings experiment=speech data.language=en-us
  wavenet-train data.dir=~/recordings init=kathleen minutes=5
  wavenet-train resume=runs/2026-01-31_12-00-00
  wavenet-train --multirun optim.lr=0.005,0.01,0.02 data.dir=~/recordings
""",
    "generate": """Make new sounds with a trained model.

  wavenet-generate
  wavenet-generate --voices
  wavenet-generate checkpoint=prompts label.speaker=june
  wavenet-generate checkpoint=runs/2026-01-31_12-00-00 seconds=30 count=4
  wavenet-generate checkpoint=model.safetensors prime=intro.wav temperature=0.9 seed=7 output=more.flac
  wavenet-generate checkpoint=model.safetensors prime=loop.wav keep_prime=true seconds=8
  wavenet-generate checkpoint=model.safetensors seconds=60 output=- | aplay -f S16_LE -r 16000
  wavenet-generate checkpoint=runs/speakers label.speaker=june guidance=2
  wavenet-generate checkpoint=runs/vocoder features=recording.wav
""",
    "speak": """Say a text with a voice that was trained to speak.

  wavenet-speak text="Hello, world!"
  wavenet-train experiment=speech data.dir=~/recordings run.dir=runs/voice
  wavenet-speak checkpoint=runs/voice text="Hello, world!" output=hello.wav
  wavenet-speak checkpoint=runs/voice text=@story.txt output=story.flac rate=1.1 timings=story.csv
  wavenet-speak checkpoint=runs/voice text="Hello!" output=- | aplay -f S16_LE -r 16000
""",
    "evaluate": """Measure how well a model predicts a folder of recordings, in bits per sample.

  wavenet-evaluate checkpoint=runs/2026-01-31_12-00-00 data.dir=~/held-out
""",
    "recognise": """Write down what is said and when, with a model that was trained with data.frames.

  wavenet-train experiment=phones data.dir=~/recordings run.dir=runs/phones
  wavenet-recognise checkpoint=runs/phones data.dir=~/recordings split=valid report=figures.json
  wavenet-recognise checkpoint=runs/phones data.dir=~/others output=others.csv
""",
    "align": """Write down which letter or phone is heard when, from recordings and their texts alone.

  wavenet-align data.dir=~/recordings
  wavenet-align data.dir=~/recordings data.language=en-us output=phones.csv report=figures.json
""",
    "cache": """List the prepared audio of folders of recordings, or remove it.

  wavenet-cache
  wavenet-cache remove=~/recordings
  wavenet-cache unused_days=30
""",
    "compare": """Compare runs: figures, settings that differ, and curves over steps and over minutes.

  wavenet-compare runs/*
  wavenet-compare runs/sweep output=sweep
  wavenet-compare runs/one runs/two report=figures.json
""",
    "export": """Write a trained model as one file that plays without Python.

  wavenet-export checkpoint=runs/2026-01-31_12-00-00 output=voice.wavenet
  wavenet-generate checkpoint=voice.wavenet seconds=30
""",
    "serve": """Play networks in a browser, also those that are still training.

  wavenet-serve
  wavenet-serve runs/mine
  wavenet-serve runs voices=false port=9000
  wavenet-serve runs/mine output=page
""",
}


def describe(command: str, schema: type, groups: dict[str, list[str]]) -> str:
    """The whole help text of a command with the settings of `schema`; `groups` are the available presets."""
    lines = [EXAMPLES[command], "Any setting can be given as name=value.\n"]
    if command == "train":
        sections = {setting.name.partition(".")[0] for setting in settings(schema)}
        used = {name: options for name, options in groups.items() if name == "experiment" or name in sections}
        lines += ["Presets:", *(f"  {name}={'|'.join(options)}" for name, options in used.items()), ""]
    lines.append("Settings:")
    for setting in settings(schema):
        lines.append(f"  {setting.name} ({setting.shown})")
        lines.append(textwrap.fill(setting.docstring, 100, initial_indent=INDENT, subsequent_indent=INDENT))
    lines.append(
        "\nFlags: --multirun (a sweep: a,b,c in a value), --cfg job (show the settings), --config-dir (your presets),\n"
        f"--version{LISTING * (command in ('generate', 'speak'))}."
    )
    return "\n".join(lines) + "\n"
