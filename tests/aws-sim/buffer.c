/* Bytes that grow: see buffer.h. It never loses an allocation failure. */
#include "tests/aws-sim/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for `more` bytes and a NUL. */
static bool buffer_reserve(struct buffer *buffer, size_t more)
{
	size_t wanted = buffer->length + more + 1;
	char *data;

	if (buffer->failed)
		return false;
	if (wanted <= buffer->capacity)
		return true;
	wanted = wanted < 256 ? 256 : 2 * wanted;
	data = realloc(buffer->data, wanted);
	if (!data) {
		buffer->failed = true;
		return false;
	}
	buffer->data = data;
	buffer->capacity = wanted;
	return true;
}

void buffer_add(struct buffer *buffer, const char *data, size_t length)
{
	if (!buffer_reserve(buffer, length))
		return;
	if (length)
		memcpy(buffer->data + buffer->length, data, length);
	buffer->length += length;
}

void buffer_text(struct buffer *buffer, const char *text)
{
	buffer_add(buffer, text, strlen(text));
}

void buffer_format(struct buffer *buffer, const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	if (length < 0) {
		buffer->failed = true;
		return;
	}
	if (!buffer_reserve(buffer, (size_t)length))
		return;
	va_start(arguments, format);
	vsnprintf(buffer->data + buffer->length, (size_t)length + 1, format, arguments);
	va_end(arguments);
	buffer->length += (size_t)length;
}

void buffer_cut(struct buffer *buffer, size_t length)
{
	if (length < buffer->length)
		buffer->length = length;
}

char *buffer_take(struct buffer *buffer, size_t *length)
{
	char *data = NULL;

	if (buffer_reserve(buffer, 0)) {
		data = buffer->data;
		data[buffer->length] = '\0';
		*length = buffer->length;
		buffer->data = NULL;
	}
	buffer_clear(buffer);
	return data;
}

void buffer_clear(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){ 0 };
}
