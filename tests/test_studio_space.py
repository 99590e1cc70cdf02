"""A Space of the studio: its Dockerfile copies what is there, installs what is declared, and starts what answers."""

import os
import shlex
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path

import pytest
import yaml

pytest.importorskip("starlette", reason="the studio is an extra")

from anomgen.errors import UsageError
from anomgen.studio.space import PORT, requirements, write_space


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    folder = tmp_path_factory.mktemp("space") / "it"
    write_space(folder)
    return folder


def steps(space):
    lines = (space / "Dockerfile").read_text().splitlines()
    return [tuple(line.split(" ", 1)) for line in lines]


def test_the_dockerfile_copies_what_is_there_and_installs_what_is_declared(space):
    names = [words.split()[0] for step, words in steps(space) if step == "COPY"]
    assert all((space / name).exists() for name in names) and steps(space)[0][0] == "FROM"
    installs = [shlex.split(words) for step, words in steps(space) if step == "RUN" and words.startswith("pip")]
    assert installs[0][-2:] == ["-r", "requirements.txt"] and installs[1][-2:] == ["--no-deps", "."]
    wanted = (space / "requirements.txt").read_text().split("\n")[:-1]
    declared = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    assert wanted == requirements() == sorted(declared["dependencies"] + declared["optional-dependencies"]["studio"])
    assert tomllib.loads((space / "pyproject.toml").read_text())["project"]["name"] == "anomgen"


def test_the_card_is_that_of_a_docker_space(space):
    front = yaml.safe_load((space / "README.md").read_text().split("---")[1])
    assert (front["sdk"], front["app_port"]) == ("docker", PORT)
    assert ("EXPOSE", str(PORT)) in steps(space)


def test_the_command_of_the_dockerfile_starts_a_studio_that_answers_everybody(space, tmp_path):
    """With the package that was copied, in the folder that the image has, on a port that is free here."""
    (command,) = [words for step, words in steps(space) if step == "CMD"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = command.replace(str(PORT), str(port)).replace("/tmp/anomgen-out", shlex.quote(str(tmp_path / "out")))
    program = command.replace("anomgen studio", f"exec {shlex.quote(sys.executable)} -m anomgen studio", 1)
    environment = {**os.environ, "SPACE_HOST": "me-demo.hf.space", "PYTHONPATH": str(space)}
    with subprocess.Popen(["sh", "-c", program], cwd=space, env=environment, stdout=subprocess.PIPE) as server:
        try:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/api/start", headers={"Host": "me-demo.hf.space"})
            assert b"photos" in answer_of(request)
        finally:
            server.terminate()


def answer_of(request):
    for _ in range(200):
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.read()
        except ConnectionError:
            time.sleep(0.1)
        except OSError as error:
            if not isinstance(getattr(error, "reason", None), ConnectionError):
                raise
            time.sleep(0.1)
    raise AssertionError("no answer")


def test_what_is_there_already_is_not_written_over(space, tmp_path):
    with pytest.raises(UsageError, match="is there already"):
        write_space(space)
    with pytest.raises(UsageError, match="a Space shows a folder"):
        write_space(tmp_path / "new", "builtin")
