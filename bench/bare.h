#ifndef BENCH_BARE_H
#define BENCH_BARE_H
/* What an engine alone can write: the measure of the store's own commits. */
#include <stdbool.h>

struct bare;

/* Events of so many bytes, into a database in which the store has made its tables. NULL: it failed. */
struct bare *bare_sqlite(const char *path, int event_length);
struct bare *bare_postgres(const char *uri, int event_length);
/* One transaction of so many releases. */
bool bare_batch(struct bare *, unsigned size);
void bare_close(struct bare *);

#endif
