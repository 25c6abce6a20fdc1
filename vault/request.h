#ifndef VAULT_REQUEST_H
#define VAULT_REQUEST_H
/* A request as the member process reads it: well-formed, and believed only as far as tags and wraps bear it
 * out. */
#include "vault/frame.h"
#include "verifier/encoding.h"
#include "verifier/recipient.h"

enum { ACK_SIZE = 44 };

/* One envelope of it; bytes are borrowed from the frame. */
struct item {
	char name[NAME_SIZE], kind[KIND_SIZE];
	unsigned version;
	unsigned char nonce[NONCE_BYTES];
	struct bytes text, wrap;
};

struct request {
	enum frame_type type;
	struct member_pin pin; /* serial, generation, key id, IV mode */
	/* FRAME_CHECKPOINT; its pin has the token's serial and this key's id alone */
	struct signed_head head;
	/* FRAME_SEAL */
	char release_id[UUID_SIZE];
	char instance_id[INSTANCE_ID_SIZE];
	unsigned char assertion_sha256[32];
	char acknowledgement[ACK_SIZE];
	struct bytes recipient;
	unsigned n_items;
	struct item items[SEAL_ITEMS_MAX];
};

/* FRAME_CANARY, FRAME_NODE_KEY, FRAME_SEAL, FRAME_CHECKPOINT, FRAME_LAST; anything else is none. A seal names
 * only kinds that are for release, the other two only their own kind. False with the reason, which repeats
 * nothing of the input. */
MUST_USE bool request_read(const struct frame *, struct request *, struct complaint *);

/* What set-up's requests hold too. */
void item_take(struct frame_reader *, struct item *);
void pin_take(struct frame_reader *, struct member_pin *);
enum iv_mode iv_mode_take(struct frame_reader *);

#endif
