"""Programs of wavenet/csrc without Python: its own tests, plain and under sanitizers, and the installed library."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import soundfile

CSRC = Path(__file__).parents[1] / "wavenet" / "csrc"
FILES = Path(__file__).parent / "files"
PAGE = Path(__file__).parents[1] / "docs" / "player.md"


def passes(*command) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failures" in done.stdout


def sanitized(kinds: str) -> list[str]:
    flags = f"-O1 -g -fsanitize={kinds} -fno-sanitize-recover=undefined"
    return ["-DCMAKE_BUILD_TYPE=None", f"-DCMAKE_CXX_FLAGS={flags}"]


def test_the_c_interface(built):
    passes(built / "interface_test")


def test_the_header_is_c99_and_the_page_uses_it_well(tmp_path):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    snippets = "".join(re.findall(r"^```c\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE))
    around = '#include "wavenet.h"\nint main(void) {{ char error[99]; float sound[1024];\n{} return (int)missing; }}\n'
    (tmp_path / "it.c").write_text(around.format(snippets))
    strict = ["-std=c99", "-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    subprocess.run([compiler, *strict, "-I", CSRC, tmp_path / "it.c"], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("kinds", ["thread", "address,undefined"])
def test_the_c_interface_under_sanitizers(build, tmp_path, kinds):
    """Settings from three threads while another renders: no race, and no access outside."""
    program = build(tmp_path, ["interface_test"], ["-DONLY_PORTABLE=ON", *sanitized(kinds)])
    for seed in range(3):
        passes(program, str(seed))


@pytest.mark.slow
def test_the_synchronous_part_needs_no_threads(tmp_path):
    for name in ("interface", "player"):
        command = ["c++", "-std=gnu++17", "-DWITHOUT_THREADS", "-c", CSRC / f"{name}.cpp", "-o", tmp_path / f"{name}.o"]
        subprocess.run(command, check=True)
    names = subprocess.run(["nm", "-C", tmp_path / "interface.o"], check=True, capture_output=True, text=True).stdout
    assert "wavenet_generate" in names
    assert "Runner" not in names


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pkg-config") is None, reason="pkg-config is not installed")
def test_a_program_in_c_plays_with_the_installed_library(build, tmp_path):
    """As docs/player.md says: cmake --install, then a compiler that asks pkg-config."""
    installed, example = tmp_path / "installed", CSRC / "examples" / "to_file.c"
    player = build(tmp_path / "build", ["wavenet-play", "wavenet"], [f"-DCMAKE_INSTALL_PREFIX={installed}"])
    subprocess.run(["cmake", "--install", player.parent], check=True, capture_output=True)
    (folder,) = (path.parent for path in installed.rglob("wavenet.pc"))
    environment = os.environ | {"PKG_CONFIG_PATH": str(folder), "LD_LIBRARY_PATH": str(folder.parent)}
    asked = ["pkg-config", "--cflags", "--libs", "wavenet"]
    flags = subprocess.run(asked, check=True, capture_output=True, text=True, env=environment).stdout.split()
    strict = ["-std=c99", "-pedantic-errors", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["cc", *strict, example, "-o", tmp_path / "to_file", *flags, "-lm"], check=True)
    assert len(example.read_text().splitlines()) < 60
    network, sound = FILES / "version_2_int8.wavenet", tmp_path / "made.wav"
    subprocess.run([tmp_path / "to_file", network, sound, "1.5"], check=True, env=environment)
    info = soundfile.info(sound)
    assert (info.samplerate, info.frames, info.channels, info.subtype) == (8000, 12000, 1, "PCM_16")
    assert soundfile.read(sound)[0].std() > 0.001
    for network, words in (
        ("gone.wavenet", "gone.wavenet does not exist"),
        (example, "this is not an exported WaveNet"),
    ):
        done = subprocess.run(
            [tmp_path / "to_file", network, sound, "1"], check=False, capture_output=True, env=environment
        )
        assert done.returncode == 1
        assert words in done.stderr.decode()
    play = [
        installed / "bin" / "wavenet-play",
        FILES / "version_2_int8.wavenet",
        tmp_path / "played.wav",
        "seconds=0.1",
    ]
    subprocess.run(play, check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(shutil.which, ["aarch64-linux-gnu-g++", "qemu-aarch64"])),
    reason="aarch64-linux-gnu-g++ or qemu-aarch64 is not installed (Debian: g++-aarch64-linux-gnu, qemu-user)",
)
def test_kernels_on_arm(build, tmp_path):
    cross = ["CMAKE_SYSTEM_NAME=Linux", "CMAKE_SYSTEM_PROCESSOR=aarch64", "CMAKE_CXX_COMPILER=aarch64-linux-gnu-g++"]
    options = [f"-D{option}" for option in [*cross, "CMAKE_EXE_LINKER_FLAGS=-static"]]
    program = build(tmp_path, ["kernel_test"], options)
    newest, graviton_2, raspberry_pi_4 = "i8mm dotprod neon portable", "dotprod neon portable", "neon portable"
    for cpu, rounds, sets in (("max", 1, newest), ("neoverse-n1", 0, graviton_2), ("cortex-a72", 0, raspberry_pi_4)):
        command = ["qemu-aarch64", "-cpu", cpu, program, str(rounds)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"on {sets}: 0 failures" in done.stdout


@pytest.mark.slow
def test_kernels_under_sanitizers(build, tmp_path):
    encoding = ["-DAVXVNNI_AS_AVX512VL=ON"]  # that of AVX-VNNI is tested with the installed kernels, where it runs
    passes(build(tmp_path, ["kernel_test"], [*encoding, *sanitized("address,undefined")]), "5")
