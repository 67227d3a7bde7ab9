"""Makes a voice that comes with wavenet again, by the commands on its card.

    python scripts/make_voice.py piano

Runs the commands under "How it was made" of wavenet/voices/NAME.md in the current folder, where the recordings must lie
under the name that they have there. The last one writes NAME.safetensors.
"""

import re
import shlex
import subprocess
import sys

from wavenet.model import shipped

COMMANDS = re.compile(r"^ *(wavenet-\w+ .+)$", re.MULTILINE)
BLOCK = re.compile(r"\*\*How it was made\.\*\*.*?```text\n(.*?)```", re.DOTALL)


def commands(card: str) -> list[list[str]]:
    """The commands on a card, as lists of words."""
    block = BLOCK.search(card)
    return [shlex.split(line) for line in COMMANDS.findall(block[1])] if block else []


def main() -> None:
    names = {voice.name: voice for voice in shipped.voices()}
    if len(sys.argv) != 2 or sys.argv[1] not in names:
        sys.exit(f"{__doc__}\nThe voices are {', '.join(names)}.")
    for program, *arguments in commands(names[sys.argv[1]].card[1]):
        print(shlex.join([program, *arguments]), flush=True)
        module = program.replace("wavenet-", "wavenet.cli.")
        subprocess.run([sys.executable, "-m", module, *arguments], check=True)


if __name__ == "__main__":
    main()
