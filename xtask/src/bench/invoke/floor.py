# The client's side of the floor: the two exchanges of the Runtime API for each call over a bare
# socket, json in and out, and nothing else.
import json
import socket
import sys

stream = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
buffer = b""
NEXT = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"


def receive():
    global buffer
    while b"\r\n\r\n" not in buffer:
        more = stream.recv(65536)
        if not more:
            sys.exit()
        buffer += more
    head, _, buffer = buffer.partition(b"\r\n\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:])
    length = int(headers.get("content-length", 0))
    while len(buffer) < length:
        buffer += stream.recv(65536)
    body, buffer = buffer[:length], buffer[length:]
    return headers, body


def handler(event, context):
    return {"ok": True}


stream.sendall(NEXT)
while True:
    headers, body = receive()
    answer = json.dumps(handler(json.loads(body), None)).encode()
    path = b"/2018-06-01/runtime/invocation/%s/response" % headers["lambda-runtime-aws-request-id"].encode()
    stream.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (path, len(answer), answer))
    receive()
    stream.sendall(NEXT)
