#ifndef AWS_SIM_BUFFER_H
#define AWS_SIM_BUFFER_H
/* Bytes that grow. A failed allocation is remembered, everything after it does nothing, and
 * buffer_take says so: writers need not check each step. Zeroed is empty. */
#include <stdbool.h>
#include <stddef.h>

struct buffer {
	char *data;
	size_t length, capacity;
	bool failed;
};

void buffer_add(struct buffer *, const char *data, size_t length);
void buffer_text(struct buffer *, const char *text);
void buffer_format(struct buffer *, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Forgets what is behind the first `length` bytes. */
void buffer_cut(struct buffer *, size_t length);
/* Hands the bytes over, with a NUL behind them, and empties the buffer. NULL: memory was out. */
char *buffer_take(struct buffer *, size_t *length);
void buffer_clear(struct buffer *);

#endif
