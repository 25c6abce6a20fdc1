#ifndef CLI_BACKUP_PIECE_H
#define CLI_BACKUP_PIECE_H
/* A backup is a sequence of pieces of bounded size, each sealed for itself (backup_seal.h). What is inside
 * one begins with a head that says of which backup it is, which piece, whether the last, and what was in the
 * one before: so that pieces that are missing, in another order, of two backups or none of the backup's
 * writer are noticed. Behind the head: rows (store/copy.h). */
#include "verifier/encoding.h"

enum {
	PIECE_HEAD = 110,
	PIECE_MAX = 4 << 20, /* with its head, before it is sealed */
	PIECE_SEALED_MAX = PIECE_MAX + (64 << 10)
};

struct piece_head {
	char id[UUID_SIZE]; /* the backup's */
	long long made_us; /* when it was begun, microseconds since 1970 */
	unsigned schema; /* of the rows */
	unsigned long long number; /* from 0 */
	bool last;
	unsigned char previous[32]; /* SHA-256 of the whole piece before it, unsealed; zeros in the first */
};

/* `piece` has at least PIECE_HEAD bytes. */
void piece_head_write(const struct piece_head *, unsigned char *piece);
/* False: it is no head of this version's. */
MUST_USE bool piece_head_read(struct bytes piece, struct piece_head *);

/* What the next head has to be; all zeros: a first one. */
struct piece_sequence {
	bool begun, ended;
	struct piece_head next;
};
/* False: the complaint says why that piece is not the next one. *head: what it says; *rows: inside the piece.
 */
MUST_USE bool piece_take(struct piece_sequence *, struct bytes piece, struct piece_head *head,
	struct bytes *rows, struct complaint *);

#endif
