#ifndef STORE_ENVELOPES_H
#define STORE_ENVELOPES_H
/* Sealed secrets at rest, and what is pinned about the vault's members. Nothing here is plaintext. */
#include "verifier/signed_head.h"

enum { MEMBERS_MAX = 8, KIND_SIZE = 16, SECRET_BYTES_MAX = 64 * 1024, WRAP_MAX = 96 };

/* The data key of one version, wrapped to one member's key-encryption key. */
struct wrap {
	char member[NAME_SIZE];
	unsigned generation; /* of that member's key */
	unsigned char bytes[WRAP_MAX];
	size_t length;
};

/* One version of a secret: AES-256-GCM under a data key of its own (DESIGN.md section 8). */
struct envelope {
	char name[NAME_SIZE];
	/* "pin", "private-key", "certificate", "opaque"; "node" and "canary" are the vault's own: never
	 * released */
	char kind[KIND_SIZE];
	unsigned version; /* from 1 */
	unsigned char nonce[12];
	unsigned char *text; /* owned: ciphertext with its 16-byte tag behind it */
	size_t text_length;
	unsigned n_wraps;
	struct wrap wraps[MEMBERS_MAX];
};

void envelope_clear(struct envelope *);
MUST_USE bool envelope_copy(struct envelope *to, const struct envelope *from);

struct member_pin;
/* Its wrap for that member and that generation of its key; borrowed, NULL where there is none. */
const struct wrap *envelope_wrap(const struct envelope *, const struct member_pin *);

enum iv_mode { IV_HOST = 1, IV_APPENDED = 2, IV_FILLED = 3 };

/* What `vault apply` found out about a member, once, and pinned. */
struct member_pin {
	char vault[37]; /* the vault's UUID */
	char member[NAME_SIZE];
	char token_serial[17];
	unsigned generation;
	char key_id[KEY_ID_SIZE]; /* CKA_ID of the key-encryption key, hexadecimal */
	enum iv_mode iv_mode;
};

struct store;

/* What was asked does not fit what is there: a version, a kind, a pin, an open re-arm. */
#define REASON_CONFLICT "conflict"

/* Each blocks; OK, REFUSED (REASON_CONFLICT, REASON_NOT_FOUND; REASON_MALFORMED for a name, size or version
 * that cannot be) or UNAVAILABLE (REASON_STORE). The events of those that write take their time from the
 * system's clock: they are commands, not steps of a request. */

/* The version that a new envelope of that name would have: last + 1, also when the last was removed. */
MUST_USE enum outcome store_next_version(
	struct store *, const char *name, unsigned *version, struct reason *);
/* Puts it with a `secret.stored` event in one transaction (none for the kinds node and canary). REFUSED: that
 * version is there, or the name's other versions have another kind. */
MUST_USE enum outcome store_envelope_put(
	struct store *, const struct envelope *, const char *actor, const char *comment, struct reason *);
/* version 0: the newest. REFUSED (REASON_NOT_FOUND) where there is none. */
MUST_USE enum outcome store_envelope_get(
	struct store *, const char *name, unsigned version, struct envelope *, struct reason *);
/* Removes one version, or all with version 0; `secret.removed` event. REFUSED where there is none. Its
 * version numbers are never used again. */
MUST_USE enum outcome store_envelope_remove(struct store *, const char *name, unsigned version,
	const char *actor, const char *comment, struct reason *);
/* Newest versions first within a name, by name; text and wraps left out. False from the callback ends it. */
struct envelope_row {
	const char *name, *kind;
	unsigned version;
	size_t size; /* of the plaintext */
	long long stored_us; /* microseconds since 1970 */
};
MUST_USE enum outcome store_envelope_list(struct store *,
	bool (*row)(void *context, const struct envelope_row *), void *context, struct reason *);

/* REFUSED (REASON_NOT_FOUND) where none is pinned. */
MUST_USE enum outcome store_member_get(
	struct store *, const char *member, struct member_pin *, struct reason *);
/* Inserts; REFUSED where that member is pinned already, or another vault's UUID is in the store. */
MUST_USE enum outcome store_member_put(
	struct store *, const struct member_pin *, const char *actor, struct reason *);

/* The key pair that it signs checkpoints with; REFUSED (REASON_NOT_FOUND) where none is pinned. */
MUST_USE enum outcome store_signer_get(struct store *, const char *member, struct signer *, struct reason *);
/* Pins it, with an event. REFUSED where another key of that member is pinned already. */
MUST_USE enum outcome store_signer_put(
	struct store *, const struct signer *, const char *actor, struct reason *);

#endif
