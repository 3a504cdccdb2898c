#!/usr/bin/env python3
"""Reads an execution from the log, checks its chain, and prints its events.

    python3 read.py nats://localhost:4222 acme exec_2qJ8fVvB0mYc4kN7sTzRdWxEa1G

Nothing but the standard library: it speaks the NATS protocol over one connection, asks the
leader of the stream for one record after the other, and follows docs/wire-format.md. It
reads the codec `json`; of records of another one it checks the chain and prints the codec.
"""
import base64, hashlib, json, re, socket, sys, urllib.parse


class Corrupt(Exception):
    pass


class Connection:
    """As much of a NATS client as requests need."""

    def __init__(self, url):
        u = urllib.parse.urlsplit(url)
        self.sock = socket.create_connection((u.hostname, u.port or 4222), timeout=60)
        self.lines = self.sock.makefile("rb")
        self.lines.readline()  # INFO
        options = {"verbose": False, "headers": True, "no_responders": True, "lang": "python", "version": "1"}
        if u.username:
            options.update(user=urllib.parse.unquote(u.username), **{"pass": urllib.parse.unquote(u.password or "")})
        self.send("CONNECT " + json.dumps(options))
        self.inbox = "_INBOX.reader"
        self.send("SUB %s 1" % self.inbox)

    def send(self, line, payload=None):
        self.sock.sendall(line.encode() + b"\r\n" + (b"" if payload is None else payload + b"\r\n"))

    def request(self, subject, body):
        """Returns the JSON of the answer."""
        payload = json.dumps(body).encode()
        self.send("PUB %s %s %d" % (subject, self.inbox, len(payload)), payload)
        while True:
            line = self.lines.readline().split()
            if not line:
                raise ConnectionError("the server closed the connection")
            if line[0] == b"PING":
                self.send("PONG")
            elif line[0] == b"-ERR":
                raise ConnectionError(b" ".join(line).decode())
            elif line[0] == b"HMSG":  # no answers with headers but "503: nobody is there"
                raise ConnectionError(self.lines.read(int(line[-1]) + 2).split(b"\r\n")[0].decode())
            elif line[0] == b"MSG":
                return json.loads(self.lines.read(int(line[-1]) + 2))


def token(text):
    """Percent-encodes an id for a subject."""
    return "".join(chr(b) if re.match(rb"[A-Za-z0-9_-]", bytes([b])) else "%%%02X" % b for b in text.encode())


def headers_of(raw):
    headers = {}
    for line in raw.split(b"\r\n")[1:]:
        name, found, value = line.decode().partition(":")
        if found:
            if name.startswith("Enact-") and name in headers:
                raise Corrupt("header %s is repeated" % name)
            headers.setdefault(name, value.strip())
    return headers


class Record:
    def __init__(self, message):
        self.position = message["seq"]
        h = headers_of(base64.b64decode(message.get("hdrs", "")))
        if h.get("Enact-Version", "1") != "1":
            raise Corrupt("position %d: version %s is not read here" % (self.position, h["Enact-Version"]))
        self.payload = base64.b64decode(message.get("data", ""))
        try:
            self.sequence, self.count = int(h["Enact-Sequence"]), int(h.get("Enact-Count", "1"))
            self.time, self.codec, self.commit = h["Enact-Time"], h.get("Enact-Codec", "json"), h["Enact-Commit"]
            self.key = urllib.parse.unquote_to_bytes(h.get("Enact-Key", ""))
            self.meta = sorted(
                (urllib.parse.unquote_to_bytes(k[len("Enact-Meta-"):]), urllib.parse.unquote_to_bytes(v))
                for k, v in h.items() if k.startswith("Enact-Meta-"))
            self.number, self.origin, back, self.chain = re.fullmatch(
                r"rec=(\d+) org=(\S+) back=(\S*) chain=(\S+)", h["Enact-Link"]).groups()
            self.place, self.of = map(int, self.commit.split(" ")[1].split("/"))
            self.previous = 0
            if back:
                position = back.split(",")[0].split("@")[1]
                self.previous = self.position - int(position[1:]) if position[0] == "~" else int(position)
            self.expected = h.get("Nats-Expected-Last-Subject-Sequence")
        except (KeyError, ValueError, AttributeError, IndexError) as e:
            raise Corrupt("position %d: a header is missing or not what it should be: %r" % (self.position, e))

    def chain_after(self, previous, tenant, execution):
        """The chain value that this record must have."""
        fields = [tenant, execution, "1", str(self.sequence), str(self.count), self.time, self.codec, self.commit,
                  self.key, self.number, self.origin, str(len(self.meta))]
        for pair in self.meta:
            fields += pair
        digest = hashlib.sha256(previous)
        for field in fields + [self.payload]:
            data = field.encode() if isinstance(field, str) else field
            digest.update(len(data).to_bytes(4, "big") + data)
        return digest.digest()

    def events(self):
        if self.codec != "json":
            return [{"type": "(codec %s)" % self.codec}] * self.count
        events = json.loads(self.payload)
        events = [events] if self.count == 1 else events
        if len(events) != self.count:
            raise Corrupt("position %d: %d events for %d" % (self.position, len(events), self.count))
        return events


def read(connection, tenant, execution, stream="ENACT", prefix="enact"):
    """Yields the sequence and the event of each event, checked."""
    subject = "%s.%s.%s" % (prefix, token(tenant), token(execution))
    chain, position, sequence, number, origin, last = bytes(32), 0, 0, 0, None, None

    def get(body):
        answer = connection.request("$JS.API.STREAM.MSG.GET." + stream, body)
        if answer.get("error", {}).get("err_code") == 10037:  # not found
            return None
        if "error" in answer:
            raise ConnectionError(answer["error"]["description"])
        return Record(answer["message"])

    end = get({"last_by_subj": subject})
    if end is None:
        return
    # Of a torn batch at the end nothing counts.
    stop = end.position if end.place == end.of else end.position - end.place
    while position < stop:
        r = get({"seq": position + 1, "next_by_subj": subject})
        if r is None or r.position > stop:
            break
        chain = r.chain_after(chain, tenant, execution)
        for what, ok in (
            ("its sequence is %d behind %d" % (r.sequence, sequence), r.sequence == sequence + 1),
            ("its number is %s behind %d" % (r.number, number), int(r.number) == number + 1),
            ("its predecessor is at %d, not %d" % (r.previous, position), r.previous == position),
            ("it was checked against another predecessor", r.place > 1 or r.expected == str(position)),
            ("its origin is another", origin in (None, r.origin)),
            ("its chain value does not follow", r.chain == base64.urlsafe_b64encode(chain).decode().rstrip("=")),
        ):
            if not ok:
                raise Corrupt("position %d: %s" % (r.position, what))
        for i, event in enumerate(r.events()):
            yield r.sequence + i, event
        position, number, origin, sequence = r.position, int(r.number), r.origin, r.sequence + r.count - 1
        last = r
    if end.place < end.of:
        raise Corrupt("position %d: the history ends inside of a batch" % end.position)
    if last is None or last.position != end.position:
        raise Corrupt("position %d is the last one, and was not reached" % end.position)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: read.py nats://HOST:PORT TENANT EXECUTION")
    try:
        count = 0
        for sequence, event in read(Connection(sys.argv[1]), sys.argv[2], sys.argv[3]):
            print(sequence, json.dumps(event, ensure_ascii=False), flush=True)
            count += 1
        print("%d events, the chain holds" % count)
    except (Corrupt, OSError) as e:
        sys.exit("read.py: %s" % e)
