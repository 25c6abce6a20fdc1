#ifndef AWS_SIM_CLOCK_H
#define AWS_SIM_CLOCK_H
/* Times as AWS writes them. */
#include <stdbool.h>
#include <time.h>

enum { TIME_SIZE = 28, COMPACT_TIME_SIZE = 17 };

time_t clock_now(void);
/* "2012-10-16T20:00:13.000Z" */
void time_write(time_t, char text[TIME_SIZE]);
/* "2012-10-16T20:00:13Z" */
void time_write_seconds(time_t, char text[TIME_SIZE]);
/* RFC 3339, with or without a fraction (which is dropped), any offset. */
bool time_read(const char *text, time_t *);
/* "20121016T200013Z", as SigV4 writes it. */
void time_write_compact(time_t, char text[COMPACT_TIME_SIZE]);
bool time_read_compact(const char *text, time_t *);

#endif
