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

struct copy_source;

/* Begins the snapshot, and holds it until copy_source_close; the store's handle serves nothing else until
 * then. NULL: *reason. */
struct copy_source *copy_source_open(struct store *, struct reason *);
void copy_source_close(struct copy_source *);
/* The schema's version that the rows have. */
unsigned copy_source_schema(const struct copy_source *);
/* As many whole records as there is room for; *ended: there are no more behind these. */
MUST_USE enum outcome copy_read(
	struct copy_source *, unsigned char *to, size_t room, size_t *used, bool *ended, struct reason *);
/* So many rows have been read. */
unsigned long long copy_source_rows(const struct copy_source *);

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
