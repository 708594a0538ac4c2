"""Record what an agent gets with the `file` exporter, then try policies on the recording."""

import gzip
import json
import os
import subprocess
import threading

import pytest
import yaml

from harness import agent as agent_module
from harness import checks
from harness.wait import until

EVERYTHING = [{"name": "everything", "type": "always_sample"}]
IMPORTANT = {"name": "important", "type": "string_attribute", "string_attribute": {"key": "task.priority", "values": ["critical", "high"]}}
ERRORS = {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}
FORMS = [{"format": "json"}, {"format": "proto"}, {"format": "json", "compression": "zstd"}, {"format": "proto", "compression": "zstd"}]


def _config(folder, name, policies):
    path = folder / name
    path.write_text(yaml.safe_dump({
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": "127.0.0.1:0"}}}},
        "processors": {"tail_sampling": {"policies": policies}},
        "exporters": {"nop": {}},
        "service": {"pipelines": {"traces": {"receivers": ["otlp"], "processors": ["tail_sampling"], "exporters": ["nop"]}}},
    }))
    return path


def _simulate(*arguments, ok=True, **more):
    command = [agent_module.binary(), "simulate", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, **more)
    assert (done.returncode == 0) == ok, done.stderr.decode()
    return done.stdout.decode(), done.stderr.decode()


def _record(start_agent, emitter, path, form):
    agent = start_agent({"file": {"path": str(path), "create_directory": True, **form}}, policies=EVERYTHING)
    sdk = emitter(agent, "grpc")
    tasks = {
        "important": [sdk.task(priority=priority) for priority in ("critical", "high", "critical")],
        "errors": [sdk.task(priority="low", failed=True) for _ in range(2)],
        "nothing": [sdk.task(priority="normal") for _ in range(4)],
    }
    sdk.flush()
    agent.stop()
    return tasks


@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(form.values()))
def test_what_was_recorded_is_decided_as_the_agent_would(start_agent, emitter, tmp_path, form):
    recording = tmp_path / "recordings" / "traces"
    tasks = _record(start_agent, emitter, recording, form)
    sent = sum(len(one.spans) for kind in tasks.values() for one in kind)
    new, old = _config(tmp_path, "new.yaml", [ERRORS]), _config(tmp_path, "old.yaml", [IMPORTANT, ERRORS])

    text, warnings = _simulate("--config", new, "--against", old, "--json", "--examples", 10, recording)
    assert warnings == ""
    report = json.loads(text)
    assert report["recording"]["spans"] == sent
    by_policy = {row["policy"]: row["traces"] for row in report["old"]["policies"]}
    assert by_policy == {"important": 3, "errors": 2}
    assert (report["new"]["kept"]["traces"], report["new"]["dropped"]["traces"]) == (2, 7)
    [change] = report["diff"]["newly_dropped_by_policy"]
    assert (change["kept_by"], change["dropped_because"]) == ("important", "no_policy_matched")
    assert {one["trace_id"] for one in change["examples"]} == {one.trace_id for one in tasks["important"]}
    example = change["examples"][0]
    assert example["root"] == "task.run" and example["evidence"].startswith("task.priority = ")
    assert report["diff"]["newly_kept"]["traces"] == 0

    # As the agent would have decided, from standard input and from a FIFO.
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    feeder = threading.Thread(target=lambda: fifo.write_bytes(recording.read_bytes()))
    feeder.start()
    through_fifo, _ = _simulate("--config", old, "--as-configured", "--json", fifo)
    feeder.join()
    piped, _ = _simulate("--config", old, "--as-configured", "--json", "-", input=recording.read_bytes())
    for text in (through_fifo, piped):
        assert json.loads(text)["new"]["kept"]["traces"] == 5


def test_recordings_compressed_as_a_whole_damaged_and_wrong_ones(start_agent, emitter, tmp_path):
    recording = tmp_path / "traces.json"
    tasks = _record(start_agent, emitter, recording, {})
    config = _config(tmp_path, "pipeline.yaml", [IMPORTANT])
    whole = recording.read_bytes()

    packed = tmp_path / "traces.json.gz"
    packed.write_bytes(gzip.compress(whole))
    text, _ = _simulate("--config", config, packed)
    assert "from 1 file" in text and "important" in text and "no_policy_matched" in text

    damaged = tmp_path / "damaged.json"
    damaged.write_bytes(b'{"resourceSpans": "no"}\n' + whole + b'{"resourceSpans": [{"scope')
    text, warnings = _simulate("--config", config, "--json", damaged)
    lines = warnings.splitlines()
    assert "damaged.json: line 1 (record 1, byte 0)" in lines[0] and "ends inside this record" in lines[1]
    assert json.loads(text)["recording"]["spans"] == sum(len(one.spans) for kind in tasks.values() for one in kind)

    for wrong, words in [(config, "this is no recording"), (tmp_path / "absent", "cannot read the recording"), (tmp_path, "is a folder")]:
        _, said = _simulate("--config", config, wrong, ok=False)
        assert str(wrong) in said and words in said, said
    empty = _config(tmp_path, "empty.yaml", [])
    _, said = _simulate("--config", empty, recording, ok=False)
    assert "empty.yaml:" in said and "policies" in said


def test_a_full_disk_costs_the_recording_and_nothing_else(start_agent, emitter, sink):
    full = {"path": "/dev/full", "rotation": None, "retry_on_failure": {"enabled": False}}
    agent = start_agent({**sink.exporters, "file": full}, policies=EVERYTHING)
    sdk = emitter(agent, "grpc")
    tasks = [sdk.task() for _ in range(5)]
    sdk.flush()
    for one in tasks:
        checks.arrives_whole(sink, one)
    spans = sum(len(one.spans) for one in tasks)
    until(lambda: agent.metric("otelcol_exporter_send_failed_spans", exporter="file") == spans, "what could not be written is counted")
    assert "No space left on device" in agent.log
