/* The PROXY protocol's header as it comes, byte by byte: what is refused stays refused, nothing behind the
 * header counts, and no more is asked for than belongs to it. */
#include "server/proxy_header.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void whole_fits(struct bytes data, const struct proxy_header *header)
{
	MUST_HOLD(header->size >= PROXY_HEADER_FIRST && header->size <= PROXY_HEADER_MAX);
	MUST_HOLD(header->size <= data.length);
	MUST_HOLD(memcmp(data.data, "\r\n\r\n\0\r\nQUIT\n", 12) == 0);
	MUST_HOLD(header->local == (data.data[12] == 0x20));
	if (header->local)
		return;
	MUST_HOLD(data.data[12] == 0x21 && data.data[13] == 0x11 && header->size >= 28);
	MUST_HOLD(header->client.sin_family == AF_INET);
	MUST_HOLD(memcmp(&header->client.sin_addr, data.data + 16, 4) == 0);
	MUST_HOLD(memcmp(&header->client.sin_port, data.data + 24, 2) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header header, before = { 0 };
	enum proxy_header_state state, last = PROXY_HEADER_PART;
	size_t length;

	for (length = 0; length <= size && length <= PROXY_HEADER_MAX + 8; length++) {
		state = proxy_header_parse((struct bytes){ data, length }, &header);
		MUST_HOLD(last != PROXY_HEADER_REFUSED || state == PROXY_HEADER_REFUSED);
		if (last == PROXY_HEADER_WHOLE)
			MUST_HOLD(
				state == PROXY_HEADER_WHOLE && memcmp(&header, &before, sizeof(header)) == 0);
		if (state == PROXY_HEADER_PART)
			MUST_HOLD(header.size > length && header.size <= PROXY_HEADER_MAX);
		if (state == PROXY_HEADER_WHOLE) {
			MUST_HOLD(last == PROXY_HEADER_WHOLE || header.size == length);
			whole_fits((struct bytes){ data, length }, &header);
		}
		last = state;
		before = header;
	}
	return 0;
}
