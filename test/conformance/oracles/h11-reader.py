"""
Reads HTTP/1.1 with h11 for the conformance suites: one process for a whole run.

stdin and stdout carry frames of a length (4 bytes, big endian) and JSON; byte strings are latin1.
A case is {"side": "requests", "data": ...} for what a client sent, or {"side": "responses",
"data": ..., "methods": [...], "eof": true} for what a server sent in answer to those methods. The
answer has the messages in order and how the reading ended: "clean" (nothing left), "closed" (the
connection must end after the last message), "incomplete" or "refused".
"""
import json
import struct
import sys

import h11

# No limit of h11's own: the limits of the proxy are what is tested.
MAX_EVENT_BYTES = 4 * 1024 * 1024


def text(value):
    return bytes(value).decode("latin1")


def fields(headers):
    return [[text(name), text(value)] for name, value in headers.raw_items()]


def read_message(connection, start):
    """The rest of a message that began with `start`: its body and trailers, or None when cut."""
    body = []
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA or event is h11.PAUSED:
            return None, "".join(body), []
        if isinstance(event, h11.Data):
            body.append(text(event.data))
        elif isinstance(event, h11.EndOfMessage):
            return start, "".join(body), fields(event.headers)
        elif isinstance(event, h11.ConnectionClosed):
            return None, "".join(body), []


def read_requests(data, eof):
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_EVENT_BYTES)
    connection.receive_data(data)
    if eof:
        connection.receive_data(b"")
    messages = []
    partial = None
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
                left = len(connection.trailing_data[0])
                return messages, None, "incomplete" if left else "clean", ""
            if not isinstance(event, h11.Request):
                return messages, None, "closed", ""
            partial = {
                "method": text(event.method),
                "target": text(event.target),
                "version": text(event.http_version),
                "headers": fields(event.headers),
            }
            whole, body, trailers = read_message(connection, event)
            partial["body"] = body
            partial["trailers"] = trailers
            if whole is None:
                return messages, partial, "incomplete", ""
            messages.append(partial)
            partial = None
            # A refused CONNECT leaves the connection one of HTTP.
            status = 405 if event.method == b"CONNECT" else 200
            connection.send(h11.Response(status_code=status, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return messages, None, "closed", ""
            connection.start_next_cycle()
    except h11.RemoteProtocolError as error:
        return messages, partial, "refused", str(error)


def read_responses(data, eof, methods):
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_EVENT_BYTES)
    connection.receive_data(data)
    if eof:
        connection.receive_data(b"")
    messages = []
    partial = None
    try:
        for method in methods:
            request = h11.Request(method=method, target="/", headers=[("host", "a")])
            connection.send(request)
            connection.send(h11.EndOfMessage())
            interims = []
            while True:
                event = connection.next_event()
                if isinstance(event, h11.InformationalResponse):
                    interims.append({"status": event.status_code, "headers": fields(event.headers)})
                    continue
                break
            if not isinstance(event, h11.Response):
                left = len(connection.trailing_data[0])
                ended = "incomplete" if left or interims else "clean"
                return messages, {"interims": interims} if interims else None, ended, "", left
            partial = {
                "status": event.status_code,
                "reason": text(event.reason),
                "version": text(event.http_version),
                "interims": interims,
                "headers": fields(event.headers),
            }
            whole, body, trailers = read_message(connection, event)
            partial["body"] = body
            partial["trailers"] = trailers
            if whole is None:
                return messages, partial, "incomplete", "", 0
            messages.append(partial)
            partial = None
            left = len(connection.trailing_data[0])
            if connection.their_state is not h11.DONE:
                return messages, None, "closed", "", left
            connection.start_next_cycle()
        return messages, None, "clean", "", len(connection.trailing_data[0])
    except h11.RemoteProtocolError as error:
        return messages, partial, "refused", str(error), 0


def read(case):
    data = case["data"].encode("latin1")
    eof = case.get("eof", False)
    left = 0
    if case["side"] == "requests":
        messages, partial, end, why = read_requests(data, eof)
    else:
        messages, partial, end, why, left = read_responses(data, eof, case["methods"])
    return {"messages": messages, "partial": partial, "end": end, "why": why, "left": left}


def main():
    source = sys.stdin.buffer
    target = sys.stdout.buffer
    while True:
        head = source.read(4)
        if len(head) < 4:
            return
        case = json.loads(source.read(struct.unpack(">I", head)[0]))
        answer = json.dumps(read(case), separators=(",", ":")).encode()
        target.write(struct.pack(">I", len(answer)) + answer)
        target.flush()


main()
