"""Requests that are wrong, or look wrong, and what may be said to each: the table of test_raw.py.

REFUSED: a 4xx of the named ones and the connection closed, or closed without a word; never a second answer.
LEGAL: the standard allows them or lets the server choose; where the first is not refused the one behind it is read.
None among the statuses: closed without a word is allowed as well.
Standards: RFC 9110 (semantics), RFC 9112 (HTTP/1.1).
"""

SECOND = b"GET /livez HTTP/1.1\r\nHost: second\r\nConnection: close\r\n\r\n"


def head(*lines, line=b"GET /livez HTTP/1.1", end=b"\r\n\r\n"):
    """A request line and header lines, as they are given."""
    return b"\r\n".join([line, *lines]) + end


def get(*lines, target=b"/livez", version=b"HTTP/1.1", method=b"GET"):
    return head(b"Host: a", *lines, line=method + b" " + target + b" " + version)


def post(*lines, body=b"{}", target=b"/v1/releases"):
    """No Content-Length by itself."""
    return head(b"Host: a", b"Content-Type: application/json", *lines, line=b"POST " + target + b" HTTP/1.1") + body


CHUNKED = b"2\r\n{}\r\n0\r\n\r\n"
EMPTY = b"0\r\n\r\n"
TOO_MUCH = (400, 413, 414, 431)

LENGTHS = [
    ("two lengths, equal", post(b"Content-Length: 2", b"Content-Length: 2")),
    ("two lengths, different", post(b"Content-Length: 2", b"Content-Length: 30")),
    ("two lengths, the first too long", post(b"Content-Length: 60", b"Content-Length: 2")),
    ("two lengths, spelled differently", post(b"Content-Length: 2", b"content-length: 2")),
    ("two lengths, far apart", post(b"Content-Length: 0", *[b"X: y"] * 20, b"Content-Length: 2")),
    *[("length " + name, post(b"Content-Length:" + text)) for name, text in (
        ("with a plus", b" +2"), ("with a minus", b" -2"), ("minus nothing", b" -0"), ("in hex", b" 0x2"),
        ("as a list", b" 2, 2"), ("as a list without a blank", b" 2,2"), ("twice with a blank", b" 2 2"),
        ("with a tab inside", b" 2\t2"), ("with a letter", b" 2a"), ("with an exponent", b" 2e0"),
        ("with a point", b" 2.0"), ("in quotes", b' "2"'), ("with a semicolon", b" 2;"), ("empty", b""),
        ("blank", b" "), ("of other digits", " ٢".encode()), ("of a word", b" two"),
        ("with a vertical tab", b" \x0b2"), ("with an NBSP", b" \xa02"))],
    ("length behind a blank", post(b"Content-Length : 2")),
    ("length behind a tab", post(b"Content-Length\t: 2")),
    ("length folded", post(b"Content-Length:\r\n 2")),
    ("length continued", post(b"Content-Length: 2\r\n 0")),
    ("length of a GET", get(b"Content-Length: 2") + b"{}"),
    ("length of a GET over the second", get(b"Content-Length: %d" % len(SECOND))),
    ("length where no body is read", post(b"Content-Length: 2", target=b"/v1/challenges")),
    ("length that is cut at a NUL", post(b"Content-Length: 2\x000")),
]

LARGE = [
    ("length of 20 digits", post(b"Content-Length: 99999999999999999999")),
    ("length of 2^64 and 2", post(b"Content-Length: 18446744073709551618")),
    ("length of 2^63", post(b"Content-Length: 9223372036854775808")),
    ("length of 2^32 and 2", post(b"Content-Length: 4294967298")),
    ("header of 40 KiB", get(b"X: " + b"y" * 40960)),
    ("name of 40 KiB", get(b"x" * 40960 + b": y")),
    ("40 KiB without an end", b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 40960),
    ("1,000 headers", get(*[b"X-%d: y" % i for i in range(1000)])),
    ("10,000 short headers", get(*[b"a:" for _ in range(10000)])),
    ("target of 8 KiB", get(target=b"/" + b"a" * 8192)),
    ("target of 64 KiB", get(target=b"/" + b"a" * 65536)),
    ("query of 8 KiB", get(target=b"/livez?" + b"a" * 8192)),
    ("method of 2 KiB", get(method=b"G" * 2048)),
    ("version of 8 KiB", get(version=b"HTTP/1." + b"1" * 8192)),
]

ENCODINGS = [
    ("length and chunked", post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=EMPTY)),
    ("chunked and length", post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=EMPTY)),
    ("length of nothing and chunked", post(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=EMPTY)),
    ("length over the second and chunked", post(b"Content-Length: %d" % (5 + len(SECOND)), b"Transfer-Encoding: chunked",
                                                body=EMPTY)),
    ("chunked", post(b"Transfer-Encoding: chunked", body=CHUNKED)),
    ("chunked, with extensions", post(b"Transfer-Encoding: chunked", body=b'2;a=b;c="d\r\ne"\r\n{}\r\n0;x\r\n\r\n')),
    ("chunked, with a trailer", post(b"Transfer-Encoding: chunked", b"Trailer: X",
                                     body=b"2\r\n{}\r\n0\r\nX: y\r\nContent-Length: 9\r\n\r\n")),
    ("chunked, in bare LF", post(b"Transfer-Encoding: chunked", body=b"2\n{}\n0\n\n")),
    ("chunked, of a negative size", post(b"Transfer-Encoding: chunked", body=b"-2\r\n{}\r\n0\r\n\r\n")),
    ("chunked, of 2^64 and 2", post(b"Transfer-Encoding: chunked", body=b"10000000000000002\r\n{}\r\n0\r\n\r\n")),
    ("chunked, without an end", post(b"Transfer-Encoding: chunked", body=b"2\r\n{}\r\n")),
    ("chunked, where no body is read", post(b"Transfer-Encoding: chunked", body=EMPTY, target=b"/v1/challenges")),
    ("chunked, of a GET", get(b"Transfer-Encoding: chunked") + EMPTY),
    ("chunked twice", post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=CHUNKED)),
    ("chunked and identity", post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=CHUNKED)),
    *[("encoding %s" % name, post(b"Transfer-Encoding:" + text, b"Content-Length: 2")) for name, text in (
        ("identity", b" identity"), ("gzip", b" gzip"), ("gzip, chunked", b" gzip, chunked"),
        ("chunked, identity", b" chunked, identity"), ("empty", b""), ("x", b" xchunked"), ("Chunked", b" Chunked"),
        ("behind a tab", b"\tchunked"), ("before a blank", b" chunked "), ("behind a vertical tab", b" \x0bchunked"),
        ("before a semicolon", b" chunked;q=1"), ("in quotes", b' "chunked"'), ("folded", b"\r\n chunked"),
        ("before a NUL", b" chunked\0"), ("behind an empty element", b" , chunked"))],
    ("encoding in capitals", post(b"TRANSFER-ENCODING: chunked", b"Content-Length: 2")),
    ("encoding behind a blank", post(b"Transfer-Encoding : chunked", b"Content-Length: 2")),
    ("encoding behind a tab and a colon", post(b"Transfer-Encoding\t: chunked", b"Content-Length: 2")),
    ("encoding behind a bare LF", post(b"X: y\nTransfer-Encoding: chunked", b"Content-Length: 2")),
    ("encoding behind a bare CR", post(b"X: y\rTransfer-Encoding: chunked", b"Content-Length: 2")),
    ("encoding with its name in quotes", post(b'"Transfer-Encoding": chunked', b"Content-Length: 2")),
    ("encoding cut at a NUL", post(b"Transfer-Encoding\0: chunked", b"Content-Length: 2")),
    ("encoding on a folded line", post(b" Transfer-Encoding: chunked", b"Content-Length: 2")),
]

LINES = [
    ("blank before a colon", get(b"X : y")),
    ("tab before a colon", get(b"X\t: y")),
    ("folded by a blank", get(b"X: y\r\n z")),
    ("folded by a tab", get(b"X: y\r\n\tz")),
    ("folded, with nothing", get(b"X: y\r\n ")),
    ("folded, the last line", get(b"X: y", b" ")),
    ("folded, the first header", head(b" Host: a", b"Host: a")),
    ("blank before the first header", head(b" X: y", b"Host: a")),
    ("folded request line", head(b" HTTP/1.1", b"Host: a", line=b"GET /livez")),
    ("bare LF behind the request line", b"GET /livez HTTP/1.1\nHost: a\r\n\r\n"),
    ("bare LF behind a header", b"GET /livez HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"),
    ("bare LF at the end", b"GET /livez HTTP/1.1\r\nHost: a\r\n\n"),
    ("bare LF twice at the end", b"GET /livez HTTP/1.1\r\nHost: a\n\n"),
    ("bare LF everywhere", b"GET /livez HTTP/1.1\nHost: a\n\n"),
    ("bare LF and a second request in a value", get(b"X: y\n\nGET /livez HTTP/1.1\nHost: b")),
    ("LF CR", b"GET /livez HTTP/1.1\n\rHost: a\n\r\n\r"),
    ("bare CR behind the request line", b"GET /livez HTTP/1.1\rHost: a\r\n\r\n"),
    ("bare CR in a value", get(b"X: y\rZ: z")),
    ("bare CR behind a value", get(b"X: y\r")),
    ("bare CR twice", get(b"X: y\r\r")),
    ("bare CR in a name", get(b"X\rZ: z")),
    ("bare CR at the end", b"GET /livez HTTP/1.1\r\nHost: a\r\r\n\r\n"),
    ("bare CR everywhere", b"GET /livez HTTP/1.1\rHost: a\r\r"),
    ("NUL in the method", get(method=b"GE\0T")),
    ("NUL behind the method", head(b"Host: a", line=b"GET\0 /livez HTTP/1.1")),
    ("NUL in the target", get(target=b"/liv\0ez")),
    ("NUL behind the target", get(target=b"/livez\0")),
    ("NUL and more behind the target", get(target=b"/livez\0/x")),
    ("NUL in the version", get(version=b"HTTP/1\0.1")),
    ("NUL behind the version", get(version=b"HTTP/1.1\0")),
    ("NUL in a name", get(b"X\0Y: z")),
    ("NUL behind a name", get(b"X\0: z")),
    ("NUL in a value", get(b"X: y\0z")),
    ("NUL behind a value", get(b"X: y\0")),
    ("NUL as a value", get(b"X: \0")),
    ("NUL in the Host", head(b"Host: a\0b")),
    ("NUL as a line", get(b"\0")),
    ("NUL before all", b"\0" + get()),
    ("NUL before the end", head(b"Host: a", end=b"\r\n\0\r\n")),
    ("empty name", get(b": x")),
    ("empty name, the first", head(b": x", b"Host: a")),
    ("empty name and value", get(b":")),
    ("empty name and a second request", get(b": x", b"GET /livez HTTP/1.1", b"Host: b")),
    ("name of a blank", get(b" : x")),
    ("no colon", get(b"X")),
    ("no colon, the first", head(b"X", b"Host: a")),
    ("no colon, many words", get(b"X y z")),
    ("name with a blank", get(b"X Y: z")),
    *[("name with %s" % name, get(b"X" + text + b"Y: z")) for name, text in (
        ("a parenthesis", b"("), ("a slash", b"/"), ("an at", b"@"), ("a bracket", b"["), ("a quote", b'"'),
        ("a comma", b","), ("a semicolon", b";"), ("an equals sign", b"="), ("a backslash", b"\\"), ("a brace", b"{"),
        ("a control character", b"\x01"), ("a DEL", b"\x7f"), ("a byte over 127", b"\x80"), ("an umlaut", "ü".encode()))],
    *[("value with %s" % name, get(b"X: y" + text + b"z")) for name, text in (
        ("a control character", b"\x01"), ("an ESC", b"\x1b"), ("a vertical tab", b"\x0b"), ("a form feed", b"\x0c"),
        ("a DEL", b"\x7f"))],
]

HOSTS = [
    ("two Hosts, equal", get(b"Host: a")),
    ("two Hosts, different", get(b"Host: b")),
    ("two Hosts, spelled differently", get(b"HOST: a")),
    ("two Hosts, one empty", head(b"Host:", b"Host: a")),
    ("no Host", head(b"X: y")),
    ("no header at all", head()),
    ("Host behind a blank", head(b"Host : a")),
    ("Host with a blank in its name", head(b"Ho st: a")),
    ("X-Forwarded-For", get(b"X-Forwarded-For: 10.0.0.1")),
    ("X-Forwarded-For twice", get(b"X-Forwarded-For: 10.0.0.1", b"X-Forwarded-For: 10.0.0.2")),
    ("X_Forwarded_For", get(b"X_Forwarded_For: 10.0.0.1")),
    ("Forwarded", get(b"Forwarded: for=10.0.0.1")),
    ("Connection that names X-Forwarded-For", get(b"Connection: keep-alive, X-Forwarded-For")),
    ("two Authorizations", get(b"Authorization: Bearer a", b"Authorization: Bearer b")),
    ("PROXY, version 1", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + get()),
    ("PROXY, version 2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\0\0\1\x0a\0\0\2\0\1\0\2" + get()),
    ("PROXY, version 2, LOCAL", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0" + get()),
]

TARGETS = [
    *[("target " + name, get(target=text)) for name, text in (
        ("absolute", b"http://a/livez"), ("absolute, https", b"https://a/livez"), ("absolute, in capitals", b"HTTP://a/livez"),
        ("absolute, of another host", b"http://b/livez"), ("absolute, without a path", b"http://a"),
        ("of a network path", b"//a/livez"), ("an authority", b"a:80"), ("an asterisk", b"*"), ("without a slash", b"livez"),
        ("with two slashes", b"//livez"), ("with a slash behind", b"/livez/"), ("with a dot", b"/./livez"),
        ("with a dot behind", b"/livez/."), ("with two dots", b"/x/../livez"), ("with two dots first", b"/../livez"),
        ("with encoded dots", b"/x/%2e%2e/livez"), ("with half encoded dots", b"/x/.%2E/livez"),
        ("with an encoded dot", b"/%2e/livez"), ("with an encoded slash", b"/x%2f..%2flivez"),
        ("with an encoded slash behind", b"/livez%2f"), ("of an encoded slash", b"%2flivez"),
        ("with an encoded letter", b"/%6civez"), ("encoded twice", b"/%256civez"), ("with an encoded NUL", b"/livez%00"),
        ("with an encoded blank", b"/livez%20"), ("with an encoded CR LF", b"/livez%0d%0aX:y"),
        ("cut in an escape", b"/livez%"), ("cut in an escape's digits", b"/livez%2"), ("with a wrong escape", b"/livez%zz"),
        ("with a fragment", b"/livez#x"), ("with an empty fragment", b"/livez#"), ("with an encoded question", b"/livez%3fx"),
        ("with a parameter", b"/livez;x"), ("with a backslash", b"\\livez"), ("with a backslash inside", b"/x\\..\\livez"),
        ("in capitals", b"/LIVEZ"), ("with a byte over 127", b"/livez\x80"), ("with an overlong slash", b"\xc0\xaflivez"),
        ("with a control character", b"/livez\x01"), ("with a tab", b"/livez\tx"), ("with a DEL", b"/livez\x7f"),
        ("with a query that is not read", b"/livez?x"), ("with an empty query", b"/livez?"),
        ("with two queries", b"/livez?x?y"), ("with a blank inside", b"/livez x"), ("with a brace", b"/livez{}"))],
    ("target missing", head(b"Host: a", line=b"GET HTTP/1.1")),
    ("target missing, with its blanks", head(b"Host: a", line=b"GET  HTTP/1.1")),
]

METHODS = [
    *[("method " + text.decode("latin-1"), get(method=text)) for text in (
        b"get", b"Get", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH", b"CONNECT", b"BREW", b"PROPFIND",
        b"GETX", b"XGET", b"GE", b"(GET)", b"GET,", b"G@T", b'"GET"')],
    ("method with a control character", get(method=b"GET\x01")),
    ("method with a byte over 127", get(method=b"G\xc3\x8aT")),
    ("method missing", head(b"Host: a", line=b" /livez HTTP/1.1")),
    ("CONNECT with an authority", head(b"Host: a:80", line=b"CONNECT a:80 HTTP/1.1")),
    ("OPTIONS with an asterisk", head(b"Host: a", line=b"OPTIONS * HTTP/1.1")),
    ("TRACE with a hop limit", get(b"Max-Forwards: 0", method=b"TRACE")),
]

VERSIONS = [
    *[("version " + repr(text)[1:], get(version=text)) for text in (
        b"HTTP/1.0", b"HTTP/1.2", b"HTTP/1.10", b"HTTP/1.01", b"HTTP/01.1", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/2", b"HTTP/3",
        b"HTTP/11", b"HTTP/1", b"HTTP/1.", b"HTTP/.1", b"HTTP/1,1", b"HTTP/+1.1", b"HTTP/1.-1", b"HTTP /1.1", b"HTTP/ 1.1",
        b"http/1.1", b"Http/1.1", b"HTTPS/1.1", b"HTP/1.1", b"ICY/1.1", b"RTSP/1.0", b"SIP/2.0", b"HTTP/1.1x",
        b"HTTP/1.1 ", b"HTTP/1.1  ", b"HTTP/1.1\t", b"HTTP/1.1 HTTP/1.1", b"HTTP/1.1 x", b"")],
    ("HTTP/1.0, kept", get(b"Connection: keep-alive", version=b"HTTP/1.0")),
    ("HTTP/0.9", b"GET /livez\r\n"),
    ("HTTP/0.9, with an end", b"GET /livez\r\n\r\n"),
    ("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"),
    ("blanks between, two", head(b"Host: a", line=b"GET  /livez  HTTP/1.1")),
    ("blanks before the target, two", head(b"Host: a", line=b"GET  /livez HTTP/1.1")),
    ("blanks before the version, two", head(b"Host: a", line=b"GET /livez  HTTP/1.1")),
    ("tabs between", head(b"Host: a", line=b"GET\t/livez\tHTTP/1.1")),
    ("tab before the version", head(b"Host: a", line=b"GET /livez\tHTTP/1.1")),
    ("vertical tabs between", head(b"Host: a", line=b"GET\x0b/livez\x0bHTTP/1.1")),
    ("blank before the method", b" " + get()),
    ("tab before the method", b"\t" + get()),
    ("a line of a blank before all", b" \r\n" + get()),
    ("an answer instead of a request", b"HTTP/1.1 200 OK\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
    ("an answer's line before all", b"HTTP/1.1 100 Continue\r\n\r\n" + get()),
    ("a header before the request line", b"Host: a\r\n" + get()),
    ("a byte order mark before all", b"\xef\xbb\xbf" + get()),
    ("TLS's first bytes", bytes.fromhex("16030100c8010000c40303") + bytes(189) + b"\r\n\r\n"),
    ("another protocol", b"EHLO a\r\nMAIL FROM:<a@b>\r\n\r\n"),
    ("a JSON object", b'{"a":1}\r\n\r\n'),
]

KINDS = [
    ("multipart", post(b"Content-Length: 2").replace(b"application/json", b"multipart/form-data; boundary=x")),
    ("a form", post(b"Content-Length: 2").replace(b"application/json", b"application/x-www-form-urlencoded")),
    ("no type", post(b"Content-Length: 2").replace(b"Content-Type: application/json\r\n", b"")),
    ("a body over the limit", post(b"Content-Length: 65537", body=b"x" * 65537)),
]


def rows(group, statuses):
    return [(name, data, statuses) for name, data in group]


# (name, bytes, statuses that may be given)
REFUSED = [*rows(LENGTHS, (400,)), *rows(LARGE, TOO_MUCH + (405, 505)), *rows(ENCODINGS, (400, 501)), *rows(LINES, (400, 404, 405)),
           *rows(HOSTS, (400,)), *rows(TARGETS, (400, 404, 405)), *rows(METHODS, (400, 404, 405, 501)),
           *rows(VERSIONS, (400, 404, 405, 505)), *rows(KINDS, (413, 415))]

# Where the first is served the second is as well; where it is refused, nothing behind it is.
LEGAL = [
    ("empty Host", head(b"Host:"), (200, 400)),
    ("Host that is no name", head(b"Host: a/b@c"), (200, 400)),
    ("a line's end before all", b"\r\n" + get(), (200, 400)),
    ("three lines' ends before all", b"\r\n\r\n\r\n" + get(), (200, 400)),
    ("leading zeros in a length", post(b"Content-Length: 0002"), (400,)),
    ("length of nothing", get(b"Content-Length: 0"), (200,)),
    ("length of nothing where a body may be", post(b"Content-Length: 0", body=b""), (400,)),
    ("a byte over 127 in a value", get(b"X: \xfc"), (200, 400)),
    ("an unknown name with an underscore", get(b"Transfer_Encoding: chunked"), (200, 400)),
    ("Content_Length", get(b"Content_Length: 9"), (200, 400)),
    ("Upgrade to h2c", get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"), (200, 400)),
    ("Upgrade to a web socket", get(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
                                    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), (200, 400)),
    ("Connection that names a length", get(b"Connection: Content-Length", b"Content-Length: 0"), (200, 400)),
    ("Connection that names an encoding", get(b"Connection: Transfer-Encoding"), (200, 400)),
    ("Trailer without chunks", get(b"Trailer: Content-Length"), (200, 400)),
    ("TE", get(b"TE: trailers", b"Connection: TE"), (200,)),
    ("Expect", post(b"Expect: 100-continue", b"Content-Length: 2"), (400,)),
    ("Expect, in capitals", post(b"EXPECT: 100-CONTINUE", b"Content-Length: 2"), (400, 417)),
    ("Expect something else", post(b"Expect: 200-ok", b"Content-Length: 2"), (400, 417)),
    ("Expect twice", post(b"Expect: 100-continue", b"Expect: 100-continue", b"Content-Length: 2"), (400, 417)),
    # libmicrohttpd closes where such a one is followed by another
    ("Expect without a body", get(b"Expect: 100-continue"), (200, 400, 417, None)),
    ("gzip", post(b"Content-Encoding: gzip", b"Content-Length: 20", body=bytes.fromhex(
        "1f8b08000000000000ff") + b"\xab\xae\x05\x00C\xbf\xa6\xa3\x02\x00"), (400, 415)),
    ("two types", post(b"Content-Type: text/plain", b"Content-Length: 2"), (400, 415)),
    ("a Range", get(b"Range: bytes=0-1"), (200, 400)),
    ("If-Match", get(b"If-Match: *"), (200, 400)),
    ("Proxy-Connection", get(b"Proxy-Connection: keep-alive"), (200, 400)),
    ("HTTP method override", get(b"X-HTTP-Method-Override: DELETE"), (200, 400)),
    ("X-Original-URL", get(b"X-Original-URL: /metrics", b"X-Rewrite-URL: /metrics"), (200, 400)),
]

# More than was announced is the beginning of another request, and that is none; (name, bytes, statuses).
OVER = [
    ("body longer than announced", post(b"Content-Length: 2", body=b"{}xx"), (400,)),
    ("body that was not announced", post(body=b"{}"), (400,)),
    ("body behind a GET", get() + b"{}", (200, 400)),
    ("chunks that were not announced", post(b"Content-Length: 0", body=CHUNKED), (400,)),
]

# These never become whole: nothing is answered, and they are closed at the deadline.
NEVER_WHOLE = [
    ("body shorter than announced", post(b"Content-Length: 5000"), (408,)),
    ("header without an end", b"GET /livez HTTP/1.1\r\nHost: a\r\n", (408,)),
    ("request line without an end", b"GET /livez", (408,)),
]
