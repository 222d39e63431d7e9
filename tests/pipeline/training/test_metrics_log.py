from pathlib import Path

from avkd.pipeline.run_dir import RunDir
from avkd.pipeline.training.metrics_log import cut_lines, open_metrics, read_metrics


def record(update: int) -> dict[str, object]:
    return {"update": update, "epoch": 0, "loss": 1.0 / update, "parts": {"kl/a": 0.5}}


def read_scalars(folder: Path) -> dict[str, list[int]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [e.step for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    run = RunDir(path=tmp_path)
    with open_metrics(run, 0) as log:
        for update in range(1, 4):
            log.write(record(update))
    assert read_metrics(run.metrics_file) == [record(1), record(2), record(3)]


def test_tensorboard_gets_losses_and_their_parts(tmp_path: Path) -> None:
    run = RunDir(path=tmp_path)
    with open_metrics(run, 0) as log:
        log.write(record(1))
        log.write(record(2))
        log.write({"update": 2, "epoch": 0, "validation_loss": 3.0})
    scalars = read_scalars(run.tensorboard)
    assert scalars["loss"] == [1, 2]
    assert scalars["parts/kl/a"] == [1, 2]
    assert scalars["validation_loss"] == [2]


def test_a_resumed_log_drops_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    run = RunDir(path=tmp_path)
    for first, last in ((0, 6), (3, 5)):
        with open_metrics(run, first) as log:
            for update in range(first + 1, last + 1):
                log.write(record(update))
    assert [line["update"] for line in read_metrics(run.metrics_file)] == [1, 2, 3, 4, 5]


def test_a_torn_last_line_is_dropped(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"update": 1}\n{"update": 2}\n{"upd')
    assert read_metrics(file) == [{"update": 1}, {"update": 2}]
    cut_lines(file, 2)
    assert file.read_text() == '{"update": 1}\n{"update": 2}\n'


def test_lines_are_on_disk_soon(tmp_path: Path) -> None:
    run = RunDir(path=tmp_path)
    with open_metrics(run, 0) as log:
        for update in range(1, 60):
            log.write(record(update))
        assert len(read_metrics(run.metrics_file)) >= 50
