/* The PROXY protocol, version 2: fixed places, exact lengths. Never reads ahead of what the header says of
 * itself, and takes no second spelling: version 1, IPv6, datagrams and UNIX sockets are refused. */
#include "server/proxy_header.h"

#include <string.h>

enum { SIGNATURE = 12, COMMAND = 12, FAMILY = 13, LENGTH = 14, EXTENSIONS = 28, EXTENSION_FIRST = 3 };
enum { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21, TCP_OVER_IPV4 = 0x11 };

static const unsigned char signature[SIGNATURE] = "\r\n\r\n\0\r\nQUIT\n";

static unsigned number16(const unsigned char *data)
{
	return (unsigned)data[0] << 8 | data[1];
}

/* Each is a type, a length of two bytes, a value; together they end where the header ends. */
static bool extensions_fit(const unsigned char *data, size_t at, size_t size)
{
	while (at < size) {
		if (size - at < EXTENSION_FIRST)
			return false;
		at += EXTENSION_FIRST + number16(data + at + 1);
	}
	return at == size;
}

/* Are the first bytes, as many as have come, those of a header? */
static bool first_fits(struct bytes data)
{
	size_t known = data.length < SIGNATURE ? data.length : SIGNATURE;

	if (memcmp(data.data, signature, known) != 0)
		return false;
	if (data.length > COMMAND && data.data[COMMAND] != COMMAND_PROXY &&
		data.data[COMMAND] != COMMAND_LOCAL)
		return false;
	return data.length <= FAMILY || data.data[COMMAND] == COMMAND_LOCAL ||
	       data.data[FAMILY] == TCP_OVER_IPV4;
}

static void client_take(const unsigned char *data, struct sockaddr_in *client)
{
	*client = (struct sockaddr_in){ .sin_family = AF_INET };
	memcpy(&client->sin_addr, data + 16, 4);
	memcpy(&client->sin_port, data + 24, 2);
}

enum proxy_header_state proxy_header_parse(struct bytes data, struct proxy_header *header)
{
	*header = (struct proxy_header){ .size = PROXY_HEADER_FIRST };
	if (data.length > 0 && !first_fits(data))
		return PROXY_HEADER_REFUSED;
	if (data.length < PROXY_HEADER_FIRST)
		return PROXY_HEADER_PART;
	header->local = data.data[COMMAND] == COMMAND_LOCAL;
	header->size += number16(data.data + LENGTH);
	if (header->size > PROXY_HEADER_MAX || (!header->local && header->size < EXTENSIONS))
		return PROXY_HEADER_REFUSED;
	if (data.length < header->size)
		return PROXY_HEADER_PART;
	if (header->local)
		return PROXY_HEADER_WHOLE;
	if (!extensions_fit(data.data, EXTENSIONS, header->size))
		return PROXY_HEADER_REFUSED;
	client_take(data.data, &header->client);
	return PROXY_HEADER_WHOLE;
}
