"""The shape of all errors, the headers of all responses, and HTTP that no client library would send."""

from __future__ import annotations

import asyncio
import sys

import pytest

from service.errors import DoableError, UnavailableError
from service.tasks.writes import UserTasks
from service.web import other_names

JSON = {"Content-Type": "application/json"}
LIMIT = 64 * 1024


class TestShape:
    @pytest.mark.parametrize(
        ("line", "body", "problem"),
        [
            ("POST /api/alice/tasks", b"{", (400, "malformed_json")),
            ("GET /api/bob/tasks", None, (403, "forbidden")),
            ("GET /api/alice/tasks/1", None, (404, "task_not_found")),
            ("GET /nothing", None, (404, "not_found")),
            ("PUT /api/alice/tasks", None, (405, "method_not_allowed")),
            ("POST /api/alice/tasks", b'{"title": "' + b"t" * LIMIT + b'"}', (413, "payload_too_large")),
        ],
        ids=lambda value: str(value)[:30],
    )
    async def test_each_error_is_a_problem_of_the_same_shape(self, alice, refusal, line, body, problem):
        refusal(await alice.request(*line.split(), content=body, headers=JSON), *problem)

    async def test_detail_is_a_sentence_and_errors_name_the_fields(self, alice, refusal):
        response = await alice.post(alice.path, json={"title": 5, "completed": "yes"})
        body = refusal(response, 422, "validation_error", "title", "completed")
        assert body["title"] == "Invalid input"
        assert body["errors"] == [
            {
                "field": "title",
                "message": "must be 1 to 200 characters after trimming white space, at least one of them visible",
            },
            {"field": "completed", "message": "must be true or false"},
        ]
        assert body["detail"] == "; ".join(f"{error['field']}: {error['message']}" for error in body["errors"]) + "."

    @pytest.mark.parametrize(
        ("line", "body"),
        [
            ("POST /api/me/tasks", {"titel": "x", "flavour": 1, "title": "x"}),
            ("GET /api/me/tasks?titel=x&flavour=1", None),
            ("POST /api/me/tasks/batch", {"operations": [{"op": "create", "task": {"title": "x", "titel": "x"}}] * 2}),
            ("POST /api/me/import", {"tasks": [{"title": "x", "titel": "x"}, {"title": "x", "flavour": 1}]}),
        ],
    )
    async def test_an_answer_lists_the_known_names_once_however_many_are_not_known(self, alice, line, body):
        method, path = line.split(" ")
        response = await alice.request(method, path, json=body)
        assert response.status_code == 422
        first, second = (error["message"] for error in response.json()["errors"])
        assert "; known names: " in first.replace("? ", "; ")
        assert first.startswith("is not known")
        assert second.startswith("is not known")
        assert "known names:" not in second
        assert not second.endswith((";", " "))
        assert response.json()["detail"].count("known names:") == 1

    def test_no_cache_keeps_a_long_unknown_name_in_memory(self):
        name = "\u0130" * 450_000
        before = sys.getrefcount(name)
        assert other_names.meant_by(name, ("title",)) is None
        assert sys.getrefcount(name) == before

    async def test_the_error_for_a_table_header_lists_the_columns_once(self, alice):
        sent = {"content": "title,flavour,shape\nx,y,z\n", "headers": {"Content-Type": "text/csv"}}
        response = await alice.request("POST", "/api/me/import", **sent)
        assert response.status_code == 422
        assert [error["message"].count("the columns are") for error in response.json()["errors"]] == [1, 0]

    @pytest.mark.parametrize(
        ("line", "body", "names"),
        [
            ("POST /api/me/tasks", {"title": " ", "due_date": "s3cret"}, ["title", "due_date"]),
            ("POST /api/me/tasks", {"title": "x", "s3cret": "x", "s3cret-too": "x"}, ["unknown"]),
            ("GET /api/me/tasks?limit=0&s3cret&tag=", None, ["limit", "unknown"]),
            ("POST /api/me/import", {"tasks": [{"title": ""}, {"title": "", "tags": 1}]},
             ["tasks[].title", "tasks[].tags"]),
            ("POST /api/me/tasks/batch", {"operations": [{"op": "delete", "id": "s3cret"}]}, ["operations[].id"]),
        ],
    )  # fmt: skip
    async def test_the_log_names_the_fields_at_fault_and_nothing_that_was_sent(self, alice, caplog, line, body, names):
        method, path = line.split(" ")
        with caplog.at_level("INFO", "doable.requests"):
            assert (await alice.request(method, path, json=body)).status_code == 422
        (fields,) = [record.fields for record in caplog.records if record.name == "doable.requests"]
        assert (fields["failure"], fields["invalid_fields"]) == ("validation_error", names)
        assert "s3cret" not in str(fields)

    async def test_the_log_names_no_fields_where_none_are_at_fault(self, alice, caplog):
        with caplog.at_level("INFO", "doable.requests"):
            assert (await alice.get(f"{alice.path}/1")).status_code == 404
        (fields,) = [record.fields for record in caplog.records if record.name == "doable.requests"]
        assert "invalid_fields" not in fields

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"completed": "true"}, "must be true or false, without quotation marks"),
            ({"completed": "done"}, "must be true or false"),
            ({"completed": 1}, "must be true or false"),
            ({"title": 7}, "must be 1 to 200 characters after trimming white space, at least one of them visible"),
        ],
    )
    async def test_the_error_for_a_quoted_boolean_says_to_remove_the_quotation_marks(
        self, alice, refusal, change, message
    ):
        task = await alice.make()
        response = await alice.patch(f"{alice.path}/{task['id']}", json=change)
        (error,) = refusal(response, 422, "validation_error", *change)["errors"]
        assert error["message"] == message

    @pytest.mark.parametrize("task_id", ["undefined", "0", "7.5", "6f1c2a0e-0000-4000-8000-00000000000"])
    async def test_an_id_that_no_task_can_have_is_404_and_says_what_ids_look_like(self, alice, refusal, task_id):
        body = refusal(await alice.get(f"{alice.path}/{task_id}"), 404, "task_not_found")
        assert body["detail"] == "There is no task with this id; an id is a whole number such as 42, or a uid."

    async def test_each_kind_of_missing_or_invalid_token_has_its_challenge(self, http, refusal, subtests):
        for authorization, status, code in [
            ([], 401, "authentication_required"),
            ([""], 401, "authentication_required"),
            (["Basic YTpi"], 401, "authentication_required"),
            (["Bearer"], 401, "authentication_required"),
            (["Bearer nonsense"], 401, "invalid_token"),
            (["Bearer a.b.c"], 401, "invalid_token"),
            (["Bearer a", "Bearer b"], 400, "invalid_request"),
            (["Bearer a b"], 400, "invalid_request"),
            (["Bearer a, Bearer b"], 400, "invalid_request"),
        ]:
            with subtests.test(authorization=authorization, status=status, code=code):
                response = await http.get(
                    "/api/alice/tasks", headers=[("Authorization", value) for value in authorization]
                )
                refusal(response, status, code)

    async def test_a_full_quota_says_what_to_do(self, alice, refusal, connection, settings):
        await alice.make()
        await connection.execute("UPDATE users SET task_count = $1", settings.task_quota)
        body = refusal(await alice.post(alice.path, json={"title": "B"}), 409, "task_quota_exceeded")
        assert "10,000" in body["detail"]
        assert "delete" in body["detail"]
        await connection.execute("UPDATE users SET task_count = $1", settings.task_quota - 1)
        assert (await alice.post(alice.path, json={"title": "B"})).status_code == 201


class TestOurOwnFaults:
    SECRET = "SELECT * FROM tasks /app/service/secret.py hunter2"

    @pytest.fixture
    def fails(self, monkeypatch):
        """Return a function that makes the lowest layer of the database raise an exception."""

        def set_to(error: BaseException) -> None:
            async def find(_self, _task_id):
                raise error

            monkeypatch.setattr(UserTasks, "find", find)

        return set_to

    @pytest.mark.parametrize("kind", [ValueError, KeyError, ZeroDivisionError, DoableError, ExceptionGroup])
    async def test_a_bug_is_a_500_without_details(self, alice, refusal, fails, caplog, kind):
        fails(kind(self.SECRET, [ValueError(self.SECRET)]) if kind is ExceptionGroup else kind(self.SECRET))
        response = await alice.get(f"{alice.path}/1", headers={"X-Request-ID": "bug-1"})
        refusal(response, 500, "internal_error")
        for word in ("SELECT", "hunter2", ".py", "Traceback", kind.__name__):
            assert word not in response.text
        (logged,) = (record for record in caplog.records if record.name == "doable.errors")
        assert logged.levelname == "ERROR"
        assert logged.exc_info
        assert logged.fields["request_id"] == "bug-1"

    async def test_a_bug_in_one_request_leaves_the_connection_for_the_next(self, alice, fails, monkeypatch):
        fails(ValueError("boom"))
        assert (await alice.get(f"{alice.path}/1")).status_code == 500
        monkeypatch.undo()
        assert (await alice.get(f"{alice.path}/1")).status_code == 404

    async def test_a_temporary_outage_is_a_503_with_retry_after(self, alice, refusal, fails):
        fails(UnavailableError("pool"))
        response = await alice.get(f"{alice.path}/1")
        refusal(response, 503, "service_unavailable")
        assert 1 <= int(response.headers["retry-after"]) <= 10
        assert "pool" not in response.text

    async def test_head_of_a_bug_is_a_500_without_a_body(self, alice, fails):
        fails(ValueError("boom"))
        response = await alice.head(f"{alice.path}/1")
        assert (response.status_code, response.content) == (500, b"")


class TestRequestId:
    @pytest.mark.parametrize("sent", ["a", "0", "007", "A-b_c.9", "x" * 128, "d9428888-122b-11e1-b85c-61cd3cbb3210"])
    async def test_a_plain_request_id_is_returned_unchanged(self, alice, http, refusal, sent):
        headers = {"X-Request-ID": sent}
        assert (await alice.get(alice.path, headers=headers)).headers["x-request-id"] == sent
        assert (await alice.delete(f"{alice.path}/1", headers=headers)).headers["x-request-id"] == sent
        assert (await http.get("/health/live", headers=headers)).headers["x-request-id"] == sent
        assert refusal(await http.get("/nothing", headers=headers), 404, "not_found")["request_id"] == sent

    async def test_any_other_request_id_is_replaced(self, alice, subtests):
        for sent in [
            b"",
            b"a b",
            b"x" * 129,
            b"a,b",
            b"a\tb",
            b'"a"',
            b"<script>",
            b"\xff",
            "😀".encode(),
            b"a/b",
            b"a:1",
            b"${x}",
        ]:
            with subtests.test(sent=sent):
                response = await alice.get(alice.path, headers=[(b"X-Request-ID", sent)])
                given = response.headers["x-request-id"]
                assert response.status_code == 200
                assert given.encode() != sent
                assert given.replace("-", "").isalnum()

    async def test_each_response_has_its_own_request_id(self, alice, http):
        answers = [await caller.get("/health/live") for caller in (alice, http) for _ in range(20)]
        assert len({answer.headers["x-request-id"] for answer in answers}) == 40


class TestSize:
    async def test_a_body_of_64_kib_is_read_and_one_byte_more_is_not(self, alice, refusal):
        body = b'{"title": "A"}'.ljust(LIMIT)
        assert (await alice.post(alice.path, content=body, headers=JSON)).status_code == 201
        refusal(await alice.post(alice.path, content=body + b" ", headers=JSON), 413, "payload_too_large")

    async def test_a_chunked_body_has_the_same_limit(self, alice, refusal):
        def chunks(size: int):
            async def send():
                yield b'{"title": "A"}'
                for _ in range(size // 1024):
                    yield b" " * 1024

            return send()

        response = await alice.post(alice.path, content=chunks(LIMIT - 1024), headers=JSON)
        assert response.status_code == 201
        refusal(await alice.post(alice.path, content=chunks(LIMIT), headers=JSON), 413, "payload_too_large")
        assert len((await alice.get(alice.path)).json()) == 1

    async def test_a_large_body_without_a_token_is_413_or_401_and_reveals_nothing_else(self, http):
        response = await http.post("/api/alice/tasks", content=b" " * (LIMIT + 1), headers=JSON)
        assert response.status_code in {401, 413}


class TestRawHttp:
    """Bytes on a socket. Every response is a problem, and the connection is closed if its framing cannot be trusted."""

    @pytest.fixture
    def send(self, exchange, sign):
        """Return a function that sends a custom request line and headers, by default with a valid token."""

        async def send(line: str, *headers: str, body: bytes = b"", anonymous: bool = False):
            head = [line, "Host: localhost", "Connection: close"]
            head += [] if anonymous else [f"Authorization: Bearer {sign('alice')}"]
            (answer,) = await exchange("\r\n".join([*head, *headers, "", ""]).encode("latin-1") + body)
            return answer

        return send

    GET = "GET /api/alice/tasks HTTP/1.1"
    POST = "POST /api/alice/tasks HTTP/1.1"

    async def test_a_malformed_request_line_is_a_bad_request(self, send, refusal, statements, subtests):
        for line in [
            "hello",
            "GET",
            "GET /api/alice/tasks",
            "GET  /api/alice/tasks HTTP/1.1",
            "GET /api/alice/tasks HTTP/2.0",
            "GET /api/alice/tasks HTTP/1.2",
            "GET /api/alice/tasks http/1.1",
            "GET /api/alice tasks HTTP/1.1",
            "GET /api/al\xefce/tasks HTTP/1.1",
            "GET tasks HTTP/1.1",
            "GET http:// HTTP/1.1",
            "GET : HTTP/1.1",
            "CONNECT localhost:80 HTTP/1.1",
            "CONNECT x HTTP/1.1",
        ]:
            with subtests.test(line=line):
                with statements() as seen:
                    answer = await send(line)
                refusal(answer, 400, "bad_request")
                assert answer.headers["connection"] == "close"
                assert seen == []

    async def test_ambiguous_or_broken_framing_is_a_bad_request(self, send, refusal, subtests):
        for headers, body in [
            (["Content-Length: 2", "Content-Length: 2"], b"{}"),
            (["Content-Length: 2", "Content-Length: 3"], b"{} "),
            (["Content-Length: 2", "Transfer-Encoding: chunked"], b"2\r\n{}\r\n0\r\n\r\n"),
            (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], b"2\r\n{}\r\n0\r\n\r\n"),
            (["Transfer-Encoding: gzip"], b"{}"),
            (["Transfer-Encoding: chunked, gzip"], b"{}"),
            (["Content-Length: -2"], b"{}"),
            (["Content-Length: +2"], b"{}"),
            (["Content-Length: 2, 2"], b"{}"),
            (["Content-Length: 0x2"], b"{}"),
            (["Content-Length: two"], b"{}"),
            (["Content-Length:"], b"{}"),
            (["Transfer-Encoding: chunked"], b"zz\r\n{}\r\n0\r\n\r\n"),
            (["Transfer-Encoding: chunked"], b"-2\r\n{}\r\n0\r\n\r\n"),
            (["no colon in here"], b""),
            ([" Folded: header"], b""),
        ]:
            with subtests.test(headers=headers, body=body):
                answer = await send(self.POST, "Content-Type: application/json", *headers, body=body)
                refusal(answer, 400, "bad_request")
                assert answer.headers["connection"] == "close"

    @pytest.mark.parametrize("name", ["Content-Length ", "Transfer-Encoding\t", "X-Custom "])
    async def test_white_space_before_a_headers_colon_is_a_bad_request(self, send, refusal, name):
        """RFC 9112 section 5.1: a proxy that reads it in another way would see a second request in the body."""
        refusal(await send(self.POST, f"{name}: 2", body=b"{}"), 400, "bad_request")

    async def test_bytes_after_broken_framing_are_not_read_as_a_second_request(self, exchange, sign):
        hidden = (
            f"DELETE /api/alice/tasks?status=all HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sign('alice')}\r\n\r\n"
        )
        sent = "POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n" + hidden
        answers = await exchange(sent.encode())
        assert [answer.status_code for answer in answers] == [400]

    async def test_two_requests_on_one_connection_get_their_responses_in_order(self, exchange):
        sent = (
            "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        assert [answer.status_code for answer in await exchange(sent.encode())] == [200, 404]

    async def test_headers_over_8_kib_are_too_large(self, send, refusal):
        refusal(await send(self.GET, "X-Long: " + "x" * 8192), 413, "payload_too_large")
        assert (await send(self.GET, "X-Long: " + "x" * 7000)).status_code == 200

    async def test_200_short_headers_are_accepted(self, send):
        assert (await send(self.GET, *(f"X-{number}: {number}" for number in range(200)))).status_code == 200

    @pytest.mark.parametrize("method", ["FOO", "TRACE", "get", "NONE", "G" * 100])
    async def test_an_unknown_method_needs_a_token_like_any_other(self, send, refusal, method):
        line = f"{method} /api/alice/tasks HTTP/1.1"
        refusal(await send(line, anonymous=True), 401, "authentication_required")
        refusal(await send(line.replace("alice", "bob")), 403, "forbidden")
        answer = await send(line, "X-Secret: echoed?")
        refusal(answer, 405, "method_not_allowed")
        assert "GET" in answer.headers["allow"]
        assert b"echoed?" not in answer.content

    async def test_http_1_0_gets_a_response_and_the_connection_is_closed(self, exchange, sign):
        sent = f"GET /api/alice/tasks HTTP/1.0\r\nAuthorization: Bearer {sign('alice')}\r\n\r\n"
        (answer,) = await exchange(sent.encode())
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")

    async def test_an_absolute_url_is_taken_for_its_path(self, send, refusal):
        assert (await send("GET http://elsewhere.example/api/alice/tasks?limit=1 HTTP/1.1")).status_code == 200
        refusal(await send("GET http://elsewhere.example/api/bob/tasks HTTP/1.1"), 403, "forbidden")

    @pytest.mark.parametrize("line", ["GET /* HTTP/1.1", "GET /../../etc/passwd HTTP/1.1"])
    async def test_an_unknown_path_is_404(self, send, refusal, line):
        refusal(await send(line), 404, "not_found")

    @pytest.mark.parametrize("count", [1, 2, 100, 900, 2000, 7000])
    async def test_many_trailing_slashes_count_as_one_and_cost_nothing(self, send, refusal, count):
        """Sanic's router is recursive in slashes: to 7,000 of them it would respond 500, after a third of a second."""
        answer = await send(f"GET /health/live{'/' * count} HTTP/1.1", anonymous=True)
        assert answer.status_code == 200
        refusal(await send(f"GET /nothing{'/' * count} HTTP/1.1", anonymous=True), 404, "not_found")

    async def test_an_unknown_expectation_fails(self, send, refusal, subtests):
        for values in (["the unexpected"], ["100-continue, more"], ["100-continue", "more"]):
            with subtests.test(values=values):
                lines = [f"Expect: {value}" for value in values]
                answer = await send(self.POST, *lines, "Content-Length: 2", body=b"{}")
                refusal(answer, 417, "expectation_failed")

    async def test_100_continue_is_sent_before_the_body_is_read(self, exchange, sign):
        head = f"{self.POST}\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {sign('alice')}\r\n"
        sent = f"{head}Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 14\r\n\r\n"
        answers = await exchange(sent.encode() + b'{"title": "A"}')
        assert [answer.status_code for answer in answers] == [100, 201]

    async def test_a_disconnected_client_is_not_an_error(self, server, alice, caplog):
        host, port = server.removeprefix("http://").split(":")
        for sent in (b"", b"GET", b"POST /api/alice/tasks HTTP/1.1\r\nContent-Length: 100\r\n\r\n{"):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(sent)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        assert (await alice.get(alice.path)).status_code == 200
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []
