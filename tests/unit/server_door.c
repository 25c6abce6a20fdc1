/* The PROXY protocol: every truncation and mutation of a header (ATTACKS.md 16), and the door with real
 * sockets on loopback: 127.100.0.0/24 are its proxies. */
#include "server/door.h"
#include "server/proxy_header.h"
#include "tests/unit/unit.h"
#include "verifier/encoding.h"
#include "verifier/request.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SECONDS_MS = 10000, PLAIN = 28, SHARE = 3 };

/* 127.0.1.225:1027 -> 127.0.0.1:8443 */
static const unsigned char good[PLAIN] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"
					 "\x7f\0\x01\xe1\x7f\0\0\x01\x04\x03\x20\xfb";
static const unsigned char local[16] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/* ---- the header alone */

static enum proxy_header_state state_of(const void *data, size_t length, struct proxy_header *header)
{
	return proxy_header_parse((struct bytes){ data, length }, header);
}

static void header_good(void **state)
{
	static const unsigned char other_family[20] = "\r\n\r\n\0\r\nQUIT\n\x20\x21\0\x04????";
	struct proxy_header header;

	(void)state;
	assert_int_equal(state_of(good, sizeof(good), &header), PROXY_HEADER_WHOLE);
	assert_int_equal(header.size, PLAIN);
	assert_false(header.local);
	assert_int_equal(ntohl(header.client.sin_addr.s_addr), 0x7f0001e1);
	assert_int_equal(ntohs(header.client.sin_port), 1027);
	assert_int_equal(header.client.sin_family, AF_INET);
	assert_int_equal(state_of(local, sizeof(local), &header), PROXY_HEADER_WHOLE);
	assert_true(header.local);
	/* the block of LOCAL is skipped, whatever it is */
	assert_int_equal(state_of(other_family, sizeof(other_family), &header), PROXY_HEADER_WHOLE);
	assert_true(header.local);
	assert_int_equal(header.size, sizeof(other_family));
}

static void attack_16_cut_short(void **state)
{
	struct proxy_header header;
	size_t length;

	(void)state;
	for (length = 0; length < PLAIN; length++) {
		assert_int_equal(state_of(good, length, &header), PROXY_HEADER_PART);
		/* never more than certainly belongs to it */
		assert_int_equal(header.size, length < PROXY_HEADER_FIRST ? PROXY_HEADER_FIRST : PLAIN);
	}
	for (length = 0; length < sizeof(local); length++)
		assert_int_equal(state_of(local, length, &header), PROXY_HEADER_PART);
}

/* What a first part with this byte changed has to come to. */
static enum proxy_header_state expected(size_t at, unsigned char byte)
{
	if (at < 12 || at == 13)
		return PROXY_HEADER_REFUSED;
	if (at == 12)
		return byte == 0x20 ? PROXY_HEADER_WHOLE : PROXY_HEADER_REFUSED; /* PROXY became LOCAL */
	if (at == 14) /* longer by 256 at least */
		return 16 + byte * 256 + 12 > PROXY_HEADER_MAX ? PROXY_HEADER_REFUSED : PROXY_HEADER_PART;
	if (at == 15)
		return byte < 12 ? PROXY_HEADER_REFUSED : PROXY_HEADER_PART;
	return PROXY_HEADER_WHOLE; /* other addresses, other ports */
}

static void attack_16_every_byte_changed(void **state)
{
	struct proxy_header header;
	unsigned char changed[PLAIN];
	size_t at;
	unsigned byte;

	(void)state;
	for (at = 0; at < PLAIN; at++) {
		for (byte = 0; byte < 256; byte++) {
			enum proxy_header_state observed;

			if (byte == good[at])
				continue;
			memcpy(changed, good, PLAIN);
			changed[at] = (unsigned char)byte;
			observed = state_of(changed, PLAIN, &header);
			if (observed != expected(at, (unsigned char)byte))
				fail_msg("byte %zu = 0x%02x: state %d", at, byte, observed);
			/* refused as soon as the byte is there, not only when all has come */
			if (at < 14 && observed == PROXY_HEADER_REFUSED)
				assert_int_equal(state_of(changed, at + 1, &header), PROXY_HEADER_REFUSED);
		}
	}
}

static void attack_16_version_1(void **state)
{
	static const char *const texts[] = { "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", "PROXY UNKNOWN\r\n", "P",
		"GET / HTTP/1.1\r\n", "\r\n\r\nG" };
	struct proxy_header header;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(state_of(texts[i], strlen(texts[i]), &header), PROXY_HEADER_REFUSED);
}

/* A header with an extension of `claimed` bytes in `there` bytes of room. */
static enum proxy_header_state with_extension(size_t there, unsigned claimed, size_t *size)
{
	static unsigned char data[PROXY_HEADER_MAX + 100];
	struct proxy_header header;
	enum proxy_header_state observed;

	memset(data, 0, sizeof(data));
	memcpy(data, good, PLAIN);
	data[14] = (unsigned char)((12 + there) >> 8);
	data[15] = (unsigned char)(12 + there);
	data[PLAIN] = 0x04; /* PP2_TYPE_NOOP */
	data[PLAIN + 1] = (unsigned char)(claimed >> 8);
	data[PLAIN + 2] = (unsigned char)claimed;
	observed = state_of(data, PLAIN + there, &header);
	*size = header.size;
	return observed;
}

static void attack_16_extensions(void **state)
{
	size_t size;
	size_t there;

	(void)state;
	for (there = 3; there <= PROXY_HEADER_MAX - PLAIN; there++) {
		assert_int_equal(with_extension(there, (unsigned)there - 3, &size), PROXY_HEADER_WHOLE);
		assert_int_equal(size, PLAIN + there);
		assert_int_equal(with_extension(there, (unsigned)there - 2, &size), PROXY_HEADER_REFUSED);
		if (there > 3 && there - 3 < 6) /* what is left is too short for another one */
			assert_int_equal(with_extension(there, 0, &size),
				(there - 3) % 3 ? PROXY_HEADER_REFUSED : PROXY_HEADER_WHOLE);
	}
	assert_int_equal(with_extension(1, 0, &size), PROXY_HEADER_REFUSED);
	assert_int_equal(with_extension(2, 0, &size), PROXY_HEADER_REFUSED);
	assert_int_equal(with_extension(200, 0xffff, &size), PROXY_HEADER_REFUSED);
	assert_int_equal(with_extension(PROXY_HEADER_MAX - PLAIN + 1, PROXY_HEADER_MAX - PLAIN - 2, &size),
		PROXY_HEADER_REFUSED);
}

/* ---- the door itself */

struct house {
	struct forwarding forwarding;
	struct door *door;
	struct connections *connections;
	int guest; /* the last one who came in */
	struct sockaddr_in address;
	int admitted[2]; /* a pipe of struct guest */
};

struct guest {
	int fd;
	struct sockaddr_in client;
};

static bool admit(void *context, int fd, const struct sockaddr_in *client)
{
	struct house *house = context;
	struct guest guest = { .fd = fd, .client = *client };

	return write(house->admitted[1], &guest, sizeof(guest)) == sizeof(guest);
}

static bool admit_nobody(void *context, int fd, const struct sockaddr_in *client)
{
	(void)admit(context, fd, client);
	return false;
}

static int socket_on(const char *host, struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	*address = (struct sockaddr_in){ .sin_family = AF_INET };
	assert_true(address_decode(host, &address->sin_addr));
	assert_int_equal(bind(fd, (struct sockaddr *)address, sizeof(*address)), 0);
	return fd;
}

static void house_open(struct house *house, size_t most, bool (*how)(void *, int, const struct sockaddr_in *))
{
	const struct connections_settings limits = { .most = most,
		.per_address = SHARE,
		.patience_ms = { [CONNECTION_HEAD] = 100, [CONNECTION_BODY] = 100000 } };
	struct door_settings settings = { .forwarding = &house->forwarding, .admit = how, .context = house };
	socklen_t length = sizeof(house->address);

	memset(house, 0, sizeof(*house));
	house->forwarding.by = FORWARDED_BY_PROXY_PROTOCOL;
	house->forwarding.n_proxies = 1;
	house->forwarding.proxies[0].bits = 24;
	assert_true(address_decode("127.100.0.0", &house->forwarding.proxies[0].address));
	assert_int_equal(pipe(house->admitted), 0);
	settings.fd = socket_on("127.0.0.1", &house->address);
	assert_int_equal(getsockname(settings.fd, (struct sockaddr *)&house->address, &length), 0);
	assert_int_equal(fcntl(settings.fd, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(listen(settings.fd, 1024), 0);
	house->connections = connections_new(&limits);
	assert_non_null(house->connections);
	settings.connections = house->connections;
	house->door = door_new(&settings);
	assert_non_null(house->door);
	assert_true(door_open(house->door));
}

static void house_close(struct house *house)
{
	door_shut(house->door);
	door_shut(house->door);
	door_free(house->door);
	connections_free(house->connections);
	close(house->admitted[0]);
	close(house->admitted[1]);
}

static int call_from(const struct house *house, const char *host)
{
	struct sockaddr_in own;
	int fd = socket_on(host, &own);

	assert_int_equal(connect(fd, (const struct sockaddr *)&house->address, sizeof(house->address)), 0);
	return fd;
}

static void say(int fd, const void *data, size_t length)
{
	assert_int_equal(send(fd, data, length, MSG_NOSIGNAL), length);
}

static bool readable(int fd, int milliseconds)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	return poll(&wait, 1, milliseconds) == 1;
}

/* The next one who comes in, with exactly `text` waiting in its socket. */
static void assert_guest(struct house *house, const char *host, const char *text)
{
	struct guest guest;
	char name[ADDRESS_SIZE];
	char got[64] = "";

	assert_true(readable(house->admitted[0], SECONDS_MS));
	assert_int_equal(read(house->admitted[0], &guest, sizeof(guest)), sizeof(guest));
	inet_ntop(AF_INET, &guest.client.sin_addr, name, sizeof(name));
	assert_string_equal(name, host);
	assert_true(readable(guest.fd, SECONDS_MS));
	assert_int_equal(recv(guest.fd, got, sizeof(got) - 1, 0), strlen(text));
	assert_string_equal(got, text);
	house->guest = guest.fd;
}

static void guest_leaves(struct house *house)
{
	door_leave(house->door, house->guest);
	close(house->guest);
}

static void assert_turned_away(struct house *house, int fd)
{
	char byte;

	assert_true(readable(fd, SECONDS_MS));
	assert_true(recv(fd, &byte, 1, 0) <= 0);
	assert_false(readable(house->admitted[0], 0));
	close(fd);
}

static void everybody_gets_in(void **state)
{
	struct house house;
	int proxy;
	int self;
	int stranger;
	size_t i;

	(void)state;
	house_open(&house, 100, admit);
	proxy = call_from(&house, "127.100.0.1");
	for (i = 0; i < sizeof(good); i++) /* in the smallest pieces, and what follows with the last one */
		say(proxy, i + 1 < sizeof(good) ? (const char *)good + i : "\xfbGET",
			i + 1 < sizeof(good) ? 1 : 4);
	assert_guest(&house, "127.0.1.225", "GET");
	guest_leaves(&house);
	self = call_from(&house, "127.100.0.2");
	say(self, local, sizeof(local));
	say(self, "check", 5);
	assert_guest(&house, "127.100.0.2", "check");
	guest_leaves(&house);
	/* a stranger's bytes are not read here, not even when they look like a header */
	stranger = call_from(&house, "127.0.0.9");
	say(stranger, "\r\n\r\n", 4);
	assert_guest(&house, "127.0.0.9", "\r\n\r\n");
	guest_leaves(&house);
	close(proxy);
	close(self);
	close(stranger);
	house_close(&house);
}

static void attack_16_turned_away(void **state)
{
	struct house house;
	int fd;

	(void)state;
	house_open(&house, 100, admit);
	fd = call_from(&house, "127.100.0.1");
	say(fd, "GET /livez HTTP/1.1\r\n\r\n", 23);
	assert_turned_away(&house, fd);
	fd = call_from(&house, "127.100.0.1");
	say(fd, good, 20);
	shutdown(fd, SHUT_WR);
	assert_turned_away(&house, fd);
	fd = call_from(&house, "127.100.0.1");
	shutdown(fd, SHUT_WR);
	assert_turned_away(&house, fd);
	fd = call_from(&house, "127.100.0.1"); /* the rest never comes: its deadline */
	say(fd, good, 20);
	assert_turned_away(&house, fd);
	house_close(&house);
}

static void the_oldest_goes(void **state)
{
	struct house house;
	int stalled[DOOR_PENDING_MAX];
	int late;
	size_t i;

	(void)state;
	house_open(&house, 1000, admit);
	for (i = 0; i < DOOR_PENDING_MAX; i++)
		stalled[i] = call_from(&house, "127.100.0.1");
	late = call_from(&house, "127.100.0.3");
	assert_turned_away(&house, stalled[0]);
	say(late, good, sizeof(good));
	say(late, "late", 4);
	assert_guest(&house, "127.0.1.225", "late");
	guest_leaves(&house);
	for (i = 1; i < DOOR_PENDING_MAX; i++)
		close(stalled[i]);
	close(late);
	house_close(&house);
}

static void a_full_house_waits(void **state)
{
	struct house house;
	int fds[4];
	size_t i;

	(void)state;
	house_open(&house, 3, admit);
	for (i = 0; i < 4; i++) {
		fds[i] = call_from(&house, i % 2 ? "127.0.0.8" : "127.0.0.9");
		say(fds[i], "hello", 5);
	}
	for (i = 0; i < 3; i++)
		assert_guest(&house, i % 2 ? "127.0.0.8" : "127.0.0.9", "hello");
	assert_false(readable(house.admitted[0], 200));
	guest_leaves(&house);
	assert_guest(&house, "127.0.0.8", "hello");
	for (i = 0; i < 4; i++)
		close(fds[i]);
	house_close(&house);
}

/* One more than its share is turned away at once; another address, and what comes by a proxy for others, is
 * not; and who leaves makes room for the next. */
static void attack_35_each_address_has_its_share(void **state)
{
	struct connection_counts counts;
	struct house house;
	int fds[SHARE];
	int fd;
	size_t i;

	(void)state;
	house_open(&house, 100, admit);
	for (i = 0; i < SHARE; i++) {
		fds[i] = call_from(&house, "127.0.1.225");
		say(fds[i], "mine", 4);
		assert_guest(&house, "127.0.1.225", "mine");
	}
	assert_turned_away(&house, call_from(&house, "127.0.1.225"));
	fd = call_from(&house, "127.100.0.1"); /* a proxy that brings the same one */
	say(fd, good, sizeof(good));
	assert_turned_away(&house, fd);
	fd = call_from(&house, "127.0.0.9");
	say(fd, "other", 5);
	assert_guest(&house, "127.0.0.9", "other");
	close(fd);
	guest_leaves(&house);
	for (i = 0; i < 2 * SHARE; i++) { /* the proxies' own health checks count for nobody */
		fd = call_from(&house, "127.100.0.1");
		say(fd, local, sizeof(local));
		say(fd, "check", 5);
		assert_guest(&house, "127.100.0.1", "check");
		close(fd);
	}
	connections_count(house.connections, &counts);
	assert_int_equal(counts.over_share, 2);
	assert_int_equal(counts.open, 3 * SHARE);
	for (i = 0; i < SHARE; i++)
		close(fds[i]);
	house_close(&house);
}

/* Whatever trickles in, the end comes; and not to somebody whose phase has a later one. */
static void attack_35_deadlines_that_nothing_stretches(void **state)
{
	struct house house;
	struct connection_counts counts;
	int slow;
	int other;
	int slow_inside;
	char byte;

	(void)state;
	house_open(&house, 100, admit);
	slow = call_from(&house, "127.0.0.8");
	say(slow, "G", 1);
	assert_guest(&house, "127.0.0.8", "G");
	slow_inside = house.guest;
	connections_phase(house.connections, house.guest, CONNECTION_HEAD);
	other = call_from(&house, "127.0.0.9");
	say(other, "G", 1);
	assert_guest(&house, "127.0.0.9", "G");
	connections_phase(house.connections, house.guest, CONNECTION_BODY);
	while (!readable(slow, 10))
		assert_int_equal(send(slow, "E", 1, MSG_NOSIGNAL), 1);
	while (recv(slow_inside, &byte, 1, 0) > 0)
		;
	assert_false(readable(other, 0));
	connections_count(house.connections, &counts);
	assert_int_equal(counts.expired[CONNECTION_HEAD], 1);
	assert_int_equal(counts.expired[CONNECTION_BODY], 0);
	close(slow);
	close(other);
	house_close(&house);
}

/* Who is not taken inside leaves again, and whoever is turned away too: or the house would fill up. */
static void nobody_is_counted_twice(void **state)
{
	struct house house;
	size_t i;

	(void)state;
	house_open(&house, 3, admit_nobody);
	for (i = 0; i < 20; i++) {
		int fd = call_from(&house, i % 2 ? "127.0.0.9" : "127.100.0.1");

		say(fd, i % 2 ? "hello" : "wrong", 5);
		if (i % 2)
			assert_guest(&house, "127.0.0.9", "hello");
		else
			assert_turned_away(&house, fd);
		if (i % 2) {
			close(house.guest);
			close(fd);
		}
	}
	house_close(&house);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_good),
		cmocka_unit_test(attack_16_cut_short),
		cmocka_unit_test(attack_16_every_byte_changed),
		cmocka_unit_test(attack_16_version_1),
		cmocka_unit_test(attack_16_extensions),
		cmocka_unit_test(everybody_gets_in),
		cmocka_unit_test(attack_16_turned_away),
		cmocka_unit_test(the_oldest_goes),
		cmocka_unit_test(a_full_house_waits),
		cmocka_unit_test(nobody_is_counted_twice),
		cmocka_unit_test(attack_35_each_address_has_its_share),
		cmocka_unit_test(attack_35_deadlines_that_nothing_stretches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
