"""Downloads, against a real HTTP server that behaves and misbehaves."""

from __future__ import annotations

import hashlib
import os
import random
import re
import resource
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from posed.errors import DownloadError, ModelError
from posed.model.catalogue import ModelFile
from posed.model.pull import ATTEMPTS, LIMIT_BYTES, Progress, pull

BODY = random.Random(353).randbytes(300_000)
HALF = len(BODY) // 2
ROOT = Path(__file__).resolve().parent.parent

DeliveryResult = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        answers = self.server.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def log_message(self, *_: object) -> None:
        pass

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()


class Server(ThreadingHTTPServer):
    """Gives its answers in turn, the last one for ever.

    Attributes:
        paths: what was asked for.
        released: set when a stalling answer may end.
    """

    daemon_threads = True
    scheme = "http"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[DeliveryResult] = [whole]
        self.paths: list[str] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}/net.tflite"

    def handle_error(self, *_: object) -> None:
        if not isinstance(sys.exception(), OSError):
            raise  # noqa: PLE0704 - called while an exception is handled; a client that hangs up is none


def whole(handler: Handler, body: bytes = BODY) -> None:
    """What a good server does."""
    handler.head(200, Content_Length=len(body))
    handler.wfile.write(body)


def truncated(handler: Handler, sent_bytes: int = HALF) -> None:
    handler.head(200, Content_Length=len(BODY))
    handler.wfile.write(BODY[:sent_bytes])


def truncated_without_length(handler: Handler) -> None:
    handler.head(200)
    handler.wfile.write(BODY[:HALF])


def truncated_chunks(handler: Handler) -> None:
    handler.protocol_version = "HTTP/1.1"
    handler.head(200, Transfer_Encoding="chunked")
    handler.wfile.write(b"%x\r\n%b\r\n" % (HALF, BODY[:HALF]))
    handler.close_connection = True


def endless(handler: Handler) -> None:
    handler.head(200)
    while True:
        handler.wfile.write(BODY)


def stalled(handler: Handler) -> None:
    truncated(handler)
    handler.wfile.flush()
    handler.server.released.wait()


def silent(handler: Handler) -> None:
    handler.server.released.wait()


def status(code: int) -> DeliveryResult:
    return lambda handler: handler.head(code, Content_Length=0)


def redirect(url: str) -> DeliveryResult:
    return lambda handler: handler.head(302, Location=url, Content_Length=0)


@contextmanager
def running(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with running(Server()) as server:
        yield server


@pytest.fixture
def file(server: Server) -> ModelFile:
    return ModelFile("net.tflite", server.url, hashlib.sha256(BODY).hexdigest(), len(BODY))


@pytest.fixture
def unsized(file: ModelFile) -> ModelFile:
    return replace(file, size_bytes=None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


get = partial(pull, pause_s=0, timeout_s=5)


def failure(file: ModelFile, folder: Path, progress: Progress = lambda *_: None, **settings: float) -> str:
    """The reason of a download that must fail; the rest of the line is checked."""
    with pytest.raises(DownloadError) as caught:
        get(file, folder, progress, **settings)
    start, _, reason = str(caught.value).partition(" from 127.0.0.1: ")
    assert start == "net.tflite: cannot be downloaded"
    assert reason.isprintable()
    return reason


def left_in(folder: Path) -> dict[str, int]:
    """What is in the folder, with sizes."""
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def test_a_file_is_downloaded_under_its_name_and_nothing_else(file: ModelFile, folder: Path) -> None:
    assert get(file, folder).read_bytes() == BODY
    assert left_in(folder) == {"net.tflite": len(BODY)}


def test_a_file_of_unknown_size_is_downloaded(unsized: ModelFile, folder: Path) -> None:
    assert get(unsized, folder).read_bytes() == BODY


def test_progress_goes_from_nothing_to_all(file: ModelFile, folder: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    get(file, folder, lambda done, total: seen.append((done, total)))
    assert (seen[0], seen[-1]) == ((0, len(BODY)), (len(BODY), len(BODY)))
    assert seen == sorted(seen)


def test_a_total_that_nobody_knows_is_none(server: Server, unsized: ModelFile, folder: Path) -> None:
    server.answers = [lambda handler: (handler.head(200), handler.wfile.write(BODY))[0]]
    totals: set[int | None] = set()
    get(unsized, folder, lambda _, total: totals.add(total))
    assert totals == {None}


def test_a_file_that_is_there_is_not_downloaded(server: Server, file: ModelFile, folder: Path) -> None:
    get(file, folder)
    assert get(file, folder) == folder / "net.tflite"
    assert len(server.paths) == 1


def test_a_damaged_file_is_replaced(file: ModelFile, folder: Path) -> None:
    folder.mkdir()
    (folder / "net.tflite").write_bytes(BODY[:-1] + b"?")
    assert get(file, folder).read_bytes() == BODY


@pytest.mark.parametrize("broken", [truncated, truncated_without_length, truncated_chunks])
def test_a_truncated_body_is_asked_for_again(
    broken: DeliveryResult, server: Server, file: ModelFile, folder: Path
) -> None:
    server.answers = [broken, whole]
    assert get(file, folder).read_bytes() == BODY
    assert len(server.paths) == 2


def test_a_body_that_is_always_truncated_ends_in_one_line(
    server: Server, file: ModelFile, folder: Path
) -> None:
    server.answers = [truncated]
    assert failure(file, folder) == (
        f"the connection broke off after {HALF} of {len(BODY)} bytes; gave up after {ATTEMPTS} attempts"
    )
    assert len(server.paths) == ATTEMPTS
    assert left_in(folder) == {}


def test_a_body_that_ends_before_its_first_byte_leaves_nothing(
    server: Server, file: ModelFile, folder: Path
) -> None:
    server.answers = [partial(truncated, sent_bytes=0)]
    assert "broke off after 0 of" in failure(file, folder)
    assert left_in(folder) == {}


@pytest.mark.parametrize("body", [b"?" + BODY[1:], b"<html>please log in</html>", b""])
def test_a_wrong_body_ends_in_one_line_and_leaves_nothing(
    body: bytes, server: Server, file: ModelFile, folder: Path
) -> None:
    server.answers = [partial(whole, body=body)]
    came = hashlib.sha256(body).hexdigest()
    assert failure(file, folder) == (
        f"got something other than the file (SHA-256 {came}, must be {file.sha256})"
    )
    assert len(server.paths) == 1
    assert left_in(folder) == {}


def test_a_wrong_body_does_not_replace_a_file(server: Server, file: ModelFile, folder: Path) -> None:
    folder.mkdir()
    (folder / "net.tflite").write_bytes(b"older")
    server.answers = [partial(whole, body=b"wrong")]
    failure(file, folder)
    assert left_in(folder) == {"net.tflite": 5}


def test_a_body_longer_than_the_file_is_refused(server: Server, file: ModelFile, folder: Path) -> None:
    server.answers = [partial(whole, body=BODY + b"more")]
    assert failure(file, folder) == f"must be at most {len(BODY)} bytes, got {len(BODY) + 4} or more"
    assert left_in(folder) == {}


def test_an_endless_body_is_cut_off_at_the_known_size(server: Server, file: ModelFile, folder: Path) -> None:
    server.answers = [endless]
    assert failure(file, folder).startswith(f"must be at most {len(BODY)} bytes, got ")
    assert left_in(folder) == {}


def test_an_endless_body_is_cut_off_at_the_limit(server: Server, unsized: ModelFile, folder: Path) -> None:
    server.answers = [endless]
    assert failure(unsized, folder).startswith(f"must be at most {LIMIT_BYTES} bytes, got ")
    assert left_in(folder) == {}


def test_a_stall_is_noticed_and_asked_again(server: Server, file: ModelFile, folder: Path) -> None:
    server.answers = [stalled, whole]
    assert get(file, folder, timeout_s=0.2).read_bytes() == BODY
    assert len(server.paths) == 2


def test_a_server_that_always_stalls_ends_in_one_line(server: Server, file: ModelFile, folder: Path) -> None:
    server.answers = [stalled]
    assert failure(file, folder, timeout_s=0.1) == (
        f"nothing came for 0.1 s; gave up after {ATTEMPTS} attempts"
    )
    assert left_in(folder) == {}


def test_a_server_that_never_answers_ends_in_one_line(server: Server, file: ModelFile, folder: Path) -> None:
    server.answers = [silent]
    assert failure(file, folder, timeout_s=0.1) == "nothing came for 0.1 s"
    assert left_in(folder) == {}


def test_a_redirect_is_followed(server: Server, file: ModelFile, folder: Path) -> None:
    server.answers = [redirect("/elsewhere"), whole]
    assert get(file, folder).read_bytes() == BODY
    assert server.paths == ["/net.tflite", "/elsewhere"]


def test_a_redirect_loop_ends_in_one_line(server: Server, file: ModelFile, folder: Path) -> None:
    server.answers = [redirect(server.url)]
    assert failure(file, folder) == "the server answered 302 Found"
    assert left_in(folder) == {}


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///etc/hostname", "the server answered 302 Found"),
        ("http://127.0.0.1:port/", "nonnumeric port"),
        (f"http://{'a' * 64}.invalid/", "label"),
    ],
)
def test_a_redirect_to_something_else_is_refused(
    url: str, reason: str, server: Server, file: ModelFile, folder: Path
) -> None:
    server.answers = [redirect(url)]
    assert reason in failure(file, folder)
    assert left_in(folder) == {}


@pytest.mark.parametrize(
    ("code", "phrase"), [(204, "No Content"), (404, "Not Found"), (416, None), (503, "Service Unavailable")]
)
def test_an_error_status_ends_in_one_line(
    code: int, phrase: str | None, server: Server, file: ModelFile, folder: Path
) -> None:
    server.answers = [status(code)]
    reason = failure(file, folder)
    assert reason.startswith(f"the server answered {code} {phrase or ''}")
    assert left_in(folder) == {}


def test_the_words_of_a_server_do_not_reach_the_terminal(
    server: Server, file: ModelFile, folder: Path
) -> None:
    server.answers = [lambda handler: handler.wfile.write(b"\x1b[2J\x07 gibberish\r\n\r\n")]
    assert "gibberish" in failure(file, folder)  # which checks that the line is printable


def test_a_server_that_hangs_up_ends_in_one_line(server: Server, file: ModelFile, folder: Path) -> None:
    server.answers = [lambda _: None]
    assert failure(file, folder) == "Remote end closed connection without response"
    assert left_in(folder) == {}


def test_a_refused_connection_ends_in_one_line(file: ModelFile, folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening: nobody else gets the port
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/net.tflite"
        assert failure(replace(file, url=url), folder) == "Connection refused"
    assert left_in(folder) == {}


def test_a_name_without_an_address_ends_in_one_line(file: ModelFile, folder: Path) -> None:
    with pytest.raises(DownloadError, match=r"from posed\.invalid: its name cannot be looked up: \w"):
        get(replace(file, url="http://posed.invalid/net.tflite"), folder)
    assert left_in(folder) == {}


def test_the_proxy_of_the_environment_is_used(
    server: Server, file: ModelFile, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    get(replace(file, url="http://posed.invalid/net.tflite"), folder)
    assert server.paths == ["http://posed.invalid/net.tflite"]


def test_a_server_that_speaks_no_tls_ends_in_one_line(file: ModelFile, folder: Path) -> None:
    assert "SSL" in failure(replace(file, url=file.url.replace("http:", "https:")), folder)
    assert left_in(folder) == {}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate and key of 127.0.0.1, signed by itself."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", path, "-out", path.with_name("certificate.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_bytes(path.read_bytes() + path.with_name("certificate.pem").read_bytes())
    return path


@pytest.fixture
def secure(certificate: Path) -> Iterator[Server]:
    """A server that speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = Server()
    server.scheme = "https"
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with running(server):
        yield server


@pytest.fixture
def trusted(secure: Server, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that speaks TLS and that the system vouches for."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return secure


def test_a_certificate_nobody_vouches_for_is_refused(secure: Server, file: ModelFile, folder: Path) -> None:
    reason = failure(replace(file, url=secure.url), folder)
    assert reason.startswith("its certificate is not trusted: self")
    assert secure.paths == []
    assert left_in(folder) == {}


def test_the_authorities_of_the_system_are_trusted(trusted: Server, file: ModelFile, folder: Path) -> None:
    assert get(replace(file, url=trusted.url), folder).read_bytes() == BODY


def test_a_redirect_from_https_to_http_is_refused(
    trusted: Server, server: Server, file: ModelFile, folder: Path
) -> None:
    trusted.answers = [redirect(server.url)]
    assert failure(replace(file, url=trusted.url), folder) == "must not redirect from https to http"
    assert server.paths == []


def test_a_redirect_from_http_to_https_is_followed(
    trusted: Server, server: Server, file: ModelFile, folder: Path
) -> None:
    server.answers = [redirect(trusted.url)]
    assert get(file, folder).read_bytes() == BODY


@pytest.mark.parametrize("after_bytes", [1, len(BODY)])
def test_an_interrupt_leaves_nothing(after_bytes: int, file: ModelFile, folder: Path) -> None:
    def interrupt(done_bytes: int, _total: int | None) -> None:
        if done_bytes >= after_bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(file, folder, interrupt)
    assert left_in(folder) == {}


def test_a_folder_that_cannot_be_made_ends_in_one_line(file: ModelFile, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "models"
    assert failure(file, folder) == f"cannot keep it in {folder}: Not a directory"


def test_a_folder_of_the_files_name_ends_in_one_line(file: ModelFile, folder: Path) -> None:
    (folder / "net.tflite").mkdir(parents=True)
    assert failure(file, folder) == f"cannot keep it in {folder}: Is a directory"


@contextmanager
def files_of_at_most(limit_bytes: int) -> Iterator[None]:
    """The system refuses to write more into any file: the nearest to a full disk without being root."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("free_bytes", [0, HALF, len(BODY) - 1])
def test_a_full_disk_ends_in_one_line_and_leaves_nothing(
    free_bytes: int, file: ModelFile, folder: Path
) -> None:
    with files_of_at_most(free_bytes):
        reason = failure(file, folder)
    assert reason == f"cannot keep it in {folder}: File too large"
    assert left_in(folder) == {}


PULLER = """
import logging, sys
from pathlib import Path
from posed.model.catalogue import ModelFile
from posed.model.pull import pull

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
url, sha256, size, folder = sys.argv[1:]
print(pull(ModelFile("net.tflite", url, sha256, int(size)), Path(folder)))
"""


def start_puller(file: ModelFile, folder: Path) -> subprocess.Popen[str]:
    arguments = [file.url, file.sha256, str(file.size_bytes), str(folder)]
    command = [sys.executable, "-u", "-c", PULLER, *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_line(process: subprocess.Popen[str], pattern: str) -> None:
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if re.search(pattern, line):
            return
    pytest.fail(f"no line like {pattern}: {''.join(seen)}")


def test_a_process_that_is_killed_leaves_nothing(server: Server, file: ModelFile, folder: Path) -> None:
    server.answers = [stalled]
    with start_puller(file, folder) as process:
        wait_for_line(process, "^downloading")
        process.kill()
    assert left_in(folder) == {}


def test_processes_at_once_all_get_the_whole_file(server: Server, file: ModelFile, folder: Path) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(start_puller(file, folder)) for _ in range(3)]
        for process in processes:
            wait_for_line(process, rf"^{folder}/net\.tflite$")
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert (folder / "net.tflite").read_bytes() == BODY
    assert left_in(folder) == {"net.tflite": len(BODY)}


def test_threads_at_once_all_get_the_whole_file(file: ModelFile, folder: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        got = list(threads.map(lambda _: get(file, folder).read_bytes(), range(8)))
    assert got == [BODY] * 8
    assert left_in(folder) == {"net.tflite": len(BODY)}


def test_an_error_is_a_model_error_and_an_os_error() -> None:
    error = DownloadError("one line")
    assert isinstance(error, ModelError)
    assert isinstance(error, OSError)
    assert (str(error), error.exit_status) == ("one line", 3)


def test_a_download_is_readable_by_others_as_the_umask_says(file: ModelFile, folder: Path) -> None:
    before = os.umask(0o022)
    try:
        assert get(file, folder).stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(before)
