/* Base URLs by a grammar narrower than RFC 3986, so that libcurl cannot read one differently than we do. Must
 * never let user information, a path, a query or an escape through, nor plain http to a host that merely
 * looks local. */
#include "agent/url.h"

#include "verifier/encoding.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HOST_SIZE = 254 };

struct parts {
	bool https;
	char host[HOST_SIZE]; /* with its brackets, where it has them */
	int port; /* 0: none given */
};

static bool scheme_take(const char **text, bool *https)
{
	*https = strncasecmp(*text, "https://", 8) == 0;
	if (!*https && strncasecmp(*text, "http://", 7) != 0)
		return false;
	*text += *https ? 8 : 7;
	return true;
}

static bool bracketed_valid(const char *host)
{
	struct in6_addr address;
	char inside[INET6_ADDRSTRLEN];
	size_t length = strlen(host);

	if (length < 4 || length - 2 >= sizeof(inside) || host[length - 1] != ']')
		return false;
	memcpy(inside, host + 1, length - 2);
	inside[length - 2] = '\0';
	return inet_pton(AF_INET6, inside, &address) == 1;
}

static bool host_take(const char **text, char host[HOST_SIZE])
{
	static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";
	static const char inside[] = "0123456789abcdefABCDEF:.";
	size_t length = strspn(*text, name);

	if (**text == '[') {
		length = 1 + strspn(*text + 1, inside);
		length += (*text)[length] == ']';
	}
	if (length == 0 || length >= HOST_SIZE)
		return false;
	memcpy(host, *text, length);
	host[length] = '\0';
	*text += length;
	if (host[0] == '[')
		return bracketed_valid(host);
	return host[0] != '.' && host[0] != '-';
}

static bool port_take(const char **text, int *port)
{
	size_t digits;

	*port = 0;
	if (**text != ':')
		return true;
	(*text)++;
	digits = strspn(*text, "0123456789");
	if (digits == 0 || digits > 5)
		return false;
	*port = atoi(*text);
	*text += digits;
	return *port > 0 && *port < 65536;
}

static bool url_parse(const char *text, struct parts *parts)
{
	if (!scheme_take(&text, &parts->https) || !host_take(&text, parts->host) ||
		!port_take(&text, &parts->port))
		return false;
	return text[0] == '\0' || strcmp(text, "/") == 0;
}

static bool host_is_loopback(const char *host)
{
	struct in_addr address;

	if (strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
		return true;
	return address_decode(host, &address) && ntohl(address.s_addr) >> 24 == 127;
}

static void url_print(const struct parts *parts, char *url)
{
	int length = snprintf(url, URL_SIZE, "%s://%s", parts->https ? "https" : "http", parts->host);

	if (parts->port)
		snprintf(url + length, (size_t)(URL_SIZE - length), ":%d", parts->port);
}

bool url_of_server(const char *text, char *url, struct complaint *complaint)
{
	struct parts parts;

	if (!url_parse(text, &parts))
		return complain(complaint,
			"--server: not a base URL; write https://HOST or https://HOST:PORT, "
			"without user, path or query");
	if (!parts.https && !host_is_loopback(parts.host))
		return complain(complaint,
			"--server: plain http only to a loopback address (127.0.0.0/8, [::1], "
			"localhost); write https://%s",
			parts.host);
	url_print(&parts, url);
	return true;
}

bool url_of_metadata(const char *text, char *url, struct complaint *complaint)
{
	struct parts parts;

	if (!url_parse(text, &parts))
		return complain(complaint,
			"AWS_EC2_METADATA_SERVICE_ENDPOINT: not a base URL; write http://HOST or "
			"http://HOST:PORT, or unset it for http://169.254.169.254");
	url_print(&parts, url);
	return true;
}
