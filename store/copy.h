#ifndef STORE_COPY_H
#define STORE_COPY_H
/* All rows of all tables as bytes that know no engine: read from one database in one snapshot, written to
 * another, whichever both are. Integers are big-endian; a text has a NUL behind it. One record behind the
 * other:
 *
 *   'T' name (text)                          a table begins; all of them, in one fixed order
 *   'R' for each column: 'n' null | 'i' 8 bytes | 't' 4 bytes of length, text | 'b' 4 bytes of length, bytes
 *   'E' 8 bytes                              it ends after so many rows
 *
 * Which columns a table has is decided by the schema's version. */
#include "store/store.h"

/* No row is longer; and so no call of copy_read may have less room. */
enum { COPY_ROOM_LEAST = 1 << 20 };

/* ---- reading */

struct copy_piece {
	unsigned schema; /* the version that the rows have */
	size_t used; /* bytes of the buffer: whole records */
	bool last;
	unsigned long long rows; /* so far */
};

struct copy_sink {
	unsigned char *buffer; /* `room` bytes, at least COPY_ROOM_LEAST: where each piece is put */
	size_t room;
	/* Takes the piece in the buffer, in order. False: ends it; *reason. */
	bool (*put)(void *context, const struct copy_piece *, struct reason *);
	void *context;
};

/* All rows, in one snapshot, up to the last piece. UNAVAILABLE: the store failed, or the sink ended it; the
 * pieces until then are of no use. */
MUST_USE enum outcome copy_read(struct store *, const struct copy_sink *, struct reason *);

/* ---- writing */

struct copy_target;

/* Of a store whose tables are there, of that version, and empty. NULL: out of memory. */
struct copy_target *copy_target_open(struct store *, unsigned schema);
void copy_target_close(struct copy_target *);
/* Whole records, as copy_read gave them, in its order, in one transaction. REFUSED (REASON_MALFORMED): they
 * are not of that form. */
MUST_USE enum outcome copy_write(struct copy_target *, struct bytes, struct reason *);
/* Is nothing missing? REFUSED where a table is. */
MUST_USE enum outcome copy_complete(const struct copy_target *, struct reason *);
unsigned long long copy_target_rows(const struct copy_target *);

#endif
