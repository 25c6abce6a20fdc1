#ifndef VAULT_NODE_KEY_H
#define VAULT_NODE_KEY_H
/* The keys that derive from the node key by HKDF-SHA-256 (RFC 5869), one for each use: info "vouchsafe ack
 * v1", "vouchsafe cursor v1", "vouchsafe challenge v1". They lie in locked memory and are wiped at the end.
 */
#include "vault/vault.h"

struct node_key;

/* The 32 bytes are read and not kept. NULL with the complaint. */
struct node_key *node_key_new(const unsigned char key[32], struct complaint *);
void node_key_free(struct node_key *);

/* base64url of the HMAC-SHA-256 of a release id. */
MUST_USE bool node_key_acknowledgement(
	const struct node_key *, const char *release_id, char text[ACKNOWLEDGEMENT_SIZE]);
/* Borrowed: the key of challenges. */
const unsigned char *node_key_challenge(const struct node_key *);
MUST_USE bool node_key_cursor_mac(const struct node_key *, struct bytes cursor, unsigned char mac[32]);

#endif
