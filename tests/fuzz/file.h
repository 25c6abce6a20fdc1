#ifndef TESTS_FUZZ_FILE_H
#define TESTS_FUZZ_FILE_H
/* The input as a file, for parsers that take a path: one in memory, always of the same name. */
#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Readable to its owner alone. The path is valid until the next call. */
static inline const char *file_of(const uint8_t *data, size_t size)
{
	static int fd = -1;
	static char path[40];

	if (fd < 0) {
		fd = memfd_create("input", MFD_CLOEXEC);
		MUST_HOLD(fd >= 0 && fchmod(fd, 0400) == 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	MUST_HOLD(ftruncate(fd, 0) == 0);
	MUST_HOLD(pwrite(fd, data, size, 0) == (ssize_t)size);
	return path;
}

#endif
