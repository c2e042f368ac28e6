"""Runs a graph on this machine and writes its record."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import tempfile
import traceback
from collections.abc import Callable, Sequence

from components.pair_example_gen.files import is_remote
from components.pusher.destination import open_versions, refuse_foreign
from errors import ConfigError, DataRefused, KindredError, ModelRefused, RootError
from pipeline.config import PipelineConfig
from pipeline.records.metadata_backup import restore_if_damaged
from pipeline.records.progress import marked_alive
from pipeline.records.record_file import RecordFile
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder
from pipeline.records.run_record import EXIT_CODES, RunRecord
from pipeline.records.stored.session import Session
from pipeline.running import temporary
from pipeline.running.closing import close
from pipeline.running.console import RunConsole, redirect_output
from pipeline.running.options import RunOptions
from pipeline.running.stopping import Stop, stoppable
from storage.disk import full_disk, require, size_in_words

# The database and its copy, a model twice, a report and a log: what the smallest run surely needs, and what is enough.
_LEAST_ROOM, _USUAL_ROOM = 2_000_000, 6_000_000
# Of a run with 400,000 rows of 100,000 entities: bytes in examples, and files with the tables of the model.
_EACH_ROW, _COPIES = 30, 4
_COUNTS = (("rows",), ("left_entities", "right_entities"))


@dataclasses.dataclass(frozen=True)
class RunOutcome:
    """The result of a run, and the location of its record.

    Attributes:
      record: the record.
      exit_code: of the run.
      folder: its folder.
      not_stored: why the object store of the root lacks the results, or None.
    """

    record: RunRecord
    exit_code: int
    folder: RunFolder
    not_stored: str | None = None


def run(
    config: PipelineConfig, root: Root, options: RunOptions, write_report: Callable[[RunFolder], object]
) -> RunOutcome:
    """Runs the graph of a pipeline file on this machine.

    A failure ends the run with an exit code and a reason in the record. It raises no exception. The record is always
    written.

    Args:
      config: the pipeline file.
      root: where the state of the run is stored.
      options: of this run.
      write_report: writes the report of the finished run.

    Raises:
      RootError: the root cannot be used.
      StoreError, StoreUnavailable: the object store of the root cannot be read. Nothing has run.
      DiskFull: a disk has no room even for the smallest run.
    """
    late: list[Callable[[Stop], None]] = []  # writes the record of a run that a library does not let end

    def conclude(stop: Stop) -> None:
        for write in late:
            write(stop)

    for directory in written_to(config, root):
        require(directory, _LEAST_ROOM, "runs, even of small data,")
    # Signals are handled before there is a run, so that each run that a signal ends has a record of that.
    with (
        stoppable(conclude if options.owns_process else None) as stop,
        root.locked(stores=False) as session,
        _temporary(options) as remove_temporary,
    ):
        run_id = root.new_run()
        folder = RunFolder(root.runs / run_id)
        record = RunRecord.begin(config, run_id)
        file = RecordFile(record, folder)
        with marked_alive(folder), redirect_output(folder.log) as terminal:
            console = RunConsole(terminal, options.quiet)
            late.append(functools.partial(_give_up, record, console, file, remove_temporary))
            if session and session.finding:
                console.say(f"    warning: {session.finding}", "yellow")
            try:
                file.save()
                exit_code = _execute(config, root, options, record, console, file.save, stop)
            finally:
                file.finish()
            late.clear()
            if file.fault:
                console.say(f"    warning: {folder.summary} could not be written: {file.fault.strerror}", "yellow")
            exit_code = _close(config, root, record, exit_code, console, write_report, stop)
            # An interrupted run leaves quickly. The same command resumes it here, and stores it then.
            fault = _store(session, console) if session and not stop.reason() else None
    if fault is None:
        return RunOutcome(record, exit_code, folder)
    stored_code = stop.exit_code if stop.reason() else fault.exit_code
    return RunOutcome(record, exit_code or stored_code, folder, str(fault))


def _temporary(options: RunOptions) -> contextlib.AbstractContextManager[Callable[[], None]]:
    """Returns the temporary folder of a run. A process with other threads keeps its own, for their files."""
    return temporary.own_folder() if options.owns_process else contextlib.nullcontext(lambda: None)


def _give_up(
    record: RunRecord, console: RunConsole, file: RecordFile, remove_temporary: Callable[[], None], stop: Stop
) -> None:
    """Records and prints that the run was stopped. The process ends at once."""
    record.error = stop.reason()
    file.finish()
    remove_temporary()
    console.say(f"\nFailed after {record.seconds:.1f} s (exit code {stop.exit_code})\n{record.error}")


def _close(
    config: PipelineConfig,
    root: Root,
    record: RunRecord,
    exit_code: int,
    console: RunConsole,
    write_report: Callable[[RunFolder], object],
    stop: Stop,
) -> int:
    """Does what follows the nodes. Returns the exit code, which is that of the signal if one arrives meanwhile."""
    stopped = stop.reason() is not None
    try:
        close(config, root, record, exit_code, console, None if stopped else write_report)
    except KeyboardInterrupt:
        console.say("Stopped after the last component. The record is complete. `kindred report` writes the report")
        return stop.exit_code
    return exit_code


def _execute(
    config: PipelineConfig,
    root: Root,
    options: RunOptions,
    record: RunRecord,
    console: RunConsole,
    save: Callable[[], None],
    stop: Stop,
) -> int:
    """Runs every node and returns the exit code.

    Writes the reason of a failure to `record`, and its traceback to the log.
    """
    try:
        console.say(f"{config.name}: {config.data.path} -> {root}")
        check_destination(config, root)
        if restored := restore_if_damaged(root.metadata, root.artifacts):
            console.say(f"    warning: {restored}. Runs since then are not in it", "yellow")
        # Importing TFX takes seconds and prints a lot. The log is open and the terminal shows the reason by now.
        with console.component("starting TFX"):
            from pipeline.running import orchestrator
        orchestrator.run_nodes(config, root, options, record, console, save)
    except (Exception, KeyboardInterrupt) as error:
        # Some libraries raise another exception when they are interrupted.
        if reason := stop.reason():
            record.error = reason
            return stop.exit_code
        with contextlib.suppress(OSError):  # the disk of the log may be full
            traceback.print_exc()
        return judge(error, record, written_to(config, root))
    return EXIT_CODES[record.status]


def check_destination(config: PipelineConfig, root: Root) -> None:
    """Refuses a destination that the Pusher would refuse, before the work. The Pusher checks again.

    Raises:
      ConfigError: publishing there would mix with, or remove, the work of others.
      StoreError, StoreUnavailable: a store refuses a request, cannot be reached, or fails.
    """
    refuse_foreign(open_versions(root.serving(config), config.name, config.storage), config.name)


def _store(session: Session, console: RunConsole) -> KindredError | None:
    """Makes the results of the run the newest state of the root in its store. Returns what went wrong, if anything."""
    try:
        with console.component(f"storing the results in {session.url}"):
            session.commit()
    except KindredError as error:
        return error
    except (OSError, KeyboardInterrupt) as error:
        traceback.print_exc()
        return RootError(str(error) or "interrupted")
    return None


def written_to(config: PipelineConfig, root: Root) -> list[str]:
    """Returns the local directories that a run writes to."""
    directories = [str(root.path), tempfile.gettempdir()]
    with contextlib.suppress(ConfigError):  # the run reports it
        directories += [path for path in [root.serving(config)] if not is_remote(path)]
    return directories


def _usual_need(record: RunRecord) -> str:
    """Returns how much a run of this data needs about, or nothing before the data are read."""
    rows, entities = (sum(record.data.get(key, 0) for key in keys) for keys in _COUNTS)
    if not rows:
        return ""
    tables = 4 * entities * (record.config["model"]["dimension"] + 1)
    size = _EACH_ROW * rows + _COPIES * tables + _USUAL_ROOM
    return f". A run of {rows:,} rows needs about {size_in_words(size)}"


def judge(error: BaseException, record: RunRecord, directories: Sequence[str] = ()) -> int:
    """Sets the status and the reason of a run that `error` ended, and returns its exit code.

    Args:
      error: what ended the run.
      record: the record of the run.
      directories: local directories that the run wrote to. A full disk of them is the reason.
    """
    if isinstance(error, DataRefused):
        record.status = "data_refused"
        record.data.update({name: value for name, value in error.facts.items() if value is not None})
    elif isinstance(error, ModelRefused):
        record.status = "model_refused"
        record.replay = dict(error.replay) if error.replay else record.replay
    if isinstance(error, KindredError):
        record.error = str(error)
        return error.exit_code
    if full := full_disk(error, directories):
        next_step = "Free space there, or use another disk, and rerun the command to resume"
        record.error = f"{full}{_usual_need(record)}. {next_step}"
        return 1
    record.error = (
        f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}".rstrip()
    )
    return 1
