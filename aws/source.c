/* What all sources of keys share: how a fetch ends, and how a file with a secret is read. */
#include "aws/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void source_give(struct source *source)
{
	source->done(source, true);
}

void source_fail(struct source *source, const char *format, ...)
{
	va_list arguments;
	size_t length;

	snprintf(source->told, sizeof(source->told), "%s: ", source->name);
	length = strlen(source->told);
	va_start(arguments, format);
	vsnprintf(source->told + length, sizeof(source->told) - length, format, arguments);
	va_end(arguments);
	keys_wipe(&source->keys);
	source->done(source, false);
}

void source_free(struct source *source)
{
	if (!source)
		return;
	keys_wipe(&source->keys);
	source->free(source);
}

/* Until the end, or until it is too much. False: errno. */
static bool descriptor_read(int descriptor, char *text, size_t size, size_t *length)
{
	*length = 0;
	while (*length < size) {
		ssize_t got = read(descriptor, text + *length, size - *length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return false;
		if (got == 0)
			return true;
		*length += (size_t)got;
	}
	return true;
}

/* Not blocking: a pipe in the file's place must not stop the thread. */
bool secret_file_read(const char *path, char *text, size_t size)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat status;
	size_t length = 0;
	bool read_whole;

	if (descriptor < 0)
		return false;
	if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
		close(descriptor);
		errno = EINVAL;
		return false;
	}
	read_whole = descriptor_read(descriptor, text, size, &length);
	close(descriptor);
	if (!read_whole)
		return false;
	if (length == 0 || length == size || memchr(text, '\0', length)) {
		errno = EINVAL;
		return false;
	}
	text[length] = '\0';
	return true;
}
