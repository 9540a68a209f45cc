"""Images and documents in every form in which clients send them, byte for byte, and never uploaded twice (issue 4)."""

import itertools
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import NotFoundError

from emulator.client import EmulatorControl
from tests.e2e.attachments import (
    FORMS,
    MIB,
    Part,
    Sample,
    asking_about,
    document,
    essence,
    expected,
    file,
    image,
    on_the_web,
    picture,
    script,
    uploaded,
)
from tests.e2e.conftest import QUICK, NewGuest, running
from tests.e2e.support import Door, Gateway, Guest, Reply, at_once, entered, until
from tests.e2e.web_server import WebServer, page, redirect

pytestmark = pytest.mark.e2e

BOTH_WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
REFUSED = "the file is locked"
INLINE = 64 * 1024
"""Bytes of a text that may stand in the prompt."""


@pytest.fixture(autouse=True)
def prompt_reader(kimi: EmulatorControl) -> Iterator[None]:
    """Have Kimi read files at once, unless a test orders otherwise, and leave it as it was."""
    kimi.uploads(polls=0)
    yield
    kimi.uploads()


def answered(door: Door, messages: object, *, stream: bool = False, text: str = QUICK) -> Reply:
    """Ask, and check that this very answer came; give the reply, without its body where it was streamed."""
    if not stream:
        reply = door.whole(messages=messages)
        assert reply.status == 200, reply.body
        assert reply.json()["choices"][0]["message"]["content"] == text
        return reply
    with door.streamed(messages=messages) as asked:
        assert asked.response.status == 200
        pieces = list(asked.pieces())
    assert "".join(piece.content for piece in pieces) == text
    assert pieces[-1].line == "data: [DONE]"
    return Reply(200, {name.lower(): value for name, value in asked.response.getheaders()}, b"")


def one_question(guest: Guest) -> list[str]:
    """The files that the only question of a guest refers to, by their digests."""
    (ids,) = guest.shown()
    digests = {view["id"]: view["sha256"] for view in guest.files()}
    return [digests[file_id] for file_id in ids]


@pytest.mark.parametrize("name", FORMS)
def test_every_form(reaching: Door, web: WebServer, name: str) -> None:
    """Bytes, size, name and type arrive as they were sent, and the question refers to the file."""
    form = FORMS[name]
    sample = form.sample()
    answered(reaching, asking_about(form.part(sample, reaching, web)))
    (view,) = reaching.guest.files()
    assert essence(view) == expected(sample, named=form.named)
    assert view["kind"] == form.kind
    assert one_question(reaching.guest) == [sample.sha256]
    assert reaching.guest.asked_text() == "What is this?"


@pytest.mark.parametrize("size", [1, MIB], ids=["1B", "1MiB"])
@BOTH_WAYS
def test_all_forms_in_one_message(
    reaching: Door,
    web: WebServer,
    size: int,
    stream: bool,  # noqa: FBT001 # a parameter
) -> None:
    """Each part of a message arrives as it was sent, in the order in which they stood; no picture has one byte."""
    letters = iter("abcdefghijklmn")
    forms = {name: form for name, form in FORMS.items() if size > 1 or (form.kind == "file" and form.named)}
    samples = {
        name: form.sample(size) if size > 1 else Sample(next(letters).encode(), "note.txt", "text/plain")
        for name, form in forms.items()
    }
    parts = [form.part(samples[name], reaching, web) for name, form in forms.items()]
    answered(reaching, asking_about(*parts), stream=stream)
    views = {view["sha256"]: essence(view) for view in reaching.guest.files()}
    assert {name: views.get(samples[name].sha256) for name in forms} == {
        name: expected(samples[name], named=form.named) for name, form in forms.items()
    }
    assert one_question(reaching.guest) == [sample.sha256 for sample in samples.values()]


@pytest.mark.parametrize(
    ("name", "stream"), [("image_url-data", True), ("file-base64", False), ("file_url-http", True)]
)
def test_20_mib(reaching: Door, web: WebServer, name: str, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """A large picture or document within the request, or behind a URL, arrives whole."""
    form = FORMS[name]
    sample = form.sample(20 * MIB)
    answered(reaching, asking_about(form.part(sample, reaching, web)), stream=stream)
    (view,) = reaching.guest.files()
    assert essence(view) == expected(sample, named=form.named)


@pytest.fixture(scope="session")
def largest() -> Sample:
    """Make a document of 100 MiB, the largest that is taken."""
    return document(100 * MIB, "largest.pdf")


def test_100_mib_behind_a_url(reaching: Door, web: WebServer, largest: Sample) -> None:
    """The largest file that there may be arrives whole; that of a multipart form is in test_upload_memory."""
    answered(reaching, asking_about({"type": "file", "file_url": {"url": on_the_web(web, largest)}}))
    (view,) = reaching.guest.files()
    assert essence(view) == expected(largest)


def test_a_real_pace_of_reading(reaching: Door, web: WebServer, kimi: EmulatorControl) -> None:
    """A document is asked about when Kimi has read it, with growing pauses between the questions how far it is."""
    kimi.uploads(polls=3, parsing_lines=1)
    sample = document()
    answered(reaching, asking_about({"type": "file", "file_url": {"url": on_the_web(web, sample)}}))
    asked = [
        entry["at"] for entry in reaching.guest.calls() if entry["path"].endswith(("ParseProgress", "/parse_process"))
    ]
    gaps = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert len(asked) == 4
    assert gaps == sorted(gaps)
    assert sum(gaps) < 8
    assert one_question(reaching.guest) == [sample.sha256]


def test_redirects_are_followed(reaching: Door, web: WebServer) -> None:
    """Three redirects lead to the file, whose name is that of the last URL."""
    sample = picture()
    for step, location in enumerate([on_the_web(web, sample), "/moved-0", "/moved-1"]):
        web.put(f"/moved-{step}", redirect(location, 301 + step))
    answered(reaching, asking_about({"type": "image_url", "image_url": {"url": web.url + "/moved-2"}}))
    assert [essence(view) for view in reaching.guest.files()] == [expected(sample)]


def test_the_server_of_a_url_is_told_nothing(reaching: Door, web: WebServer) -> None:
    """It sees no credential and no cookie, and is asked for bytes as they are."""
    url = web.put("/curious.png", page(picture().data, "image/png", headers={"Set-Cookie": "a=b"}))
    web.asked.clear()
    for text in ("One", "Two"):
        answered(reaching, asking_about({"type": "image_url", "image_url": {"url": url}}, text=text))
    assert [path for path, _ in web.asked] == ["/curious.png"] * 2
    for _, headers in web.asked:
        assert set(headers) == {"host", "user-agent", "accept", "accept-encoding"}
        assert headers["accept-encoding"] == "identity"
        assert headers["host"] in url


def test_a_name_of_the_servers(reaching: Door, web: WebServer) -> None:
    """Content-Disposition names the file, also in letters of other scripts; path parts are cut off."""
    header = "attachment; filename*=UTF-8''..%2F%E6%8A%A5%E5%91%8A.pdf"
    sample = document(name="报告.pdf")
    url = web.put("/download", page(sample.data, "application/octet-stream", headers={"Content-Disposition": header}))
    answered(reaching, asking_about({"type": "file", "file_url": {"url": url}}))
    assert [essence(view) for view in reaching.guest.files()] == [expected(sample)]


@pytest.mark.parametrize("name", ['a "quoted" name.pdf', "报告 (最终).pdf", "x" * 180 + ".pdf", "semi;colon=.pdf"])
def test_odd_names(door: Door, name: str) -> None:
    """What people call their files reaches Kimi as it is; in a form, quotes are escaped as browsers escape them."""
    sample = document(name=name)
    answered(door, asking_about(file(sample)))
    (view,) = door.guest.files()
    sent = name.replace('"', "%22") if view["protocol"] == "connect" else name
    assert essence(view) == expected(Sample(sample.data, sent, sample.content_type))


def test_a_client_that_says_nothing_but_a_picture(door: Door) -> None:
    """A message without a word is a question all the same."""
    sample = picture()
    answered(door, [{"role": "user", "content": [image(sample)]}])
    assert one_question(door.guest) == [sample.sha256]
    assert door.guest.asked_text().strip()


def ten_turns(door: Door, *, stream: bool) -> Sample:
    """Talk for ten turns, with the same picture in each question, as a client that keeps its history sends it."""
    sample = picture()
    history: list[Any] = []
    for turn in range(10):
        door.guest.plan({"text": f"Answer {turn}."})
        history += asking_about(image(sample), text=f"Question {turn}?")
        answered(door, history, stream=stream, text=f"Answer {turn}.")
        history.append({"role": "assistant", "content": f"Answer {turn}."})
    return sample


@BOTH_WAYS
def test_ten_turns_of_a_conversation_that_goes_on(native: Door, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """The same picture in ten turns is uploaded once, and each turn refers to it."""
    sample = ten_turns(native, stream=stream)
    (view,) = native.guest.files()
    assert (view["sha256"], view["used"]) == (sample.sha256, 10)
    assert len(native.guest.uploads()) == 1
    assert len(native.guest.chats()) == 1
    assert native.guest.asked_texts() == [f"Question {turn}?" for turn in range(10)]


@BOTH_WAYS
def test_ten_turns_that_are_merged(door: Door, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """Without continuity the same picture in ten turns is uploaded once as well, and referred to once a turn."""
    sample = ten_turns(door, stream=stream)
    (view,) = door.guest.files()
    assert (view["sha256"], view["used"]) == (sample.sha256, 10)
    assert len(door.guest.uploads()) == 1
    assert door.guest.shown() == [[view["id"]]] * 10


def test_a_picture_behind_the_same_url_in_each_turn(reaching: Door, web: WebServer) -> None:
    """What a URL leads to is uploaded once for its bytes, not for its address."""
    sample = picture()
    for number in range(3):
        url = web.put(f"/same-{number}.png", page(sample.data, "image/png"))
        answered(reaching, asking_about({"type": "image_url", "image_url": {"url": url}}, text=f"Turn {number}"))
    assert len(reaching.guest.uploads()) == 1


def test_two_requests_at_once_over_two_workers(native: Door, kimi: EmulatorControl) -> None:
    """While one worker uploads a picture the other waits for it, and then refers to the same file."""
    first, second = native.gateway.server.worker_pids
    sample = picture()
    kimi.uploads(polls=0, delay=1.0)

    def ask(text: str) -> Reply:
        return native.whole(messages=asking_about(image(sample), text=text))

    def through_the_other_worker() -> Reply:
        assert until(lambda: len(native.guest.uploads()) == 1)
        os.kill(first, signal.SIGCONT)
        time.sleep(0.05)
        return ask("Two")

    os.kill(first, signal.SIGSTOP)
    try:
        replies = at_once(lambda: ask("One"), through_the_other_worker)
    finally:
        os.kill(first, signal.SIGCONT)
    assert [reply.status for reply in replies] == [200, 200]
    (view,) = native.guest.files()
    assert (view["sha256"], view["used"]) == (sample.sha256, 2)
    assert len(native.guest.uploads()) == 1
    assert second in native.gateway.server.worker_pids


def test_many_requests_at_once(native: Door, kimi: EmulatorControl) -> None:
    """Of six requests with the same new picture one uploads it, whichever workers they come to."""
    sample = picture()
    kimi.uploads(polls=0, delay=0.3)
    calls = [
        lambda number=number: native.whole(messages=asking_about(image(sample), text=f"Request {number}"))
        for number in range(6)
    ]
    assert [reply.status for reply in at_once(*calls)] == [200] * 6
    (view,) = native.guest.files()
    assert (view["used"], len(native.guest.uploads())) == (6, 1)


@BOTH_WAYS
def test_attachments_of_earlier_turns(door: Door, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """Where the history is merged, the files of all its turns go with it, and the text says where each belongs."""
    early, middle, late = picture(name="early.png"), document(name="middle.pdf"), picture(name="late.png")
    history = [
        *asking_about(image(early), text="What is on the first?"),
        {"role": "assistant", "content": "A cat."},
        *asking_about(file(middle), text="And in the paper?"),
        {"role": "assistant", "content": "A theorem."},
        *asking_about(image(late), text="Which of them is true?"),
    ]
    answered(door, history, stream=stream)
    assert one_question(door.guest) == [early.sha256, middle.sha256, late.sha256]
    asked = door.guest.asked_text()
    places = [
        asked.index(word)
        for word in (
            "the first?",
            early.nameless,
            "A cat.",
            "in the paper?",
            "middle.pdf",
            "A theorem.",
            "them is true?",
        )
    ]
    assert places[0] < places[2] < places[3] < places[5] < places[6]
    assert places[1] < places[2]
    assert places[2] < places[4] < places[5]


def test_a_conversation_that_goes_on_is_sent_the_new_files_alone(native: Door) -> None:
    """What Kimi's conversation holds is not referred to again."""
    first, second = picture(), document()
    native.guest.plan({"text": "A cat."}, {"text": "A theorem."})
    history: list[Any] = asking_about(image(first), text="One")
    assert native.whole(messages=history).status == 200
    history += [{"role": "assistant", "content": "A cat."}, *asking_about(file(second), text="Two")]
    assert native.whole(messages=history).status == 200
    ids = {view["sha256"]: view["id"] for view in native.guest.files()}
    assert native.guest.shown() == [[ids[first.sha256]], [ids[second.sha256]]]
    assert len(native.guest.chats()) == 1


def test_a_history_with_another_picture_is_not_continued(native: Door) -> None:
    """The same words about another picture are another history: an answer about the wrong one would be a lie."""
    native.guest.plan({"text": "A cat."}, {"text": "A dog."})
    assert native.whole(messages=asking_about(image(picture()), text="One")).status == 200
    other = picture()
    history = [*asking_about(image(other), text="One"), {"role": "assistant", "content": "A cat."}]
    assert native.whole(messages=[*history, {"role": "user", "content": "Two"}]).status == 200
    assert len(native.guest.chats()) == 2
    (asked,) = [
        ids for chat in native.guest.chats()[1:] for ids in [m["files"] for m in chat["messages"] if m["files"]]
    ]
    assert [view["sha256"] for view in native.guest.files() if view["id"] in asked] == [other.sha256]


@pytest.mark.parametrize("from_urls", [False, True], ids=["inline", "urls"])
def test_uploads_of_one_message_run_side_by_side(
    kimi: EmulatorControl,
    request: pytest.FixtureRequest,
    web: WebServer,
    from_urls: bool,  # noqa: FBT001 # a parameter
) -> None:
    """Four uploads of a second each take together less than one after the other."""
    kimi.reset()  # the count of uploads in progress begins anew; so does the account
    kimi.uploads(polls=0, delay=1.0)
    door: Door = request.getfixturevalue("reaching_connect")
    samples = [picture() for _ in range(4)]
    parts: list[Part] = [
        {"type": "image_url", "image_url": {"url": on_the_web(web, sample)}} if from_urls else image(sample)
        for sample in samples
    ]
    began = time.monotonic()
    answered(door, asking_about(*parts))
    assert time.monotonic() - began < 3.9
    assert kimi.most_uploads_at_once() == 4
    assert one_question(door.guest) == [sample.sha256 for sample in samples]


@pytest.fixture
def reaching_connect(reaching_connect_gateway: Gateway, guest: Guest) -> Iterator[Door]:
    """Enter over the Connect protocol where URLs may lead to this machine."""
    with entered(reaching_connect_gateway, guest, guest.refresh_token) as door:
        yield door


def refused(reply: Reply, param: str = "messages[0].content[1]") -> str:
    """The message of a refusal that names a part."""
    assert (reply.status, reply.error["code"], reply.error["param"]) == (400, "attachment_refused", param)
    return str(reply.error["message"])


@pytest.mark.parametrize("kind", ["image", "document"])
@BOTH_WAYS
def test_a_file_that_kimi_cannot_read(
    door: Door,
    kimi: EmulatorControl,
    kind: str,
    stream: bool,  # noqa: FBT001 # a parameter
) -> None:
    """Kimi's reason reaches the client; no chat is opened, and the same file is not uploaded again."""
    kimi.uploads(polls=0, fail=REFUSED)
    part = image(picture()) if kind == "image" else file(document())
    for _ in range(2):
        assert REFUSED in refused(door.whole(messages=asking_about(part), stream=stream))
    assert door.guest.chats() == []
    assert len(door.guest.uploads()) == 1


def test_a_file_that_kimi_cannot_read_for_no_reason(door: Door, kimi: EmulatorControl) -> None:
    """Where Kimi gives no reason, the client is told at least what happened."""
    kimi.uploads(polls=0, fail="")
    assert "cannot read the file" in refused(door.whole(messages=asking_about(file(document()))))


@BOTH_WAYS
def test_a_type_that_kimi_refuses(door: Door, kimi: EmulatorControl, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """What is no text is refused with Kimi's reason, of a good one and a bad one the bad one is named."""
    kimi.uploads(polls=0, refuse_types=["application/pdf"])
    parts = asking_about(image(picture()), file(document()))
    message = refused(door.whole(messages=parts, stream=stream), "messages[0].content[2]")
    assert "unsupported file type" in message
    assert door.guest.chats() == []


def test_an_upload_that_fails(door: Door, kimi: EmulatorControl) -> None:
    """An outage of the storage is no refusal of the file: 503, and the next request uploads it."""
    sample = picture()
    kimi.uploads(polls=0, status=502, times=1)
    reply = door.whole(messages=asking_about(image(sample)))
    assert (reply.status, reply.error["code"]) == (503, "upstream_unavailable")
    assert door.guest.chats() == []
    answered(door, asking_about(image(sample)))
    assert [view["sha256"] for view in door.guest.files()] == [sample.sha256]


@BOTH_WAYS
def test_a_small_text_of_a_refused_type(
    door: Door,
    kimi: EmulatorControl,
    stream: bool,  # noqa: FBT001 # a parameter
) -> None:
    """It stands in the question itself, with its name; the next turn does not try to upload it again."""
    kimi.uploads(polls=0, refuse_types=[".py"])
    sample = script(INLINE)
    for _ in range(2):
        answered(door, asking_about(file(sample), text="Does it work?"), stream=stream)
    for text in door.guest.asked_texts():
        assert sample.data.decode() in text
        assert sample.name in text
        assert text.startswith("Does it work?")
    assert door.guest.files() == []
    assert len(door.guest.uploads()) == 1


def test_a_large_text_of_a_refused_type(door: Door, kimi: EmulatorControl) -> None:
    """It is uploaded as the plain text that it is, under a name that says so, once."""
    kimi.uploads(polls=0, refuse_types=[".py"])
    sample = script(INLINE + 1)
    for _ in range(2):
        answered(door, asking_about(file(sample)))
    (view,) = door.guest.files()
    assert essence(view) == (sample.sha256, INLINE + 1, "tool.py.txt", "text/plain")
    assert view["used"] == 2
    assert all(len(text) < 1000 for text in door.guest.asked_texts())


def test_texts_of_a_refused_type_that_are_too_long_together(door: Door, kimi: EmulatorControl) -> None:
    """What would stand in the question is moved to a file where the question gets too long of it."""
    kimi.uploads(polls=0, refuse_types=[".py"], max_prompt=150_000)
    samples = [script(60_000, f"tool-{number}.py") for number in range(4)]
    answered(door, asking_about(*map(file, samples), text="Do they work?"))
    assert len(door.guest.files()) >= 1
    assert len(door.guest.asked_texts()[-1]) <= 150_000


def test_the_files_of_an_account(native: Door) -> None:
    """The SDK's calls see what was uploaded, in OpenAI's shape, the newest first, until it is deleted."""
    files = native.client.files
    samples = [document(name=f"paper-{number}.pdf") for number in range(3)]
    made = [files.create(file=(s.name, s.data, s.content_type), purpose="assistants") for s in samples]
    assert [(one.object, one.bytes, one.filename, one.purpose) for one in made] == [
        ("file", 1024, sample.name, "assistants") for sample in samples
    ]
    assert abs(made[0].created_at - time.time()) < 10
    assert [one.id for one in files.list()] == [one.id for one in reversed(made)]
    assert files.retrieve(made[0].id) == made[0]
    gone = files.delete(made[1].id)
    assert (gone.id, gone.deleted) == (made[1].id, True)
    assert [one.id for one in files.list()] == [made[2].id, made[0].id]
    with pytest.raises(NotFoundError) as error:
        files.retrieve(made[1].id)
    assert error.value.code == "file_not_found"


def test_a_file_is_uploaded_once_for_all_its_uses(native: Door) -> None:
    """Uploaded by itself, again, and within a question, the same bytes are one file on Kimi's side."""
    sample = document()
    ids = [uploaded(native, sample) for _ in range(2)]
    answered(native, asking_about({"type": "file", "file": {"file_id": ids[0]}}, file(sample)))
    (view,) = native.guest.files()
    assert one_question(native.guest) == [sample.sha256]
    assert view["used"] == 1


def not_found(reply: Reply, param: str | None = None) -> None:
    """Check that a reply says that there is no such file."""
    assert (reply.status, reply.error["code"], reply.error["param"]) == (404, "file_not_found", param)


@BOTH_WAYS
def test_files_of_another_account(
    native: Door,
    new_guest: NewGuest,
    stream: bool,  # noqa: FBT001 # a parameter
) -> None:
    """To another account they do not exist: not listed, not shown, not deleted, not used."""
    file_id = uploaded(native, document())
    other = new_guest()
    path = f"/v1/files/{file_id}"
    for method in ("GET", "DELETE"):
        not_found(native.gateway.request(method, path, token=other.refresh_token))
    part = {"type": "file", "file": {"file_id": file_id}}
    not_found(
        native.gateway.chat(other.refresh_token, messages=asking_about(part), stream=stream), "messages[0].content[1]"
    )
    assert native.gateway.request("GET", "/v1/files", token=other.refresh_token).json()["data"] == []
    assert (other.files(), other.chats()) == ([], [])
    assert native.gateway.request("GET", path, token=native.token).status == 200
    answered(native, asking_about(part))


def test_a_file_goes_with_its_account(native: Door, new_guest: NewGuest) -> None:
    """Of several accounts the one that holds the file answers."""
    file_id = uploaded(native, document())
    others = [new_guest() for _ in range(2)]
    tokens = f"{others[0].refresh_token},{native.token},{others[1].refresh_token}"
    part = {"type": "file", "file": {"file_id": file_id}}
    for _ in range(3):
        assert native.gateway.chat(tokens, messages=asking_about(part)).status == 200
    assert len(native.guest.completions()) == 3
    assert [other.completions() for other in others] == [[], []]


@pytest.mark.parametrize(("protocol", "crash"), [("connect", True), ("rest", False)], ids=["killed", "stopped"])
def test_files_survive_a_restart(
    kimi: EmulatorControl,
    guest: Guest,
    tmp_path: Path,
    protocol: str,
    crash: bool,  # noqa: FBT001 # a parameter
) -> None:
    """With a DATABASE_PATH an id is good after a restart, and bytes that were uploaded before are not sent again."""
    sample, known = document(), picture()
    settings = {"DATABASE_PATH": str(tmp_path / "state.sqlite3"), "KIMI_PROTOCOL": protocol}
    with running(kimi.base_url, workers=1, **settings) as gateway:
        with entered(gateway, guest, guest.refresh_token) as door:
            file_id = uploaded(door, sample)
            answered(door, asking_about(image(known), text="Before"))
        if crash:
            gateway.server.kill_all()
    with running(kimi.base_url, workers=1, **settings) as gateway, entered(gateway, guest, guest.refresh_token) as door:
        assert [one.id for one in door.client.files.list()] == [file_id]
        answered(door, asking_about({"type": "file", "file": {"file_id": file_id}}, image(known), text="After"))
    assert len(guest.uploads()) == 2
    views = {view["sha256"]: view["used"] for view in guest.files()}
    assert views == {sample.sha256: 1, known.sha256: 2}


def test_an_inline_file_that_kimi_has_dropped(native: Door, kimi: EmulatorControl) -> None:
    """It is uploaded again, and nobody notices."""
    sample = document()
    answered(native, asking_about(file(sample), text="One"))
    (before,) = native.guest.files()
    kimi.forget_file(before["id"])
    answered(native, asking_about(file(sample), text="Two"))
    (after,) = native.guest.files()
    assert after["id"] != before["id"]
    assert essence(after) == expected(sample)
    assert native.guest.shown()[-1] == [after["id"]]


@BOTH_WAYS
def test_an_uploaded_file_that_kimi_has_dropped(
    native: Door,
    kimi: EmulatorControl,
    stream: bool,  # noqa: FBT001 # a parameter
) -> None:
    """Its id is not found from then on: its bytes are nowhere else."""
    sample = document()
    file_id = uploaded(native, sample)
    kimi.forget_file(native.guest.files()[0]["id"])
    asked = asking_about({"type": "file", "file": {"file_id": file_id}})
    not_found(native.whole(messages=asked, stream=stream), "messages[0].content[1]")
    not_found(native.gateway.request("GET", f"/v1/files/{file_id}", token=native.token))
    assert native.guest.chats() == []
    answered(native, asking_about({"type": "file", "file": {"file_id": uploaded(native, sample)}}))


def test_a_talk_through_the_sdk(native: Door) -> None:
    """A photo and a paper, asked about in turns through the official SDK."""
    photo, paper = picture(), document()
    native.guest.plan({"text": "A cat."}, {"text": "A theorem."})
    messages: list[Any] = asking_about(image(photo), text="What is it?")
    first = native.client.chat.completions.create(model="kimi", messages=messages)
    messages += [{"role": "assistant", "content": first.choices[0].message.content}]
    messages += asking_about({"type": "file", "file": {"file_id": uploaded(native, paper)}}, text="And this?")
    second = native.client.chat.completions.create(model="kimi", messages=messages)
    assert [answer.choices[0].message.content for answer in (first, second)] == ["A cat.", "A theorem."]
    assert len(native.guest.chats()) == 1
