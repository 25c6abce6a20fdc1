/* What a member process must do for one release, with its own functions and nothing around them; and a
 * message that goes to another process and comes back. */
#include "bench/parts.h"
#include "vault/cms_seal.h"
#include "vault/envelope_crypto.h"
#include "vault/payload.h"
#include "vault/token.h"
#include "vault/wrap.h"
#include "verifier/encoding.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	RELEASES = 100,
	ITEMS_MAX = 8,
	TEXT_MAX = 8192,
	TRIPS = 2000,
	ASKED_BYTES = 1400,
	ANSWERED_BYTES = 1800
};

struct sealed_item {
	struct envelope_label label;
	unsigned char nonce[NONCE_BYTES], text[TEXT_MAX], wrap[WRAP_MAX];
	size_t text_length, wrap_length;
};

struct case_file {
	json_t *json;
	const char *member;
	unsigned generation;
	enum iv_mode iv_mode;
	struct bytes spki;
	unsigned char spki_bytes[SPKI_P256];
	unsigned n;
	struct sealed_item items[ITEMS_MAX];
};

static const char *text(const json_t *object, const char *member)
{
	const char *value = json_string_value(json_object_get(object, member));

	return value ? value : "";
}

static bool bytes_read(
	const json_t *object, const char *member, unsigned char *to, size_t max, size_t *length)
{
	const char *hex = text(object, member);

	*length = strlen(hex) / 2;
	return *length && *length <= max && hex_decode(hex, to, *length);
}

static bool item_read(const struct case_file *file, const json_t *json, struct sealed_item *item)
{
	size_t length;

	item->label = (struct envelope_label){ text(file->json, "vault"), text(json, "name"),
		text(json, "kind"), (unsigned)json_integer_value(json_object_get(json, "version")) };
	return bytes_read(json, "nonce", item->nonce, NONCE_BYTES, &length) && length == NONCE_BYTES &&
	       bytes_read(json, "text", item->text, TEXT_MAX, &item->text_length) &&
	       bytes_read(json, "wrap", item->wrap, WRAP_MAX, &item->wrap_length);
}

static bool case_read(const char *path, struct case_file *file)
{
	const json_t *items;
	size_t i;
	json_t *item;

	file->json = json_load_file(path, 0, NULL);
	file->member = text(file->json, "member");
	file->generation = (unsigned)json_integer_value(json_object_get(file->json, "generation"));
	file->iv_mode = (enum iv_mode)json_integer_value(json_object_get(file->json, "iv_mode"));
	file->spki.data = file->spki_bytes;
	if (!bytes_read(file->json, "spki", file->spki_bytes, SPKI_P256, &file->spki.length))
		return false;
	items = json_object_get(file->json, "items");
	json_array_foreach(items, i,
		item) if (i == ITEMS_MAX || !item_read(file, item, &file->items[file->n++])) return false;
	return file->n > 0;
}

static struct token_session *session_open(const struct case_file *file, struct token **token)
{
	struct complaint complaint = { "" };
	const char *pin = text(file->json, "pin");
	struct token_session *session = NULL;

	*token = token_load(text(file->json, "module"), &complaint);
	if (*token && token_find(*token, text(file->json, "label"), "", &complaint) == TOKEN_THERE &&
		token_login(*token, (struct bytes){ (const unsigned char *)pin, strlen(pin) }, &complaint) ==
			LOGIN_OK)
		session = token_session_open(*token, &complaint);
	if (session && token_key_choose(session, text(file->json, "key_id"), &complaint))
		return session;
	parts_failed(complaint.text);
	return NULL;
}

static bool unwrap(struct token_session *session, const struct case_file *file,
	const struct sealed_item *item, unsigned char key[DATA_KEY_BYTES])
{
	struct complaint complaint;
	struct aad aad;

	wrap_aad(&item->label, file->member, file->generation, &aad);
	return wrap_open(session, file->iv_mode, (struct bytes){ aad.data, aad.length },
		(struct bytes){ item->wrap, item->wrap_length }, key, &complaint);
}

static bool to_cms(void *seal, struct bytes piece)
{
	return cms_seal_write(seal, piece);
}

/* The envelopes opened and what was in them sealed. */
static bool seal(const struct case_file *file, unsigned char keys[ITEMS_MAX][DATA_KEY_BYTES])
{
	static const unsigned char hash[32];
	const struct payload_head head = { "019b76da-a800-7000-8000-000000000000", "i-0123456789abcdef0",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", hash };
	unsigned char plain[TEXT_MAX], *der = NULL;
	struct cms_seal *cms = cms_seal_new(file->spki);
	struct payload *payload = payload_new(to_cms, cms, &head);
	bool good = cms && payload;
	size_t length;

	for (unsigned i = 0; good && i < file->n; i++) {
		const struct sealed_item *item = &file->items[i];

		good = envelope_open(&item->label, keys[i], item->nonce,
			(struct bytes){ item->text, item->text_length }, plain);
		if (good)
			payload_secret(payload, item->label.name, item->label.kind, item->label.version,
				(struct bytes){ plain, item->text_length - TAG_BYTES });
	}
	good = good && payload_finish(payload) && cms_seal_finish(cms, &der, &length);
	payload_free(payload);
	cms_seal_free(cms);
	OPENSSL_free(der);
	return good;
}

static bool seal_round(
	struct token_session *session, const struct case_file *file, double *unwrap_us, double *seal_us)
{
	unsigned char keys[ITEMS_MAX][DATA_KEY_BYTES];
	double began = cpu_now(), middle;
	bool good = true;

	for (unsigned i = 0; good && i < RELEASES; i++)
		for (unsigned item = 0; good && item < file->n; item++)
			good = unwrap(session, file, &file->items[item], keys[item]);
	middle = cpu_now();
	for (unsigned i = 0; good && i < RELEASES; i++)
		good = seal(file, keys);
	*unwrap_us = (middle - began) / RELEASES * 1e6;
	*seal_us = (cpu_now() - middle) / RELEASES * 1e6;
	return good;
}

bool seal_measure(const char *path)
{
	static struct case_file file;
	double unwraps[ROUNDS], seals[ROUNDS];
	struct token *token = NULL;
	struct token_session *session;
	bool good;

	if (!case_read(path, &file))
		return parts_failed("the case cannot be read");
	session = session_open(&file, &token);
	good = session && seal_round(session, &file, unwraps, seals);
	for (int i = 0; good && i < ROUNDS; i++)
		good = seal_round(session, &file, &unwraps[i], &seals[i]);
	if (session)
		token_session_close(session);
	if (token)
		token_close(token);
	json_decref(file.json);
	if (!good)
		return parts_failed("an envelope could not be opened or sealed");
	return print_json(
		json_pack("{sf sf}", "unwrap", median(unwraps, ROUNDS), "seal", median(seals, ROUNDS)));
}

/* ---- the round trip */

static bool whole(ssize_t (*move)(int, void *, size_t), int fd, char *data, size_t length)
{
	while (length) {
		ssize_t n = move(fd, data, length);

		if (n <= 0)
			return false;
		data += n;
		length -= (size_t)n;
	}
	return true;
}

static ssize_t put(int fd, void *data, size_t length)
{
	return write(fd, data, length);
}

static void echo(int fd)
{
	char asked[ASKED_BYTES], answer[ANSWERED_BYTES] = "";

	while (whole(read, fd, asked, sizeof asked) && whole(put, fd, answer, sizeof answer))
		;
	_exit(0);
}

/* CPU of both sides is one's own and, once it has ended, the child's. */
static double children_cpu(void)
{
	struct rusage usage;

	getrusage(RUSAGE_CHILDREN, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static bool trips(double *us)
{
	char asked[ASKED_BYTES] = "", answer[ANSWERED_BYTES];
	double began = cpu_now() + children_cpu();
	bool good = true;
	int pair[2];
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return false;
	child = fork();
	if (!child) {
		close(pair[0]);
		echo(pair[1]);
	}
	close(pair[1]);
	for (int i = 0; child > 0 && good && i < TRIPS; i++)
		good = whole(put, pair[0], asked, sizeof asked) &&
		       whole(read, pair[0], answer, sizeof answer);
	close(pair[0]);
	good = child > 0 && waitpid(child, NULL, 0) == child && good;
	*us = (cpu_now() + children_cpu() - began) / TRIPS * 1e6;
	return good;
}

bool round_trip_measure(void)
{
	double rounds[ROUNDS];

	for (int i = 0; i < ROUNDS; i++)
		if (!trips(&rounds[i]))
			return parts_failed("no round trip");
	return print_json(json_pack("{sf}", "round_trip", median(rounds, ROUNDS)));
}
