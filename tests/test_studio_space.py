"""A Space of the studio: its Dockerfile copies what is there, installs what is declared, and starts what answers."""

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
import venv
from contextlib import contextmanager
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
    program = f"{shlex.quote(sys.executable)} -m anomgen"
    with started(space, tmp_path, program, PYTHONPATH=str(space)) as ask:
        assert b"photos" in ask("/api/start")


@pytest.mark.slow
def test_the_environment_of_the_dockerfile_is_built_and_shows_rows(space, tmp_path):
    """A fresh environment, with what the image installs in its order and nothing else; needs a package index."""
    image = tmp_path / "image"
    shutil.copytree(space, image)
    venv.create(tmp_path / "env", with_pip=True)
    own = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    for step, words in steps(image):
        if step == "RUN" and words.startswith("pip"):
            program = [str(tmp_path / "env" / "bin" / "python"), "-m", *shlex.split(words)]
            done = subprocess.run(program, cwd=image, env=own, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    shutil.rmtree(image / "anomgen")  # what runs is what was installed
    with started(image, tmp_path, shlex.quote(str(tmp_path / "env" / "bin" / "anomgen"))) as ask:
        assert b"<title>anomgen studio</title>" in ask("/")
        told = json.loads(ask("/api/recipe", {"base": "defects", "changes": {}}))
        rows = json.loads(ask("/api/rows", {"id": told["id"], "count": 2}))["rows"]
        assert [row["defect_type"] for row in rows] and not any("error" in row for row in rows)
        assert ask(f"/row/{told['id']}/{rows[0]['index']}/image.png").startswith(b"\x89PNG")


@contextmanager
def started(folder, tmp_path, program, **variables):
    """Run the Dockerfile's command with a program in place of `anomgen`; give a function that asks what it serves."""
    (command,) = [words for step, words in steps(folder) if step == "CMD"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = command.replace(str(PORT), str(port)).replace("/tmp/anomgen-out", shlex.quote(str(tmp_path / "out")))
    own = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment = {**own, "SPACE_HOST": "me-demo.hf.space", **variables}
    words = ["sh", "-c", command.replace("anomgen studio", f"exec {program} studio", 1)]
    headers = {"Host": "me-demo.hf.space", "Origin": "https://me-demo.hf.space"}

    def ask(path, question=None):
        data = None if question is None else json.dumps(question).encode()
        return answer_of(urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers))

    with subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.PIPE) as server:
        try:
            yield ask
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
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").symlink_to(tmp_path / "secret")
    with pytest.raises(UsageError, match=r"a\.png: is a link; a Space shows files of the folder itself"):
        write_space(tmp_path / "new", str(tmp_path / "photos"))
