"""A process that exports checkpoints, one after another, so that a server stays quick and a training run is not slowed.

It reads lines of JSON, [checkpoint, output], and answers each with null, or with what is wrong in one line. It ends
with its input, so that it never outlives the server.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from wavenet.errors import CheckpointError, WaveNetError

NICENESS = 10


class Worker:
    """The server's end: starts the process when it is first needed, and again if it died."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._closed = False

    async def export(self, checkpoint: Path) -> bytes:
        """A checkpoint as an exported file. Raises CheckpointError, in the words of `wavenet-export`, if it cannot."""
        async with self._turn:
            with tempfile.TemporaryDirectory(prefix="wavenet-") as folder:
                output = Path(folder, "model.wavenet")
                answer = await self._ask([str(checkpoint.absolute()), str(output)])
                if answer is not None:
                    raise CheckpointError(answer)
                return output.read_bytes()

    async def _ask(self, question: list[str]) -> str | None:
        if self._closed:
            raise CheckpointError("the server is ending")
        if self._process is None or self._process.returncode is not None:
            command = [sys.executable, "-P", "-m", "wavenet.web.worker"]  # -P: nothing is imported from this folder
            pipes: dict[str, Any] = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
            self._process = await asyncio.create_subprocess_exec(*command, **pipes, start_new_session=True)
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with contextlib.suppress(ConnectionError):  # it has died, and the answer is empty
            stdin.write(json.dumps(question).encode() + b"\n")
            await stdin.drain()
        answer = await stdout.readline()
        if not answer:
            status = await self._process.wait()
            raise CheckpointError(f"the process that exports {question[0]} has ended (status {status})")
        return json.loads(answer)

    async def close(self) -> None:
        self._closed = True
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library prints is not taken for an answer
    import torch

    from wavenet.voice import load

    torch.set_num_threads(1)
    for line in sys.stdin:
        checkpoint, output = json.loads(line)
        try:
            load(checkpoint).export(output)
            answer = None
        except WaveNetError as error:
            answer = str(error)
        except Exception:
            traceback.print_exc()
            answer = f"{checkpoint} could not be exported: the terminal of the server says why"
        try:
            os.write(answers, json.dumps(answer).encode() + b"\n")
        except BrokenPipeError:  # the server has ended
            return


if __name__ == "__main__":
    main()
