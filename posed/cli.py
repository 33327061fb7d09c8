"""The `posed` command: each subcommand is a few lines that call one module."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from posed import __version__
from posed.commands import complete
from posed.errors import ConfigError, ImageError, PosedError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Finds people and their poses on a Coral Edge TPU or a CPU, and publishes them over MQTT.",
    epilog="Exit status: 0 done; 1 a fault inside posed; 2 configuration or usage; 3 model; 4 camera, "
    "picture or recording; 5 engine; 6 broker; 7 the state folder is another daemon's.",
)
model_app = typer.Typer(no_args_is_help=True, help="List, inspect, download and export models.")
app.add_typer(model_app, name="model")
mqtt_app = typer.Typer(no_args_is_help=True, help="Manage what the broker keeps of a device.")
app.add_typer(mqtt_app, name="mqtt")

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="The configuration file, YAML.", show_default=False)
]
CameraOption = Annotated[
    str | None,
    typer.Option(
        "--camera",
        metavar="NAME",
        help="The camera's name in the configuration; may be left out where that has one camera.",
        show_default=False,
        autocompletion=complete.cameras,
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="A name of `posed model list`, or a .tflite.",
        show_default=False,
        autocompletion=complete.models,
    ),
]
StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        help="The daemon's state folder. Default: $XDG_STATE_HOME/posed, of a service its own.",
        show_default=False,
    ),
]


_INTERRUPTED = 130
"""A command ends with this status after Ctrl-C, as in shells."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"posed {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def run(config: ConfigOption = None, state: StateOption = None) -> None:
    """Run the daemon in the foreground; SIGTERM or Ctrl-C stops it, SIGHUP reads the configuration again."""
    from posed.commands.run import run_again_and_again
    from posed.log import start_log
    from posed.paths import with_state

    start_log("info")
    run_again_and_again(config, with_state(state))


@app.command("app", hidden=True)
def run_as_app(
    data: Annotated[Path, typer.Option(help="The app's folder, with options.json.")] = Path("/data"),
    config: Annotated[Path, typer.Option(help="The folder of the owner's posed.yaml.")] = Path("/config"),
    supervisor: Annotated[str, typer.Option(help="The Supervisor's API.")] = "http://supervisor",
    made: Annotated[Path, typer.Option(help="The configuration is written here.")] = Path(
        "/run/posed/posed.yaml"
    ),
) -> None:
    """Run the daemon as an app of Home Assistant, whose Supervisor has its options and its broker."""
    from posed.commands import app as as_app
    from posed.log import start_log

    start_log("info")
    as_app.run_app(data, config, supervisor, made)


@app.command()
def check(config: ConfigOption = None, state: StateOption = None) -> None:
    """Check a configuration, and list every problem in it and in what requests changed."""
    from posed.config import load
    from posed.paths import overlay_file, with_state
    from posed.service.check import check as check_config

    to_do = check_config(load(config, overlay=overlay_file(with_state(state))))
    typer.echo(f"{config or 'the default configuration'}: good")
    if to_do:
        typer.echo(to_do)


@app.command()
def health(state: StateOption = None) -> None:
    """Say whether the daemon makes progress: for health checks of containers. Exit status: 0 yes, 1 no.

    Frames, a device that is waited for, and a pause are progress. Takes no time, and connects to nothing.
    """
    from posed.commands import health as quick

    raise typer.Exit(quick.show_health(state))


@app.command()
def setup(
    config: ConfigOption = None,
    device: Annotated[str | None, typer.Option(help="This device's name.")] = None,
    broker: Annotated[str | None, typer.Option(metavar="HOST[:PORT]", help="The MQTT broker.")] = None,
    username: Annotated[str | None, typer.Option(help="The user name at the broker.")] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(help="A file whose first line is the password; or set POSED_MQTT__PASSWORD."),
    ] = None,
    tls: Annotated[
        bool | None, typer.Option("--tls/--no-tls", help="Connect to the broker with TLS.")
    ] = None,
    ca: Annotated[Path | None, typer.Option(help="The certificate authority to trust, a PEM file.")] = None,
    camera: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]KIND[:SOURCE]",
            help="picamera2, imx500, video:/dev/video0, …, a file or a URL; once for each camera. Alone, it "
            "is added to a configuration that is there, or changes the camera of that name.",
        ),
    ] = None,
    model: ModelOption = None,
    web: Annotated[
        str | None,
        typer.Option(
            metavar="local|network|off",
            help="Serve the live view to browsers on this machine, or in the network with a token.",
            autocompletion=complete.views,
        ),
    ] = None,
    pictures: Annotated[
        str | None,
        typer.Option(
            metavar="off|skeleton|blurred|full",
            help="What pictures show, in the live view and in snapshots.",
            autocompletion=complete.pictures,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing; take what is found.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing file; keep answers that fail their test.")
    ] = False,
) -> None:
    """Ask for broker, name, cameras and live view, test each answer, and write the configuration.

    A configuration that is there is kept, and a camera added to it or changed; --force makes it anew.
    """
    from posed.commands.setup.answers import Given
    from posed.commands.setup.dialog import setup as set_up
    from posed.log import start_log

    start_log("error")
    set_up(
        config,
        Given(
            device=device,
            broker=broker,
            username=username,
            password_file=password_file,
            tls=tls,
            ca=ca,
            cameras=tuple(camera or ()),
            model=model,
            web=web,
            pictures=pictures,
            yes=yes,
            force=force,
        ),
    )


@app.command()
def doctor(
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
) -> None:
    """Check everything that the daemon needs, and say what helps. Exit status: 0 ok, 1 warnings, 2 failures.

    Uses the service's configuration if there is one, and does not open devices that the service uses.
    """
    from posed.commands.doctor.examine import examine, show
    from posed.log import start_log
    from posed.paths import state_folder, with_state

    start_log("error")
    kept_in = None if state is None else state_folder(with_state(state))
    raise typer.Exit(show(list(examine(config, kept_in)), as_json=as_json))


@app.command()
def selftest(
    config: ConfigOption = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.md",
            help="Write a report to a new file that you can attach to an issue; it names nobody.",
            show_default=False,
        ),
    ] = None,
    unplug: Annotated[
        bool, typer.Option("--unplug/--no-unplug", help="Ask to pull out a Coral on USB.", show_default=False)
    ] = True,
) -> None:
    """Test a real Coral, processor and cameras: answers, speed, heat, unplugging, frames. Takes a minute.

    Answers to a bundled picture are held against known ones. The service must not run, which holds devices.
    Exit status: 0 nothing failed, 3 the model did, 4 a camera did, 5 an engine did.
    """
    _end_with_reader()
    from posed.commands import selftest as tests
    from posed.log import start_log

    start_log("error")
    raise typer.Exit(tests.run_selftest(config, report, unplug=unplug))


@app.command()
def detect(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Pictures.")],
    model: ModelOption = None,
    one: Annotated[
        bool, typer.Option("--one", help="Assume that one person is in the picture; several become one body.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a `poses` message per picture.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|FOLDER",
            help="Write the picture with skeletons to this file, or several to this folder.",
            show_default=False,
        ),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="The lowest score that a pose may have, 0-1.")
    ] = None,
    max_people: Annotated[
        int | None, typer.Option(help="Find at most this many people in a picture.")
    ] = None,
) -> None:
    """Find the poses in pictures; needs no broker."""
    _end_with_reader()
    from posed.commands import report
    from posed.commands.detect import detect_in
    from posed.config import load
    from posed.log import start_log

    settings = load(
        None,
        options={
            "model.name": ("--model", model),
            "decode.people": ("--one", "one" if one else None),
            "decode.score_threshold": ("--threshold", threshold),
            "decode.max_people": ("--max-people", max_people),
        },
    )
    start_log("warning")
    unread = 0
    outputs = report.drawn_files(images, output)
    for sequence, detection in enumerate(detect_in(images, settings)):
        if isinstance(detection, ImageError):
            _complain(detection)
            unread += 1
            continue
        report.show_detection(detection, sequence, settings, as_json=as_json)
        if outputs:
            report.draw_detection(detection, outputs[sequence])
    if unread:
        raise typer.Exit(ImageError.exit_status)


@app.command()
def bench(
    config: ConfigOption = None,
    camera: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Measure this camera of --config alone.",
            show_default=False,
            autocompletion=complete.cameras,
        ),
    ] = None,
    model: ModelOption = None,
    engine: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="auto, edgetpu or cpu.", autocompletion=complete.engines),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the CPU engine.")] = None,
    seconds: Annotated[float, typer.Option(min=3, max=3600, help="How long to measure, s.")] = 10,
    fps: Annotated[
        float | None,
        typer.Option(
            min=0, max=240, help="Film drawn people at this rate, 1 or more; 0: as fast as the engine."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure every stage from camera to broker on this machine.

    Uses all cameras of --config, or drawn people; needs no broker and publishes to none.
    """
    _end_with_reader()
    _clean_up_when_ended()
    if fps is not None and 0 < fps < 1:  # would count as a camera that is lost, as camera.fps has it, too
        raise typer.BadParameter(f"must be 0, or at least 1, got {fps:g}", param_hint="'--fps'")
    from posed.commands.bench.machine import Memory

    memory = Memory()
    memory.note("Python, typer, pydantic")
    from posed.config import load
    from posed.log import start_log

    settings = load(
        config,
        options={
            "model.name": ("--model", model),
            "engine.kind": ("--engine", engine),
            "engine.threads": ("--threads", threads),
        },
    )
    memory.note("settings")
    start_log("warning")
    from posed.commands.bench.measure import measure

    drawn_fps = 0.0 if config is None and fps is None else fps
    figures = measure(settings, camera, memory, seconds, drawn_fps)
    from posed.commands.bench.show import show

    show(figures, as_json=as_json)


@model_app.command("list")
def model_list() -> None:
    """List the known models, and which of them are here."""
    _end_with_reader()
    from posed.commands import report

    report.show_catalogue()


@model_app.command("info")
def model_info(
    model: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A name of `posed model list`, or a .tflite.", autocompletion=complete.models
        ),
    ],
) -> None:
    """Show what a model holds."""
    _end_with_reader()
    from posed.commands import report
    from posed.networks.pair import load_pair

    report.show_model(load_pair(model))


@model_app.command("pull")
def model_pull(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="A name of `posed model list`.", autocompletion=complete.downloads
        ),
    ] = None,
) -> None:
    """Download a known model, for CPU and Edge TPU, or weights for export, and check them."""
    if model is None:
        raise typer.BadParameter("must be a name of `posed model list`, got none", param_hint="NAME")
    from posed.commands import report

    report.pull_with_progress(model)


@model_app.command("export")
def model_export(
    weights: Annotated[
        str,
        typer.Argument(
            metavar="WEIGHTS",
            help="A folder of Google's TF.js weights, or a known name.",
            autocompletion=complete.weights,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT.tflite", help="The .tflite to write.")
    ],
    stride: Annotated[int, typer.Option(help="Output stride: 8, 16 or 32 px.")] = 16,
    size: Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="Size of the input, px.")] = "481x353",
    quantize: Annotated[
        str, typer.Option(metavar="float32|uint8", help="Type of input and heads.")
    ] = "float32",
    calibrate: Annotated[
        Path | None, typer.Option(help="A folder of pictures like those the model will see; for uint8 only.")
    ] = None,
) -> None:
    """Make a .tflite of any stride, size and precision; needs TensorFlow, the extra `export`."""
    from posed.commands import report
    from posed.model.catalogue import locate_weights
    from posed.model.export import export_tfjs, parsed_precision, parsed_size

    made = export_tfjs(
        locate_weights(weights),
        stride=stride,
        size=parsed_size(size),
        quantize=parsed_precision(quantize),
        calibrate=calibrate,
        out=output,
    )
    _end_with_reader()  # not before: TensorFlow may have pipes of its own
    for line in made.lines():
        report.print_line(line)


@app.command()
def record(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT.jsonl", help="The recording to write.")
    ],
    config: ConfigOption = None,
    camera: CameraOption = None,
    seconds: Annotated[
        float | None,
        typer.Option(min=0.1, help="How long to record, s. Default: until Ctrl-C.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Record the poses that a running daemon decodes of one camera, without pictures; asks it over MQTT.

    They are raw: nobody is followed yet, no keypoint is smoothed. `posed replay` plays them.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # the usual end of a recording
        signal.signal(number, lambda *_: stopping.set())
    from posed.commands import report
    from posed.commands.record import record as write
    from posed.config import load
    from posed.log import start_log

    settings = load(config)
    start_log("warning")
    name = settings.chosen(camera)
    with report.record_progress() as show:
        written = write(
            settings, name, output, seconds=seconds, replace=force, show=show, stopped=stopping.is_set
        )
    if written is None:
        raise typer.Exit(_INTERRUPTED)
    report.show_recorded(output, written)


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording of `posed record`.")],
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", help="Use this file instead of the recorded settings; it names the broker, too."
        ),
    ] = None,
    camera: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Take this camera's settings in --config. Default: those of the recorded one, or of the "
            "only one.",
            show_default=False,
            autocompletion=complete.cameras,
        ),
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(
            min=0, help="How many times as fast as recorded; 0: at once. Default: 0, with --publish 1."
        ),
    ] = None,
    publish: Annotated[
        str | None,
        typer.Option(metavar="DEVICE", help="Also publish everything, as a new device of this name."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object per event.")] = False,
) -> None:
    """Play recorded poses through tracking, zones and events, and print the events.

    The same recording and settings give the same events at any speed.
    """
    _end_with_reader()
    _clean_up_when_ended()  # what was published is taken back
    if camera is not None and config is None:
        raise typer.BadParameter("needs --config, which has the cameras", param_hint="'--camera'")
    from contextlib import nullcontext

    from posed.commands import report
    from posed.commands.recording_file import lines_of, open_recording
    from posed.commands.replay import Numbered, begin, paced
    from posed.commands.replay import replay as play
    from posed.commands.replay_publisher import ReplayPublisher
    from posed.config import load
    from posed.log import start_log

    settings = load(config, options={"device": ("--publish", publish)})
    start_log("warning")
    with open_recording(file) as opened, report.replay_progress(file, opened) as show:
        recording = begin(lines_of(opened, str(file)), settings, camera, as_recorded=config is None)
        with ReplayPublisher(recording) if publish else nullcontext() as broker:
            numbered = Numbered(broker.report if broker else None)
            frames = play(recording, numbered)
            for played in paced(frames, (1.0 if publish else 0.0) if speed is None else speed):
                if broker:
                    broker.show(played)
                for number, event in numbered.take():
                    report.show_event(number, event, played.since_s, as_json=as_json)
                show(played)


@app.command()
def draw(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="A video file.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT.mp4", help="The video to write.")],
    config: ConfigOption = None,
    camera: CameraOption = None,
    model: ModelOption = None,
) -> None:
    """Write a video with skeletons, ids, postures and zones over it, without sound; needs no broker."""
    for name, level in (("OPENCV_LOG_LEVEL", "ERROR"), ("OPENCV_FFMPEG_LOGLEVEL", "-8")):
        os.environ.setdefault(name, level)  # we say in one line what is wrong with a video
    from posed.commands import report
    from posed.commands.draw import draw_video
    from posed.config import load
    from posed.log import start_log

    settings = load(config, options={"model.name": ("--model", model)})
    start_log("warning")
    name = settings.chosen(camera)
    with report.draw_progress(video) as show:
        frames = draw_video(video, output, settings, name, show)
    report.print_line(f"{output}: {frames} frames")


@app.command()
def schema(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="state, camera/poses, request/set, …; all if left out.",
            autocompletion=complete.schemas,
        ),
    ] = None,
) -> None:
    """Print the JSON Schema of a message."""
    _end_with_reader()
    import json

    from posed.messages import schemas

    if name is not None and name not in schemas.NAMES:
        raise typer.BadParameter(f"must be one of {', '.join(schemas.NAMES)}, got {name!r}")
    wanted = (
        {known: schemas.schema(known) for known in schemas.NAMES} if name is None else schemas.schema(name)
    )
    typer.echo(json.dumps(wanted, indent=2))


@mqtt_app.command("forget")
def mqtt_forget(
    config: ConfigOption = None,
    state: StateOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Forget it even while its daemon is online.")
    ] = False,
) -> None:
    """Remove the device from Home Assistant, and everything the broker keeps of it."""
    from posed.commands.forget import forget_device
    from posed.config import load
    from posed.log import start_log
    from posed.paths import overlay_file, with_state

    start_log("warning")
    environment = with_state(state)
    settings = load(config, overlay=overlay_file(environment))
    for topic in forget_device(settings, environment, force=force):
        typer.echo(f"emptied {topic}")


def _end_with_reader() -> None:
    """End as other filters do when nobody reads on (`posed detect … | head`)."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def _clean_up_when_ended() -> None:
    """Leave nothing behind where SIGTERM, or a terminal that is gone, ends a command; `nohup` keeps it."""
    for end in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(end) != signal.SIG_IGN:
            signal.signal(end, lambda number, _frame: sys.exit(128 + number))


def _complain(error: PosedError) -> None:
    from posed.log import in_journal, journal_lines

    lines = error.problems if isinstance(error, ConfigError) else [" ".join(str(error).split())]
    text = "\n".join(lines)
    shown = journal_lines(text, logging.ERROR) if in_journal() else text
    print(shown, file=sys.stderr)  # noqa: T201 the command's own output


def main() -> None:
    """Run a command; an expected failure is one line and an exit status, never a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # for files whose names are no text
    try:
        app()
    except PosedError as error:
        _complain(error)
        status = error.exit_status
    except KeyboardInterrupt:
        status = _INTERRUPTED
    except SystemExit as done:
        status = done.code if isinstance(done.code, int) else int(done.code is not None)
    except Exception:
        logging.getLogger(__name__).exception("a fault inside posed; please report it with these lines")
        status = PosedError.exit_status
    else:
        status = 0
    _leave(status)


def _leave(status: int) -> None:
    """End the process, at once if a thread still hangs in some device's library."""
    if threading.active_count() == 1:
        sys.exit(status)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
